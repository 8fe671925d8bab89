"""Each CUDA op against the same op on the CPU: every bit, for integers and rescored floats alike."""

from __future__ import annotations

from typing import Any

import large_cases
import numpy as np
import pytest
import torch
from op_cases import BYTES, CODES, OPS, Op, as_tuple, codes

import fasthash

BY_NAME = {op.name: op for op in OPS}
LARGEST = 10_000_000  # codes


def assert_same(place: Any, op: Op, args: tuple[Any, ...], kwargs: dict[str, Any], where: object = "") -> None:
    """Same dtypes, shapes and bits; sums of average precision within 1e-6, relative."""
    expected = tuple(np.asarray(x) for x in as_tuple(op(*args, **kwargs)))
    for x, y in zip(place.run(op, args, kwargs), expected, strict=True):
        assert (x.dtype, x.shape) == (y.dtype, y.shape), where
        if x.dtype == np.float64:
            np.testing.assert_allclose(x, y, rtol=1e-6, atol=0, err_msg=str(where))
        else:
            np.testing.assert_array_equal(x.view(np.uint8), y.view(np.uint8), err_msg=str(where))


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_op_list(place: Any, op: Op, rng: np.random.Generator) -> None:
    sizes = [(bytes_, m) for bytes_ in BYTES for m in CODES]
    for bytes_, m in sizes if place.emulated is None else sizes[::7]:
        for args, kwargs in op.inputs(rng, 3, m, bytes_):
            assert_same(place, op, args, kwargs, (bytes_, m, kwargs))


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_large_cases(place: Any, op: Op, monkeypatch: pytest.MonkeyPatch) -> None:
    """Emulated, the list is that of tests/emulation/test_op_layer.py; here, its first cases do."""
    monkeypatch.setattr(large_cases, "CODES", place.rows(large_cases.CODES))
    cases = large_cases.large_cases([op])
    for i, (case, kind, args, kwargs) in enumerate(cases):
        if place.emulated is not None and i == 3:
            break
        if all(isinstance(x, (np.ndarray, torch.Tensor)) or np.isscalar(x) for x in args):
            assert_same(place, case, args, kwargs, kind)


@pytest.mark.parametrize("kind", ["random", "equal", "falling", "clustered"])
@pytest.mark.parametrize("bytes_", [1, 2, 4, 8, 16, 20, 32, 64, 128])
def test_ten_million_codes(place: Any, bytes_: int, kind: str) -> None:
    """Ties throughout, every code nearer than those before, masks and rows left out; few and many results."""
    rng = np.random.default_rng([bytes_])
    m = place.rows(LARGEST if kind in ("random", "equal") else LARGEST // 10)
    search = codes(rng, 3, bytes_)
    database = large_cases.table(rng, kind, m, search)
    some = {"mask": rng.random(m) < 0.8, "exclude": rng.integers(-1, m, 3)}
    near = int(np.sort(fasthash.hamming_distance(search[:1], database[:1000])[0])[5])
    for k in (1, 10, 100, 1000, 5000):
        assert_same(place, BY_NAME["hamming_topk"], (search, database, k), {}, k)
    assert_same(place, BY_NAME["hamming_topk"], (search, database, 100), some)
    assert_same(place, BY_NAME["hamming_range_padded"], (search, database, near, 100), some)
    assert_same(place, BY_NAME["hamming_range"], (search, database, min(near, 2)), {})
    assert_same(place, BY_NAME["hamming_histogram"], (search, database), some)


@pytest.mark.parametrize("queries", [1, 31, 200, 1025])
@pytest.mark.parametrize("bytes_", [2, 8, 16, 32, 128])
def test_batches_of_queries(place: Any, bytes_: int, queries: int) -> None:
    rng = np.random.default_rng([bytes_, queries])
    q, m = place.rows(queries) if place.emulated is None else min(queries, 40), place.rows(100_003)
    search, database = codes(rng, q, bytes_), codes(rng, m, bytes_)
    for k in (1, 100, 2049):
        assert_same(place, BY_NAME["hamming_topk"], (search, database, k), {}, k)
    assert_same(place, BY_NAME["hamming_topk"], (search, database[:300], 301), {"mask": rng.random(300) < 0.5})
    labels = rng.integers(-1, 10, q), rng.integers(-1, 10, m)
    assert_same(place, BY_NAME["relevance_histogram"], (search, database, *labels), {})
    assert_same(place, BY_NAME["average_precision_counts"], (search, database, *labels), {"k": 1000})


@pytest.mark.parametrize("dim", [64, 100, 1024])
@pytest.mark.parametrize("dtype", [torch.int8, torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_rescoring_of_many(place: Any, dtype: torch.dtype, dim: int) -> None:
    rng = np.random.default_rng(dim)
    m, q, count = place.rows(200_000), 8, min(500, place.rows(40 * 500) // 40)
    queries = torch.from_numpy(rng.standard_normal((q, dim), np.float32))
    documents = torch.from_numpy(rng.standard_normal((m, dim), np.float32) * 20).to(dtype)
    candidates = torch.from_numpy(rng.integers(-1, m, (q, count)))
    assert_same(place, BY_NAME["rescore"], (queries, documents, candidates), {})


def test_more_bytes_than_32_bits_count(gpu: Any) -> None:
    """Offsets in the codes and in the matrix of distances beyond 2**32."""
    if torch.cuda.get_device_properties(0).total_memory < 40 << 30:
        pytest.skip("needs 40 GB of GPU memory")
    database = torch.zeros((40_000_000, 128), dtype=torch.uint8, device="cuda")
    database[-3:] = 255
    queries = torch.full((1, 128), 255, dtype=torch.uint8, device="cuda")
    distances, indices = fasthash.hamming_topk(queries, database, 4)
    assert distances.tolist() == [[0, 0, 0, 1024]]
    assert indices.tolist() == [[39_999_997, 39_999_998, 39_999_999, 0]]
    del database
    few = torch.zeros((30_000, 1), dtype=torch.uint8, device="cuda")
    many = torch.ones((150_000, 1), dtype=torch.uint8, device="cuda")
    few[-1] = 1
    matrix = fasthash.hamming_distance(few, many)
    assert int(matrix[-1].sum()) == 0
    assert int(matrix[-2].sum()) == 150_000
