import importlib.util
from pathlib import Path

import pytest

from fasthash.methods import registry


@pytest.fixture
def toy(monkeypatch):
    """The module `toy.py` with its method registered."""
    spec = importlib.util.spec_from_file_location("toy", Path(__file__).with_name("toy.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(registry, "_METHODS", {**registry._METHODS, "toy": module.Toy})
    return module
