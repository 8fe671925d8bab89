"""set_cuda_path: by name, with a CUDA build; says so without one."""

from __future__ import annotations

import pytest

import fasthash
from fasthash.ops._library import cuda_kernels, has_cuda_kernels


@pytest.mark.skipif(not has_cuda_kernels(), reason="this build has no CUDA kernels")
def test_names() -> None:
    for name in ("counting", "popcount", "tensor", "auto"):
        fasthash.set_cuda_path(name)
        assert cuda_kernels("test").path() == name
    with pytest.raises(ValueError, match=r"set_cuda_path: name: expected .*'tensor', got 'fast'"):
        fasthash.set_cuda_path("fast")
    assert cuda_kernels("test").path() == "auto"


@pytest.mark.skipif(has_cuda_kernels(), reason="this build has CUDA kernels")
def test_a_build_without_cuda() -> None:
    with pytest.raises(RuntimeError, match="set_cuda_path: this build has no CUDA kernels"):
        fasthash.set_cuda_path("auto")
