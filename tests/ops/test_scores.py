"""Rescoring: scores by hand, the fixed order of their sums, what is read, and the order of the results."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from op_cases import assert_equal, codes

import fasthash
from fasthash.ops import reference, rescored
from fasthash.ops._arrays import tensors


def test_by_hand() -> None:
    query = np.array([[1.0, -2.0, 0.5, 4.0, 0.0, 0.0, 0.0, 0.0, 8.0]], dtype=np.float32)
    packed = np.array([[0b10110000, 0b10000000], [0b01000000, 0]], dtype=np.uint8)
    signs = fasthash.rescore(query, packed, np.array([[0, 1, -1, 0]]))
    assert_equal(signs, np.array([[15.5, -15.5, -np.inf, 15.5]], dtype=np.float32))  # 1 + 2 + 0.5 + 4 + 8
    values = np.array([[3, 1, -2, 0, 9, 9, 9, 9, 1]], dtype=np.int8)
    assert_equal(fasthash.rescore(query, values, np.array([[0]])), np.array([[8]], dtype=np.float32))  # 3 - 2 - 1 + 8
    by_dimension = np.array([2, 1, 1, 1, 1, 1, 1, 1, 0.5], dtype=np.float32)
    assert_equal(
        fasthash.rescore(query, values, np.array([[0]]), scale=by_dimension), np.array([[7]], dtype=np.float32)
    )
    by_document = np.array([[-0.25]], dtype=np.float32)
    assert_equal(
        fasthash.rescore(query, values, np.array([[0]]), scale=by_document), np.array([[-2]], dtype=np.float32)
    )


def test_the_order_of_the_sum() -> None:
    """Partial sums of every sixteenth element: 2**24 swallows a 1 that meets it alone, not the 2 of two ones."""
    big, dim = 2.0**24, 48
    documents = np.ones((1, dim), dtype=np.float32)
    query = np.zeros((4, dim), dtype=np.float32)
    query[0, [0, 16, 32]] = big, 1, 1  # one partial sum: both ones are lost
    query[1, [0, 16, 32]] = 1, 1, big  # one partial sum: they meet first
    query[2, [0, 1, 5]] = big, 1, 1  # 1 and 5 meet before they meet 0
    query[3, [0, 8, 4]] = big, 1, 1  # 8 meets 0 first, and then 4 does
    assert fasthash.rescore(query, documents, np.zeros((4, 1), dtype=np.int64))[:, 0].tolist() == [
        big,
        big + 2,
        big + 2,
        big,
    ]


DTYPES = [torch.uint8, torch.int8, torch.float16, torch.bfloat16, torch.float32, torch.float64]


def _documents(dtype: torch.dtype, rows: int, dim: int, generator: torch.Generator) -> torch.Tensor:
    x = torch.randn(rows, dim, generator=generator)
    return fasthash.pack(x) if dtype == torch.uint8 else (x * 30).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_bits_do_not_depend_on_level_or_threads(dtype: torch.dtype, torch_threads: None) -> None:
    """Few queries of many candidates, cut into parts, and many of few, taken together."""
    generator = torch.Generator().manual_seed(0)
    for dim, q, c in ((1000, 2, 1500), (41, 700, 9), (2048, 3, 40)):
        documents = _documents(dtype, 800, dim, generator)
        queries = torch.randn(q, dim, generator=generator)
        candidates = torch.randint(-1, 800, (q, c), generator=generator)
        seen = set()
        for level in fasthash.cpu_levels():
            fasthash.set_cpu_level(level)
            for threads in (1, 2, 3, 7):
                torch.set_num_threads(threads)
                seen.add(fasthash.rescore(queries, documents, candidates).numpy().tobytes())
        assert len(seen) == 1
        as_numpy = documents.numpy() if dtype != torch.bfloat16 else documents.float().numpy()
        expected = reference.rescore(queries.numpy(), as_numpy, candidates.numpy())
        assert seen == {expected.tobytes()}


def test_bits_do_not_depend_on_flushed_subnormals(torch_threads: None) -> None:
    """torch.set_flush_denormal holds for the caller's thread, not for the workers."""
    queries, documents = torch.full((64, 64), 1e-41), torch.randn(100, 64).abs()
    candidates = torch.arange(100).expand(64, 100)
    expected = reference.rescore(queries.numpy(), documents.numpy(), candidates.numpy())
    assert 0 < expected.max() < torch.finfo(torch.float32).tiny * 10
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormal numbers")
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            assert fasthash.rescore(queries, documents, candidates).numpy().tobytes() == expected.tobytes()
        assert torch.full((1,), 1e-41) * 1 == 0, "the caller's own setting is gone"
    finally:
        torch.set_flush_denormal(False)


def test_every_width(cpu_level: str, rng: np.random.Generator) -> None:
    for dim in range(1, 70):
        queries = rng.standard_normal((3, dim)).astype(np.float32)
        candidates = rng.integers(0, 9, (3, 5))
        for documents in (
            fasthash.pack(rng.standard_normal((9, dim))),
            rng.integers(-128, 128, (9, dim)).astype(np.int8),
            rng.standard_normal((9, dim)).astype(np.float16),
            rng.standard_normal((9, dim)),
        ):
            expected = reference.rescore(queries, documents, candidates)
            assert_equal(fasthash.rescore(queries, documents, candidates), expected, dim)


def test_every_half(cpu_level: str) -> None:
    """All values that 16 bits hold, whole sixteens at a time and as tails."""
    bits = torch.arange(2**16, dtype=torch.int32).to(torch.int16)
    every = torch.arange(2**16)[None]
    for dtype in (torch.float16, torch.bfloat16):
        values = bits.view(dtype)
        expected = values.float()[None] + 0.0  # a sum starts from 0, so that -0 comes out as 0
        assert_equal(fasthash.rescore(torch.ones(1, 1), values[:, None], every), expected.numpy(), dtype)
        finite = values.isfinite()
        first = torch.eye(16)[:1]
        scores = fasthash.rescore(
            first, values[finite, None].expand(-1, 16).contiguous(), every[:, : int(finite.sum())]
        )
        assert_equal(scores, expected[:, finite].numpy(), dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_queries_of_other_floats(dtype: torch.dtype, rng: np.random.Generator) -> None:
    queries = torch.from_numpy(rng.standard_normal((4, 24))).to(dtype)
    table, candidates = torch.from_numpy(codes(rng, 9, 3)), torch.from_numpy(rng.integers(-1, 9, (4, 6)))
    expected = fasthash.rescore(queries.float(), table, candidates)
    assert_equal(fasthash.rescore(queries, table, candidates), expected.numpy())


def test_nan_and_infinity_stay_with_their_query(cpu_level: str, rng: np.random.Generator) -> None:
    inf, nan = np.inf, np.nan
    queries = np.ones((5, 20), dtype=np.float32)
    queries[0, 3], queries[1, 3], queries[2, [3, 19]], queries[3, 7] = inf, nan, (inf, inf), 3e38
    queries[3, 8] = 3e38
    bits = np.ones((2, 20), dtype=np.int8)
    bits[1, 3] = -1
    scores = fasthash.rescore(queries, fasthash.pack(bits), np.array([[0, 1]] * 5))
    assert_equal(scores, np.array([[inf, -inf], [nan, nan], [inf, nan], [inf, inf], [20, 18]], dtype=np.float32))
    documents = np.array([[inf, 1, 0], [nan, 0, 0], [1, 1, 1]], dtype=np.float32)
    scores = fasthash.rescore(np.array([[0, 1, 1], [2, 0, 0]], dtype=np.float32), documents, np.array([[0, 1, 2]] * 2))
    assert_equal(scores, np.array([[nan, nan, 2], [inf, nan, 2]], dtype=np.float32))


def test_no_documents_and_no_candidates() -> None:
    queries = np.ones((3, 12), dtype=np.float32)
    none = np.full((3, 2), -1)
    for table in (np.zeros((0, 2), np.uint8), np.zeros((0, 12), np.int8), np.zeros((0, 12), np.float32)):
        assert_equal(fasthash.rescore(queries, table, none), np.full((3, 2), -np.inf, dtype=np.float32))
        assert fasthash.rescore(queries, table, none[:, :0]).shape == (3, 0)
        assert fasthash.rescore(queries[:0], table, none[:0]).shape == (0, 2)
    scores, indices = fasthash.topk_rescored(queries, np.zeros((0, 2), np.uint8), 4)
    assert (scores == -np.inf).all()
    assert (indices == -1).all()


def test_only_candidates_of_a_file_are_read(tmp_path: Path, rng: np.random.Generator) -> None:
    """A read-only file of 2**33 bytes, almost all of them a hole: too large to be copied, and for 32-bit offsets."""
    path = tmp_path / "documents.f16"
    dim, rows = 2**11, 2**21
    documents = np.memmap(path, np.float16, "w+", shape=(rows, dim))
    places = np.array([[0, 2**20 - 1, 2**20, rows - 1, -1]])
    written = rng.standard_normal((4, dim)).astype(np.float16)
    documents[places[0, :4]] = written
    documents.flush()
    documents = np.memmap(path, np.float16, "r", shape=(rows, dim))
    (tensor,), _ = tensors("rescore", documents=documents)
    assert tensor.data_ptr() == documents.ctypes.data
    query = rng.standard_normal((1, dim)).astype(np.float32)
    expected = reference.rescore(query, written, np.array([[0, 1, 2, 3, -1]]))
    assert_equal(fasthash.rescore(query, documents, places), expected)


def test_no_byte_behind_the_last_row_is_read(cpu_level: str, rng: np.random.Generator) -> None:
    """The last row ends where a page does that may not be read."""
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 2 * page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    assert libc.mprotect(address + page, page, 0) == 0
    room = np.frombuffer(memory, np.uint8, page)
    for dim in (1, 7, 24, 33, 100):
        queries = rng.standard_normal((1, dim)).astype(np.float32)
        for documents in (
            fasthash.pack(rng.standard_normal((5, dim))),
            rng.integers(-128, 128, (5, dim)).astype(np.int8),
            rng.standard_normal((5, dim)).astype(np.float16),
            rng.standard_normal((5, dim)).astype(np.float32),
        ):
            last = room[page - documents.nbytes :].view(documents.dtype).reshape(documents.shape)
            last[...] = documents
            candidates = np.array([[4, 0, 3, 4, 1]])
            expected = reference.rescore(queries, documents, candidates)
            assert_equal(fasthash.rescore(queries, last, candidates), expected, (dim, documents.dtype))


def test_rows_may_lie_apart(rng: np.random.Generator) -> None:
    wide = torch.from_numpy(codes(rng, 40, 16))
    queries, candidates = torch.randn(4, 40), torch.from_numpy(rng.integers(-1, 20, (4, 7)))
    expected = fasthash.rescore(queries, wide[::2, 3:8].clone(), candidates)
    assert_equal(fasthash.rescore(queries, wide[::2, 3:8], candidates), expected.numpy())
    floats = torch.randn(40, 100)
    for documents in (floats[::2, 7:47], floats.t()[20:60, :20].t(), floats[:1, :40].expand(20, 40)):
        expected = fasthash.rescore(queries, documents.clone(), candidates)
        assert_equal(fasthash.rescore(queries, documents, candidates), expected.numpy())


def test_spare_bits_are_refused(cpu_level: str, rng: np.random.Generator) -> None:
    """In candidates, that is: other rows are not looked at."""
    table = codes(rng, 50, 3)
    table[:, -1] &= 0b11100000
    table[7, -1] |= 1
    queries = rng.standard_normal((2, 19)).astype(np.float32)
    fasthash.rescore(queries, table, np.array([[1, 2, -1], [49, 0, 6]]))
    with pytest.raises(ValueError, match="rescore: documents: expected zero spare bits after bit 19, got a code with"):
        fasthash.rescore(queries, table, np.array([[1, 2, -1], [49, 0, 7]]))


def test_the_flow_of_sentence_embeddings(rng: np.random.Generator) -> None:
    """Pack, search, rescore equals NumPy's way; sentence-transformers takes the bits as 0 and 1 there."""
    x = rng.standard_normal((2000, 256)).astype(np.float32)
    queries = x[:20] + rng.standard_normal((20, 256)).astype(np.float32)
    table = fasthash.pack(x)
    _, found = fasthash.hamming_topk(fasthash.pack(queries), table, 40)
    scores = fasthash.rescore(queries, table, found)
    bits = np.unpackbits(table[found], axis=-1).astype(np.float32)
    np.testing.assert_allclose(scores, np.einsum("qd,qcd->qc", queries, 2 * bits - 1), rtol=1e-5, atol=1e-4)
    theirs = np.einsum("qd,qcd->qc", queries, bits)
    np.testing.assert_allclose((scores + queries.sum(1, keepdims=True)) / 2, theirs, rtol=1e-5, atol=1e-4)
    best, indices = fasthash.topk_rescored(queries, table, 10)
    order = np.lexsort((found, -scores))[:, :10]
    assert_equal(indices, np.take_along_axis(found, order, 1))
    assert_equal(best, np.take_along_axis(scores, order, 1))
    assert (indices[:, 0] == np.arange(20)).all()


def test_int8_embeddings_with_ranges(rng: np.random.Generator) -> None:
    """As sentence_transformers.quantize_embeddings makes them, dequantised by scale but for a constant a query."""
    x = (rng.standard_normal((300, 64)) * rng.uniform(0.1, 3, 64) + rng.uniform(-1, 1, 64)).astype(np.float32)
    low, high = x.min(axis=0), x.max(axis=0)
    step = (high - low) / 255
    quantised = ((x - low) / step - 128).astype(np.int8)
    queries = rng.standard_normal((5, 64)).astype(np.float32)
    every = np.tile(np.arange(300), (5, 1))
    scores = fasthash.rescore(queries, quantised, every, scale=step) + (queries @ (128 * step + low))[:, None]
    np.testing.assert_allclose(scores, queries @ x.T, atol=64 * step.max())
    np.testing.assert_allclose(scores, queries @ ((quantised + 128.0) * step + low).T, rtol=1e-4, atol=1e-3)


def test_topk_rescored_is_exact_when_it_takes_all(rng: np.random.Generator) -> None:
    x, queries = rng.standard_normal((60, 24)).astype(np.float32), rng.standard_normal((4, 24)).astype(np.float32)
    _, indices = fasthash.topk_rescored(queries, fasthash.pack(x), 5, oversample=12, documents=x)
    assert_equal(indices, np.argsort(-(queries @ x.T), axis=1)[:, :5])


VALUES = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-45, np.inf, -np.inf, np.nan]) | st.floats(width=32)


@given(st.data(), st.integers(0, 4), st.integers(0, 30))
def test_order_of_results(data: st.DataObject, rows: int, count: int) -> None:
    """By higher score, NaN as minus infinity, then lower candidate, then place; none last. Both ways of doing it."""
    random = data.draw(st.randoms(use_true_random=False))
    pool = data.draw(st.lists(VALUES, min_size=1, max_size=6))
    scores = np.array([[random.choice(pool) for _ in range(count)] for _ in range(rows)], dtype=np.float32)
    candidates = np.array([[random.randint(-1, 12) for _ in range(count)] for _ in range(rows)], dtype=np.int64)
    scores, candidates = scores.reshape(rows, count), candidates.reshape(rows, count)
    k = data.draw(st.integers(0, count))
    keys = np.where(np.isnan(scores) | (candidates < 0), -np.inf, scores)
    expected = np.lexsort((candidates, -keys, candidates < 0), axis=-1)[:, :k] if count else np.zeros((rows, 0), int)
    tensors = torch.from_numpy(scores), torch.from_numpy(candidates)
    assert_equal(torch.ops.fasthash.score_order(*tensors, k), expected)
    assert_equal(rescored.order_by_sorting(*tensors, k), expected)


def test_order_op() -> None:
    torch.library.opcheck(torch.ops.fasthash.score_order.default, (torch.randn(3, 9), torch.arange(27).view(3, 9), 4))
