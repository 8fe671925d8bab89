"""Where the tests of the CUDA ops run: on a GPU; and, so that a machine without one sees that they are sound, emulated.

Emulated, tensors stay on the CPU and tables have at most 1,100 rows; what is about streams, graphs, waiting and memory
has no such stand-in and needs the GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from emulated_ops import emulated_kernels, load_emulated
from op_cases import Op, as_tuple

from fasthash.ops import has_cuda_kernels

EMULATED_ROWS = 1_100


def need_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU, as torch sees it")
    if not has_cuda_kernels():
        pytest.skip("this build has no CUDA kernels")


class Place:
    """A device, or its stand-in."""

    def __init__(self, device: str, emulated: ModuleType | None = None) -> None:
        self.device = device
        self.emulated = emulated

    def rows(self, wanted: int) -> int:
        """Rows of a table, shrunk for the emulation."""
        return wanted if self.emulated is None else min(wanted, EMULATED_ROWS)

    def put(self, x: Any) -> Any:
        """An array as a tensor here, a tensor here; anything else as it is."""
        if isinstance(x, np.ndarray):
            x = torch.from_numpy(x)
        return x.to(self.device) if isinstance(x, torch.Tensor) else x

    def call(self, op: Any, *args: Any, **kwargs: Any) -> Any:
        """The op on tensors that are here."""
        with nullcontext() if self.emulated is None else emulated_kernels(self.emulated):
            return op(*args, **kwargs)

    def run(self, op: Op, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[np.ndarray, ...]:
        """The op on inputs brought here, its results brought back."""
        out = self.call(op, *map(self.put, args), **{name: self.put(x) for name, x in kwargs.items()})
        return tuple(x.cpu().numpy() for x in as_tuple(out))


@pytest.fixture(params=["cuda", "emulated"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "emulated":
        emulated = load_emulated()
        emulated.set_seed(1)
        return Place("cpu", emulated)
    need_gpu()
    return Place("cuda")


@pytest.fixture
def gpu() -> Iterator[Place]:
    """A GPU, with nothing under way before and after."""
    need_gpu()
    torch.cuda.synchronize()
    yield Place("cuda")
    torch.cuda.synchronize()
