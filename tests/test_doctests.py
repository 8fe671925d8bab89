"""Every example in a docstring runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import fasthash

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages([str(Path(fasthash.__file__).parent)], "fasthash.")
    if module.name not in ("fasthash._C", "fasthash._emulated")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def test_every_public_op_has_an_example() -> None:
    for name in fasthash.ops.__all__:
        assert ">>> " in (getattr(fasthash, name).__doc__ or ""), name
