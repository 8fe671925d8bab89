"""The CUDA half of fasthash.ops, end to end: the ops on CPU tensors, with emulated kernels in place of a GPU's."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from op_cases import OPS, Op, assert_equal

from fasthash.ops import _library, average_precision, rescored, search


@pytest.fixture
def emulated_gpu(emulated: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (_library, search, average_precision, rescored):
        monkeypatch.setattr(module, "on_cuda", lambda x: True)
    for module in (_library, search, average_precision):
        monkeypatch.setattr(module, "cuda_kernels", lambda function: emulated)
    monkeypatch.setattr(_library, "stream", lambda x: (0, -1))


@pytest.mark.usefixtures("emulated_gpu")
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_equals_the_reference(op: Op, rng: np.random.Generator) -> None:
    for bytes_, m in ((1, 97), (8, 40), (20, 7), (3, 0)):
        for args, kwargs in op.inputs(rng, 3, m, bytes_):
            assert_equal(op(*args, **kwargs), op.expected(*args, **kwargs), (bytes_, m, kwargs))
