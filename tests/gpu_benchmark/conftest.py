"""The benchmark's modules can be imported here, where they are part of this copy of the sources."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

if BENCHMARKS.is_dir():
    sys.path.insert(0, str(BENCHMARKS))
else:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def emulated() -> Any:
    """ceilings.cu, compiled for the CPU."""
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("no C++ compiler for the loops of ceilings.cu")
    from on_gpu import loops

    return loops.build_emulated()
