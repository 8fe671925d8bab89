"""What may go in: both kinds of arrays, any layout; and what comes out: the same kind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from op_cases import OPS, Op, as_tuple, assert_equal, codes

import fasthash


def _to_torch(value: object) -> object:
    return torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_the_same_kind_comes_out(op: Op, rng: np.random.Generator) -> None:
    for args, kwargs in op.inputs(rng, 3, 40, 4):
        from_numpy = op(*args, **kwargs)
        from_torch = op(*map(_to_torch, args), **{name: _to_torch(x) for name, x in kwargs.items()})
        assert all(isinstance(x, np.ndarray) for x in as_tuple(from_numpy))
        assert all(isinstance(x, torch.Tensor) for x in as_tuple(from_torch))
        assert_equal(from_torch, from_numpy)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_any_layout(op: Op, rng: np.random.Generator) -> None:
    """Read-only, with gaps, backwards and in the other byte order; none is written to, none warns."""

    def layouts(x: object) -> list[object]:
        if not isinstance(x, np.ndarray):
            return [x] * 4
        frozen = x.copy()
        frozen.flags.writeable = False
        wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), dtype=x.dtype)
        wide[..., ::2] = x
        return [frozen, wide[..., ::2], x[::-1].copy()[::-1], x.astype(x.dtype.newbyteorder(">"))]

    for args, kwargs in op.inputs(rng, 3, 11, 3):
        expected = op.expected(*args, **kwargs)
        all_args = list(zip(*map(layouts, args), strict=True))
        all_kwargs = [dict(zip(kwargs, row, strict=True)) for row in zip(*map(layouts, kwargs.values()), strict=True)]
        for i, arguments in enumerate(all_args):
            assert_equal(op(*arguments, **(all_kwargs[i] if kwargs else {})), expected, i)


def test_rows_apart_and_expanded_rows(rng: np.random.Generator) -> None:
    x = torch.randn(6, 40)
    assert_equal(fasthash.pack(x[::2]), fasthash.pack(x[::2].clone()).numpy())
    assert_equal(fasthash.pack(x[:, 3:23]), fasthash.pack(x[:, 3:23].clone()).numpy())
    assert_equal(fasthash.pack(x.t()), fasthash.pack(x.t().contiguous()).numpy())
    assert_equal(fasthash.pack(x[:1].expand(5, 40)), fasthash.pack(x[:1].repeat(5, 1)).numpy())
    table = torch.from_numpy(codes(rng, 20, 16))
    assert_equal(
        fasthash.hamming_distance(table[::3, 4:8], table[:, 4:8]),
        fasthash.hamming_distance(table[::3, 4:8].clone(), table[:, 4:8].clone()).numpy(),
    )


def test_unaligned_tables(cpu_level: str, rng: np.random.Generator) -> None:
    memory = rng.integers(0, 256, 8 * 50 + 1, dtype=np.uint8)
    table = memory[1:].reshape(50, 8)
    assert_equal(fasthash.hamming_topk(table[:3], table, 5), fasthash.hamming_topk(table[:3].copy(), table.copy(), 5))


def test_numpy_integers_are_whole_numbers(rng: np.random.Generator) -> None:
    table = codes(rng, 5, 2)
    assert_equal(fasthash.hamming_topk(table, table, np.int64(2)), fasthash.hamming_topk(table, table, 2))
    assert fasthash.unpack(table, np.int32(16)).shape == (5, 16)


def test_label_dtypes_agree(rng: np.random.Generator) -> None:
    search, database = codes(rng, 4, 2), codes(rng, 30, 2)
    ids = rng.integers(0, 3, 4), rng.integers(0, 3, 30)
    expected = fasthash.relevance_histogram(search, database, *ids)
    hot = [np.eye(3)[x] for x in ids]
    for dtype in (np.uint8, np.int32, np.float32, bool):
        assert_equal(fasthash.relevance_histogram(search, database, *(x.astype(dtype) for x in hot)), expected)
    assert_equal(fasthash.relevance_histogram(search, database, *(x.astype(np.uint8) for x in ids)), expected)
