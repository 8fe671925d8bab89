"""Searches while other threads add and remove."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from index_model import NO_DISTANCE

import fasthash
from fasthash import HammingIndex


def together(*targets) -> None:
    """Runs functions at once; the first error of any of them is raised here."""
    errors = []

    def run(target) -> None:
        try:
            target()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(target,)) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.fixture
def rows(rng):
    """Codes of 32 bits that say which they are: id n has the code n."""
    return np.arange(6000, dtype=">u4").view(np.uint8).reshape(-1, 4)


def test_a_search_sees_whole_blocks_in_order(rows) -> None:
    """Blocks of 60 codes are added; at any time a prefix of whole blocks is there, each code under its id."""
    index = HammingIndex(32)
    done = threading.Event()

    def add() -> None:
        try:
            for first in range(0, 6000, 60):
                index.add(rows[first : first + 60], ids=np.arange(first, first + 60)[::-1] if first % 120 else None)
        finally:
            done.set()

    def search() -> None:
        seen = 0
        while not done.is_set() or seen < 6000:
            offsets, _, ids = index.range_search(rows[:1], 32)
            assert offsets[1] % 60 == 0
            assert offsets[1] >= seen
            seen = int(offsets[1])
            assert set(ids.tolist()) == set(range(seen))
            distances, ids = index.search(rows[:50], 1)
            assert ((distances == 0) | (distances == NO_DISTANCE) | (ids >= 0)).all()
            if not seen:
                continue
            distances, ids = index.search(rows[:seen:17], 1)
            assert (distances == 0).all()

    together(add, search, search)
    assert len(index) == 6000


def test_a_search_sees_removals_whole(rows) -> None:
    """Pairs of equal codes come and go together, so a search finds both or none."""
    index = HammingIndex(32)
    index.add(rows[:2000])
    done = threading.Event()

    def change() -> None:
        rng = np.random.default_rng(0)
        try:
            for step in range(150):
                row = int(rng.integers(2000, 6000))
                index.add(rows[[row, row]], ids=[10_000 + 2 * step, 10_001 + 2 * step])
                if step >= 5:
                    old = 10_000 + 2 * (step - 5)
                    index.remove([old, old + 1])
        finally:
            done.set()

    def search() -> None:
        while not done.is_set():
            offsets, _, ids = index.range_search(rows[2000:6000:3], 0)
            pairs = np.diff(offsets)
            assert (pairs % 2 == 0).all()
            assert (np.unique(ids // 2, return_counts=True)[1] == 2).all()
            blocks = list(index.blocks(256))
            codes = np.concatenate([block.codes for block in blocks])
            np.testing.assert_array_equal(codes[:2000], rows[:2000])

    together(change, search, search)
    assert len(index) == 2010


def test_adding_from_many_threads_loses_nothing(rows) -> None:
    index = HammingIndex(32)

    def adder(part):
        def add() -> None:
            for row in range(part, 3000, 4):
                index.add(rows[row : row + 1])

        return add

    together(*(adder(part) for part in range(4)))
    assert index.ids.tolist() == list(range(3000))
    np.testing.assert_array_equal(np.sort(index.codes.view(">u4").ravel()), np.arange(3000))


def test_what_an_old_search_holds_stays(rows) -> None:
    """Views taken before are not written to by anything that comes after."""
    index = HammingIndex(32)
    index.add(rows[:100], ids=np.arange(100)[::-1])
    codes, ids, copy = index.codes, index.ids, index.copy()
    index.add(rows[100:200])
    index.remove(range(50))
    copy.add(rows[200:300])
    index.add(rows[300:400])
    np.testing.assert_array_equal(codes, rows[:100])
    np.testing.assert_array_equal(ids, np.arange(100)[::-1])
    np.testing.assert_array_equal(copy.codes, rows[[*range(100), *range(200, 300)]])
    np.testing.assert_array_equal(index.codes[-100:], rows[300:400])
    distances, _ = fasthash.hamming_topk(rows[300:400], index.codes, 1)
    assert (distances == 0).all()
