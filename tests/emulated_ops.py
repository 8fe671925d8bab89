"""The compiled emulation of the CUDA kernels, and the ops of fasthash with it in place of a GPU."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest


def load(name: str, file: Path) -> ModuleType:
    """A module by its file, without its package."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def package_file(pattern: str) -> Path | None:
    """The first file of the package, wherever it is installed, that fits."""
    spec = importlib.util.find_spec("fasthash")
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    return next((file for folder in folders for file in sorted(Path(folder).glob(pattern))), None)


def load_emulated() -> ModuleType:
    """The module fasthash._emulated, or another build of it, which FASTHASH_EMULATED names."""
    named = os.environ.get("FASTHASH_EMULATED")
    file = Path(named) if named else package_file("_emulated*.so")
    if file is None:
        pytest.skip("fasthash._emulated is not built; configure with -DFASTHASH_EMULATION=ON")
    return load("_emulated", file)


@contextmanager
def emulated_kernels(module: ModuleType) -> Iterator[None]:
    """Within it, the ops treat CPU tensors as they treat those of a GPU, and call the emulated kernels."""
    from fasthash.ops import _library, average_precision, rescored, search

    with pytest.MonkeyPatch.context() as patch:
        for user in (_library, search, average_precision, rescored):
            patch.setattr(user, "on_cuda", lambda x: True)
        for user in (_library, search, average_precision):
            patch.setattr(user, "cuda_kernels", lambda function: module)
        patch.setattr(_library, "stream", lambda x: (0, -1))
        yield
