"""The examples in the docstrings print what they say."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("module", ["average_precision", "curves", "harmonic", "plots", "precision", "score"])
def test_examples_run(module):
    result = doctest.testmod(importlib.import_module(f"fasthash.evaluation.{module}"))
    assert result.attempted > 0
    assert result.failed == 0
