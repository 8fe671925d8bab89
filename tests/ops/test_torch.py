"""The ops as torch ops: opcheck and torch.compile for each of the list."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from op_cases import OPS, Op, as_tuple, assert_equal

import fasthash


def _first_inputs(op: Op, rng: np.random.Generator) -> tuple[list[object], dict[str, object]]:
    args, kwargs = list(op.inputs(rng, 3, 40, 4))[-1]
    to_torch = lambda x: torch.from_numpy(x) if isinstance(x, np.ndarray) else x  # noqa: E731
    return [to_torch(x) for x in args], {name: to_torch(x) for name, x in kwargs.items()}


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_opcheck(op: Op, rng: np.random.Generator) -> None:
    args, kwargs = _first_inputs(op, rng)
    torch.library.opcheck(getattr(torch.ops.fasthash, op.name).default, tuple(args), kwargs)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_compiles_in_one_graph(op: Op, rng: np.random.Generator) -> None:
    args, kwargs = _first_inputs(op, rng)
    torch._dynamo.reset()  # the ops share this code object, and its cache of graphs is small
    compiled = torch.compile(lambda *a, **kw: op(*a, **kw), fullgraph=True, backend="aot_eager")
    # What hamming_range finds has a size of its own; older torch wants to be told that it may.
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        assert_equal(compiled(*args, **kwargs), tuple(x.numpy() for x in as_tuple(op(*args, **kwargs))))


def test_fake_kernels_check_shapes() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        a, b = torch.zeros(3, 8, dtype=torch.uint8), torch.zeros(4, 9, dtype=torch.uint8)
        with pytest.raises(ValueError, match="hamming_topk: database: expected 8 bytes"):
            fasthash.hamming_topk(a, b, 2)
        distances, indices = fasthash.hamming_topk(a, a, 2)
        assert distances.shape == indices.shape == (3, 2)
