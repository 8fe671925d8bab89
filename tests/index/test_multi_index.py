"""An index with tables answers as one without."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from index_model import Model, assert_same

import fasthash
from fasthash import HammingIndex
from fasthash.index import lazy_tables
from fasthash.index.lazy_tables import LazyTables, saving


@pytest.fixture
def pair(rng):
    """40,000 codes of 16 bits in two indexes, one of which never makes tables; queries."""
    codes = fasthash.pack(rng.standard_normal((40_000, 16)))
    indexes = [HammingIndex(16, multi_index=when) for when in ("auto", "never")]
    for index in indexes:
        index.add(codes, ids=np.arange(40_000)[::-1])
    return *indexes, fasthash.pack(rng.standard_normal((5, 16)))


def same(index, other, queries, **options) -> None:
    for one, two in (
        (index.search(queries, 7, **options), other.search(queries, 7, **options)),
        (index.range_search(queries, 2, **options), other.range_search(queries, 2, **options)),
    ):
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b)


def until_made(index, queries) -> int:
    """Searches that went before the tables."""
    for count in range(2000):
        if index.multi_index_bytes:
            return count
        index.search(queries, 3)
    raise AssertionError("no tables after 2,000 searches")


def test_made_when_they_pay_kept_when_codes_come_dropped_when_some_go(pair) -> None:
    index, plain, queries = pair
    assert until_made(index, queries) > 1
    assert index.multi_index_bytes == 4 * (40_000 + 2**16 + 1)
    mask = np.arange(40_000) % 3 == 0
    for filter in (None, mask, np.flatnonzero(mask), [7, 5], np.zeros(40_000, dtype=bool)):
        same(index, plain, queries, filter=filter)
    for change in (
        lambda x: x.add(queries),
        lambda x: x.merge_from(x.copy(), offset=10**6),
        lambda x: x.add(np.repeat(queries, 50, axis=0)),
    ):
        change(index)
        change(plain)
        assert index.multi_index_bytes == 4 * (40_000 + 2**16 + 1), "of the first codes, which are the same"
        odd = np.arange(len(index)) % 2 == 1
        for filter in (None, odd, index.ids[odd], np.zeros(len(index), dtype=bool)):
            same(index, plain, queries, filter=filter)
    for x in (index, plain):
        x.remove(plain.search(queries, 2)[1].ravel())
    assert index.multi_index_bytes == 0
    same(index, plain, queries)
    until_made(index, queries)
    same(index, plain, queries)
    assert plain.multi_index_bytes == 0
    x = np.random.default_rng(0).standard_normal((3, 16)).astype(np.float32)
    for a, b in zip(index.search_rescored(x, 5), plain.search_rescored(x, 5), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("bits", [3, 12, 24, 61, 64])
def test_always_means_in_the_first_search(rng, bits) -> None:
    codes = fasthash.pack(rng.standard_normal((300, bits)) + 1)
    index, model = HammingIndex(bits, multi_index="always"), Model((bits + 7) // 8)
    for number, block in enumerate(np.array_split(codes, 3)):
        index.add(block)
        model.add(block)
        assert (index.multi_index_bytes == 0) == (number == 0)
        assert_same(index, model, codes[:5])
        assert index._snapshot.lazy.tables.rows == len(index)
    index.remove(range(0, 300, 7))
    model.remove(range(0, 300, 7))
    assert_same(index, model, codes[:5])
    other = index.copy()
    other.add(codes[:10])
    assert_same(index, model, codes[:5])


def test_made_anew_when_later_codes_are_many(pair) -> None:
    index, plain, queries = pair
    until_made(index, queries)
    for x in (index, plain):
        x.add(np.repeat(plain.codes, 3, axis=0))
    searches = 0
    while index._snapshot.lazy.tables.rows == 40_000:
        index.search(queries, 3)
        searches += 1
        assert searches < 2000
    assert searches > 1
    assert index._snapshot.lazy.tables.rows == 160_000
    same(index, plain, queries)
    same(index.copy(), plain, queries)
    assert index.copy().multi_index_bytes == index.multi_index_bytes


def test_files_hold_none(tmp_path, pair) -> None:
    index, plain, queries = pair
    until_made(index, queries)
    index.save(tmp_path / "a")
    plain.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    mapped = HammingIndex.load(tmp_path / "a", mmap=True)
    for _ in range(200):
        mapped.search(queries, 3)
    assert mapped.multi_index_bytes == 0
    with_tables = HammingIndex.load(tmp_path / "a", mmap=True, multi_index="always")
    same(with_tables, plain, queries)
    assert with_tables.multi_index_bytes > 0
    until_made(mapped.copy(), queries)
    until_made(HammingIndex.load(tmp_path / "a"), queries)


def test_codes_without_tables(rng) -> None:
    codes = fasthash.pack(rng.standard_normal((40_000, 100)))
    index = HammingIndex(100)
    index.add(codes)
    for _ in range(50):
        index.search(codes[:1], 1)
        index.range_search(codes[:1], 1)
    assert index.multi_index_bytes == 0
    with pytest.raises(
        ValueError, match="multi_index: expected auto or never for an index of 100 bits on cpu, got 'al"
    ):
        HammingIndex(100, multi_index="always")
    with pytest.raises(ValueError, match="HammingIndex: multi_index: expected auto, always, never, got 'maybe'"):
        HammingIndex(8, multi_index="maybe")


def test_searches_that_tables_do_not_serve_become_scans(pair, monkeypatch) -> None:
    index, plain, queries = pair
    until_made(index, queries)
    tables, calls = index._snapshot.lazy.tables, []
    topk = type(tables).topk

    def watched(self, *args, **options):
        calls.append(args[2])
        return topk(self, *args, **options, patience=0.0)

    monkeypatch.setattr(type(tables), "topk", watched)
    for _ in range(300):
        same(index, plain, queries)
    assert 5 <= len(calls) <= 12, "after 1, 2, 4, ... 64 scans each"
    monkeypatch.undo()
    for _ in range(100):
        same(index, plain, queries)
    assert not index._snapshot.lazy._skipped


def test_what_is_saved() -> None:
    walks = [1.0, 10.0, 100.0]
    assert saving(1, 50.0, walks, [1], 2) == 40.0
    assert saving(4, 50.0, walks, [1, 0], 2) == 50.0 - 2 * 5.5
    assert saving(1, 50.0, walks, [2], 2) == 0.0
    assert saving(1, 500.0, walks, [2**31 - 1], 2) == 400.0, "fewer than k codes are allowed: all steps"


def test_no_memory_for_tables_is_no_error(pair, monkeypatch) -> None:
    index, plain, queries = pair

    def fails(codes, bits):
        raise MemoryError

    monkeypatch.setattr(lazy_tables, "MultiIndex", fails)
    for _ in range(300):
        index.search(queries, 3)
    same(index, plain, queries)
    always = HammingIndex(16, multi_index="always")
    always.add(queries)
    with pytest.raises(MemoryError):
        always.search(queries, 1)


def test_threads_search_while_one_makes_tables(pair, monkeypatch) -> None:
    """They scan meanwhile."""
    index, plain, queries = pair
    making, go_on, made = threading.Event(), threading.Event(), []
    original = lazy_tables.MultiIndex

    def slow(codes, bits):
        making.set()
        assert go_on.wait(60)
        made.append(1)
        return original(codes, bits)

    monkeypatch.setattr(lazy_tables, "MultiIndex", slow)
    maker = threading.Thread(target=until_made, args=(index, queries))
    maker.start()
    assert making.wait(60)
    for _ in range(3):
        same(index, plain, queries)
    go_on.set()
    maker.join()
    same(index, plain, queries)
    assert made == [1]
    assert isinstance(index._snapshot.lazy, LazyTables)
