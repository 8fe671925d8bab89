"""The report of cmake/cuda_archs.py, from what nvcc prints."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOG = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_ZN8fasthash4cuda12_GLOBAL__N_14fillILi4EEEvPi' for 'sm_80'
ptxas info    : Function properties for _ZN8fasthash4cuda12_GLOBAL__N_14fillILi4EEEvPi
    24 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 24 bytes cumulative stack size, 10496 bytes smem, 456 bytes cmem[0]
ptxas info    : Compiling entry function '_ZN8fasthash4cuda12_GLOBAL__N_14fillILi4EEEvPi' for 'sm_90a'
ptxas info    : Function properties for _ZN8fasthash4cuda12_GLOBAL__N_14fillILi4EEEvPi
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 0 barriers, 1024 bytes cmem[0]
"""
MANGLED = "_ZN8fasthash4cuda12_GLOBAL__N_14fillILi4EEEvPi"


@pytest.fixture(scope="module")
def cuda_archs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cuda_archs", ROOT / "cmake/cuda_archs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_reads_what_the_compiler_prints(cuda_archs: ModuleType) -> None:
    assert cuda_archs.parse(LOG) == {(MANGLED, "sm_80"): (255, 10496, 24, 20), (MANGLED, "sm_90a"): (40, 0, 0, 0)}


@pytest.mark.skipif(shutil.which("c++filt") is None, reason="needs c++filt")
def test_a_spill_stands_in_the_table(cuda_archs: ModuleType) -> None:
    table = cuda_archs.table(cuda_archs.parse(LOG)).splitlines()
    assert table[0] == "| kernel | sm_80 | sm_90a |"
    assert table[2] == "| `fill<4>` | 255, 10496, 24 stack, 20 SPILLED | 40, 0 |"


def test_compiles_for_the_architectures_of_a_wheel(cuda_archs: ModuleType) -> None:
    wheel = cuda_archs.architectures((ROOT / "cmake/cuda.cmake").read_text())
    assert {"80-real", "86-real", "89-real", "90a-real", "100-real", "120-real", "120-virtual"} == set(wheel)
    assert cuda_archs.flags("90a-real") == "-gencode=arch=compute_90a,code=sm_90a"
    assert cuda_archs.flags("120-virtual") == "-gencode=arch=compute_120,code=compute_120"
