"""An index with tables answers as one without."""

from __future__ import annotations

import itertools
import os
import threading

import numpy as np
import pytest
import torch
from index_model import Model, assert_same

import fasthash
from fasthash import HammingIndex
from fasthash.index import lazy_tables, memory, merged
from fasthash.index.choice import Choice
from fasthash.index.lazy_tables import LazyTables, saving
from fasthash.ops.multi_index import MultiIndex


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


@pytest.fixture
def used(monkeypatch) -> None:
    """Tables that are there are used, whatever searches took."""
    monkeypatch.setattr(Choice, "take", lambda self: True)
    monkeypatch.setattr(Choice, "settled", lambda self, tables: False)


class Clock:
    """Seconds that only searches take: tables some, and scans one for all codes."""

    def __init__(self, monkeypatch, tables: float) -> None:
        self.tables = tables
        self.now = 0.0
        self.walks = 0
        monkeypatch.setattr(lazy_tables, "perf_counter", lambda: self.now)
        for kernel in ("topk_kernel", "range_kernel"):
            monkeypatch.setattr(lazy_tables, kernel, self.scan(getattr(lazy_tables, kernel)))
        for method in ("topk", "range"):
            monkeypatch.setattr(MultiIndex, method, self.walk(getattr(MultiIndex, method)))

    def scan(self, kernel):
        def timed(queries, codes, *rest):
            self.now += len(codes) / 40_000
            return kernel(queries, codes, *rest)

        return timed

    def walk(self, method):
        def timed(*arguments, **options):
            self.now += self.tables
            self.walks += 1
            return method(*arguments, **options)

        return timed


def test_made_when_they_pay_kept_when_codes_come_dropped_when_some_go(pair, used) -> None:
    index, plain, queries = pair
    assert until_made(index, queries) > 1
    assert index.multi_index_bytes == 4 * (40_000 + 2**16 + 1)
    index._snapshot.lazy._price = 10**9  # so that they are not made anew
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


@pytest.mark.parametrize("search", ["one k", "another k each time", "a radius"])
def test_the_faster_way_is_taken(pair, monkeypatch, search) -> None:
    """However many queries end with tables: what counts is what a search takes."""
    index, plain, queries = pair
    until_made(index, queries)
    clock = Clock(monkeypatch, tables=1.7)

    def searches(count: int) -> float:
        clock.walks, before = 0, clock.now
        for i in range(count):
            if search == "a radius":
                index.range_search(queries, 1)
            else:
                index.search(queries, 1 if search == "one k" else 64 + i % 60)
        return clock.now - before

    index._snapshot.lazy._took = 1e6  # so that they are kept
    assert searches(300) < 1.05 * 300
    assert 2 <= clock.walks <= 8
    clock.tables = 0.1
    searches(300)
    assert searches(300) < 1.05 * 0.1 * 300 + 2
    assert clock.walks >= 295
    same(index, plain, queries)


def test_tables_that_no_search_needs_are_dropped(pair, monkeypatch) -> None:
    index, plain, queries = pair
    until_made(index, queries)
    clock = Clock(monkeypatch, tables=1.7)
    for _ in range(50):
        index.search(queries, 3)
    assert index.multi_index_bytes == 0
    assert clock.walks <= 4
    for _ in range(500):
        index.search(queries, 3)
    assert index.multi_index_bytes == 0, "such searches are known to gain nothing"
    same(index, plain, queries)
    for x in (index, plain):
        x.add(plain.codes)
    until_made(index, queries)
    same(index, plain, queries)


def test_adding_forgets_nothing(pair, monkeypatch) -> None:
    """What is known of searches and tables outlasts an addition."""
    index, plain, queries = pair
    until_made(index, queries)
    index._snapshot.lazy._took, index._snapshot.lazy._price = 1e6, 10**9  # neither dropped nor made anew
    clock = Clock(monkeypatch, tables=1.7)
    for _ in range(100):
        for x in (index, plain):
            x.add(queries[:1])
        index.search(queries, 3)
    assert clock.walks <= 6
    same(index, plain, queries)


def test_a_range_that_tables_do_not_serve_is_scanned_at_once(pair, monkeypatch, used) -> None:
    """Without putting together what two searches found."""
    index, plain, queries = pair
    until_made(index, queries)
    for x in (index, plain):
        x.add(queries)
    clock = Clock(monkeypatch, tables=0.1)
    for a, b in zip(index.range_search(queries, 9), plain.range_search(queries, 9), strict=True):
        np.testing.assert_array_equal(a, b)
    assert clock.walks == 0
    index.range_search(queries, 1)
    assert clock.walks == 1


def test_choice() -> None:
    choice = Choice()
    took = {True: 2.0, False: 1.0}
    ways = []
    for _ in range(1000):
        ways.append(choice.take())
        choice.note(ways[-1], took[ways[-1]])
    assert ways[:5] == [True, True, False, False, False]
    assert 8 <= sum(ways) <= 12, "twice after each 200 seconds of scans"
    assert not choice.faster()
    took[True] = 0.5
    ways = []
    for _ in range(1000):
        ways.append(choice.take())
        choice.note(ways[-1], took[ways[-1]])
    assert sum(ways) > 750
    assert choice.faster()
    for i in range(100):
        choice.note(True, 50.0 if i % 8 == 0 else 0.5)
    assert choice.faster(), "some take long because of other programs"


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_merged_is_what_one_search_finds(rng, parts) -> None:
    codes = torch.from_numpy(rng.integers(0, 4, (60, 1), dtype=np.uint8))
    queries = torch.from_numpy(rng.integers(0, 4, (6, 1), dtype=np.uint8))
    cuts = [0, *sorted(rng.integers(0, 61, parts - 1).tolist()), 60]
    for radius in (0, 1, 8):
        found = []
        for begin, end in itertools.pairwise(cuts):
            offsets, distances, indices = fasthash.hamming_range(queries, codes[begin:end], radius)
            found.append((offsets, distances, indices + begin))
        for a, b in zip(merged.within(found), fasthash.hamming_range(queries, codes, radius), strict=True):
            assert a.dtype == b.dtype
            assert torch.equal(a, b)
    found = []
    for begin, end in itertools.pairwise(cuts):
        distances, indices = fasthash.hamming_topk(queries, codes[begin:end], 9)
        found.append((distances, torch.where(indices < 0, indices, indices + begin)))
    for a, b in zip(merged.nearest(found, 9), fasthash.hamming_topk(queries, codes, 9), strict=True):
        assert torch.equal(a, b)


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


def test_tables_take_a_quarter_of_the_available_memory(pair, monkeypatch) -> None:
    index, plain, queries = pair
    size = 4 * (40_000 + 2**16 + 1)
    monkeypatch.setattr(memory, "available", lambda: 4 * size - 1)
    for _ in range(300):
        index.search(queries, 3)
    assert index.multi_index_bytes == 0
    always = HammingIndex(16, multi_index="always")
    always.add(plain.codes)
    always.search(queries, 1)
    assert always.multi_index_bytes == size, "as it was asked for"
    monkeypatch.setattr(memory, "available", lambda: 4 * size)
    until_made(index, queries)


def test_available_memory(tmp_path, monkeypatch) -> None:
    assert 0 < memory.available() < 2**60
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_GROUP", tmp_path)
    assert memory.available() == np.inf, "nothing tells"
    (tmp_path / "meminfo").write_text("MemTotal:  900 kB\nMemFree: 1 kB\nMemAvailable:     700 kB\n")
    assert memory.available() == 700 * 1024
    for name, text in {
        "memory.max": "max",
        "memory.current": "5000",
        "memory.stat": "anon 9\ninactive_file 1000",
    }.items():
        (tmp_path / name).write_text(text + "\n")
    assert memory.available() == 700 * 1024
    (tmp_path / "memory.max").write_text("10000\n")
    assert memory.available() == 6000


@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_fork_makes_its_own_tables(rng, monkeypatch) -> None:
    """Although the thread that was making some is not in the other process."""
    index, codes = HammingIndex(16, multi_index="always"), fasthash.pack(rng.standard_normal((300, 16)))
    index.add(codes)
    making, go_on, original = threading.Event(), threading.Event(), lazy_tables.MultiIndex

    def slow(codes, bits):
        making.set()
        assert go_on.wait(60)
        return original(codes, bits)

    monkeypatch.setattr(lazy_tables, "MultiIndex", slow)
    maker = threading.Thread(target=index.search, args=(codes[:1], 1))
    maker.start()
    assert making.wait(60)
    child = os.fork()
    if child == 0:
        lazy_tables.MultiIndex = original
        index.search(codes[:1], 1)
        os._exit(0 if index.multi_index_bytes else 1)
    go_on.set()
    maker.join()
    assert os.waitpid(child, 0)[1] == 0


def test_what_a_copy_of_a_mapped_index_makes(tmp_path, pair) -> None:
    _, plain, _ = pair
    plain.save(tmp_path / "a")
    for given, expected in ((None, "auto"), ("never", "never"), ("always", "always"), ("auto", "auto")):
        mapped = HammingIndex.load(tmp_path / "a", mmap=True, multi_index=given)
        assert mapped._snapshot._when() == (given or "never")
        assert mapped.copy()._snapshot._when() == expected
        assert HammingIndex.load(tmp_path / "a", multi_index=given)._snapshot._when() == expected
    with pytest.raises(ValueError, match=r"HammingIndex\.load: multi_index: expected auto, always, never, got ''"):
        HammingIndex.load(tmp_path / "a", multi_index="")


def test_always_becomes_auto_where_there_are_no_tables() -> None:
    index = HammingIndex(16, multi_index="always")
    assert index._snapshot.to(torch.device("meta")).multi_index == "auto"
    assert index._snapshot.to(torch.device("cpu")).multi_index == "always"
    assert HammingIndex(16, multi_index="never")._snapshot.to(torch.device("meta")).multi_index == "never"


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
