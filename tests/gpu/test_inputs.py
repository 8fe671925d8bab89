"""What the CUDA ops take and refuse, and how they stand in torch: layouts, empty inputs, errors, torch.compile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from op_cases import OPS, Op, as_tuple, assert_equal, codes

import fasthash

BY_NAME = {op.name: op for op in OPS}


def apart(x: Any) -> Any:
    """The same values in every second row and column of a larger array."""
    if not isinstance(x, torch.Tensor) or x.dim() == 0:
        return x
    larger = torch.ones([2 * size for size in x.shape], dtype=x.dtype, device=x.device)
    view = larger[tuple(slice(None, None, 2) for _ in x.shape)]
    view.copy_(x)
    return view


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_arrays_that_are_not_contiguous(place: Any, op: Op, rng: np.random.Generator) -> None:
    for args, kwargs in list(op.inputs(rng, 3, 40, 8))[::5]:
        views = [apart(place.put(x)) for x in args], {name: apart(place.put(x)) for name, x in kwargs.items()}
        got = place.call(op, *views[0], **views[1])
        assert_equal(tuple(x.cpu() for x in as_tuple(got)), op(*args, **kwargs), kwargs)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_nothing_in_nothing_out(place: Any, op: Op, rng: np.random.Generator) -> None:
    for q, m in ((0, 7), (3, 0), (0, 0)):
        for args, kwargs in op.inputs(rng, q, m, 8):
            assert_equal(place.run(op, args, kwargs), op(*args, **kwargs), (q, m, kwargs))


def test_codes_that_start_at_an_odd_address(place: Any, rng: np.random.Generator) -> None:
    for bytes_ in (1, 4, 8, 16, 32):
        memory = place.put(codes(rng, 1, 50 * bytes_ + 1)[0])
        view = memory[1:].reshape(50, bytes_)
        same = view.cpu().numpy()
        got = place.call(fasthash.hamming_topk, view[:3], view, 9)
        assert_equal(tuple(x.cpu() for x in got), fasthash.hamming_topk(same[:3], same, 9), bytes_)


def test_errors_are_those_of_the_cpu(place: Any) -> None:
    table = place.put(np.zeros((3, 8), np.uint8))
    narrow = place.put(np.zeros((3, 7), np.uint8))
    with pytest.raises(ValueError, match="hamming_topk: database: expected 8 bytes a code as in queries, got 7"):
        place.call(fasthash.hamming_topk, table, narrow, 1)
    with pytest.raises(ValueError, match="hamming_topk: k: expected at least 1, got 0"):
        place.call(fasthash.hamming_topk, table, table, 0)
    with pytest.raises(TypeError, match="hamming_distance: a: expected packed codes"):
        place.call(fasthash.hamming_distance, table.float(), table)
    with pytest.raises(ValueError, match=r"hamming_topk: mask: expected shape \(3,\)"):
        place.call(fasthash.hamming_topk, table, table, 1, mask=place.put(np.ones(4, bool)))


def test_two_devices_in_a_call_are_refused(gpu: Any) -> None:
    here = torch.zeros((3, 8), dtype=torch.uint8)
    there = here.cuda()
    with pytest.raises(ValueError, match=r"hamming_topk: database: expected the device of queries \(cpu\), got cuda:0"):
        fasthash.hamming_topk(here, there, 1)
    with pytest.raises(ValueError, match=r"hamming_topk: mask: expected the device of queries \(cuda:0\), got cpu"):
        fasthash.hamming_topk(there, there, 1, mask=torch.ones(3, dtype=torch.bool))


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_compiles_in_one_graph(gpu: Any, op: Op, rng: np.random.Generator) -> None:
    args, kwargs = list(op.inputs(rng, 3, 40, 4))[-1]
    expected = op(*args, **kwargs)
    torch._dynamo.reset()
    compiled = torch.compile(lambda *a, **kw: op(*a, **kw), fullgraph=True, backend="aot_eager")
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        assert_equal(gpu.run(compiled, args, kwargs), expected)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_opcheck(gpu: Any, op: Op, rng: np.random.Generator) -> None:
    args, kwargs = list(op.inputs(rng, 3, 40, 4))[-1]
    tensors = tuple(map(gpu.put, args)), {name: gpu.put(x) for name, x in kwargs.items()}
    torch.library.opcheck(getattr(torch.ops.fasthash, op.name).default, *tensors)
