import doctest
import importlib

import pytest


@pytest.mark.parametrize("module", ["ema", "graph", "ramp"])
def test_examples_run(module):
    result = doctest.testmod(importlib.import_module(f"fasthash.teachers.{module}"))
    assert result.attempted > 0
    assert result.failed == 0
