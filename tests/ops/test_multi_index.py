"""Multi-index hashing beside the ops whose results it gives, bit for bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fasthash
from fasthash.ops import reference
from fasthash.ops.multi_index import MultiIndex, making_cost, scan_cost, tables_bytes, walk_costs

PATIENCE = [math.inf, 1.0, 0.0]  # never a scan, as estimated, always one


def codes_of(rng, count, bits, skew, distinct):
    """Codes whose bits lean to one side, `distinct` of them at most."""
    x = rng.standard_normal((min(count, distinct), bits)) + skew * np.sin(np.arange(bits))
    return torch.from_numpy(fasthash.pack(x)[rng.integers(0, max(1, len(x)), count)] if len(x) else fasthash.pack(x))


def assert_same(got, expected) -> None:
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)


@settings(max_examples=150)
@given(
    bits=st.integers(1, 64),
    count=st.sampled_from([0, 1, 2, 30, 257, 2000]),
    skew=st.sampled_from([0, 0.5, 2]),
    distinct=st.sampled_from([1, 20, 5000]),
    share=st.sampled_from([None, 0.0, 0.1, 0.9]),
    threads=st.sampled_from([1, 3]),
    seed=st.integers(0, 99),
)
def test_the_same_as_a_scan(bits, count, skew, distinct, share, threads, seed) -> None:
    rng = np.random.default_rng(seed)
    database, queries = codes_of(rng, count, bits, skew, distinct), codes_of(rng, 3, bits, skew, 3)
    queries = torch.cat([queries, database[:2]])
    mask = None if share is None else torch.from_numpy(rng.random(count) < share)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        index = MultiIndex(database, bits)
        for patience in PATIENCE:
            for k in (1, 3, 40, count + 3):
                *got, scanned = index.topk(queries, database, k, mask=mask, patience=patience)
                assert_same(got, fasthash.hamming_topk(queries, database, k, mask=mask))
                assert patience < math.inf or scanned == 0
            for radius in (0, 1, bits // 3, bits, 99):
                *got, scanned = index.range(queries, database, radius, mask=mask, patience=patience)
                assert_same(got, fasthash.hamming_range(queries, database, radius, mask=mask))
                assert patience < math.inf or scanned == 0
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("bits", [8, 12, 16, 24, 32, 40, 48, 56, 61, 64])
def test_the_same_as_the_reference_at_every_level(cpu_level, rng, bits) -> None:
    database, queries = codes_of(rng, 3000, bits, 0.5, 2000), codes_of(rng, 9, bits, 0.5, 9)
    index = MultiIndex(database, bits)
    for k in (1, 10, 200):
        *got, scanned = index.topk(queries, database, k, patience=math.inf)
        assert scanned == 0
        for parts in {1, 2, index.parts, min(7, bits)}:
            expected = reference.multi_index_topk(queries.numpy(), database.numpy(), bits, parts, k)
            assert_same(got, [torch.from_numpy(x) for x in expected])
    *found, scanned = index.range(queries, database, bits // 4, patience=math.inf)
    assert scanned == 0
    expected = reference.hamming_range(queries.numpy(), database.numpy(), bits // 4)
    assert_same(found, [torch.from_numpy(x) for x in expected])


def test_it_stops_before_it_has_seen_all() -> None:
    """Where near codes are found soon, far ones are not looked at, so that little patience is enough."""
    rng = np.random.default_rng(0)
    database = codes_of(rng, 200_000, 64, 0, 200_000)
    queries = database[:5].clone()
    queries[:, 3] ^= 1
    *got, scanned = MultiIndex(database, 64).topk(queries, database, 1, patience=0.1)
    assert scanned == 0
    assert got[0].tolist() == [[1]] * 5
    assert got[1].tolist() == [[0], [1], [2], [3], [4]]


def test_some_queries_are_scanned_for_and_others_not(rng) -> None:
    database = codes_of(rng, 100_000, 32, 0, 100_000)
    queries = codes_of(rng, 40, 32, 0, 40)
    queries[::3] = database[:14]
    index = MultiIndex(database, 32)
    *got, scanned = index.topk(queries, database, 1, patience=0.2)
    assert 0 < scanned < 40
    assert_same(got, fasthash.hamming_topk(queries, database, 1))
    all_alike = torch.zeros_like(database)
    *got, scanned = MultiIndex(all_alike, 32).range(all_alike[:3], all_alike, 0, patience=0.5)
    assert scanned == 3, "the estimate is one row a value, and the budget ends where there are more"
    assert_same(got, fasthash.hamming_range(all_alike[:3], all_alike, 0))


@pytest.mark.parametrize("few", [True, False])
def test_ranges_of_which_some_are_scanned(rng, few) -> None:
    """Of queries that meet many equal codes; when they are most, all are."""
    database = torch.cat([codes_of(rng, 60_000, 32, 0, 60_000), torch.zeros((40_000, 4), dtype=torch.uint8)])
    queries = codes_of(rng, 40, 32, 0, 40)
    queries[30 if few else 2 : 32] = 0  # the first ones show whether to try all
    *got, scanned = MultiIndex(database, 32).range(queries, database, 1)
    assert scanned == (2 if few else 40)
    assert_same(got, fasthash.hamming_range(queries, database, 1))


def test_rows_that_do_not_lie_side_by_side(rng) -> None:
    database, queries = codes_of(rng, 500, 24, 0, 500), codes_of(rng, 6, 24, 0, 6)
    mask = torch.from_numpy(rng.random(1000) < 0.5)[::2]
    *got, _ = MultiIndex(database, 24).topk(queries[::2], database, 4, mask=mask, patience=math.inf)
    assert_same(got, fasthash.hamming_topk(queries[::2], database, 4, mask=mask))


def test_memory_and_costs() -> None:
    index = MultiIndex(torch.zeros((1000, 8), dtype=torch.uint8), 64)
    assert index.parts == 7
    assert index.bytes == 4 * (7 * 2 * 1000 + 2**10 + 6 * 2**9 + 7)
    assert MultiIndex(torch.zeros((1000, 1), dtype=torch.uint8), 7).bytes == 4 * (1000 + 2**7 + 1)
    assert tables_bytes(1000, 64) == index.bytes
    assert max(tables_bytes(n, bits) / n for n in (2**15, 2**16, 2**20, 2**24) for bits in (57, 60, 64)) <= 64.1
    costs = walk_costs(10**7, 64)
    assert len(costs) == 65
    assert costs == sorted(costs)
    assert costs[0] > 0
    assert scan_cost(64, 10**7, 8) > scan_cost(1, 10**7, 8) > scan_cost(1, 10**6, 8) > 0
    assert making_cost(10**7, 64) > making_cost(10**6, 64) > 0


def test_the_module_refuses_other_sizes() -> None:
    codes = torch.zeros((10, 8), dtype=torch.uint8)
    with pytest.raises(ValueError, match="MultiIndex: bits: expected 1 to 64, got 100"):
        MultiIndex(codes, 100)
    with pytest.raises(ValueError, match="MultiIndex: database bytes: expected 7 to 7, got 8"):
        MultiIndex(codes, 56)
    index = MultiIndex(codes, 64)
    with pytest.raises(ValueError, match=r"MultiIndex\.topk: database rows: expected 10 to 10, got 9"):
        index.topk(codes, codes[:9], 1)
    with pytest.raises(ValueError, match=r"MultiIndex\.range: bytes: expected codes of one width, got 7 and 8"):
        index.range(codes[:, :7], codes, 1)
    with pytest.raises(ValueError, match=r"MultiIndex\.topk: database bytes: expected 8 to 8, got 7"):
        index.topk(codes[:, :7].contiguous(), codes[:, :7].contiguous(), 1)
