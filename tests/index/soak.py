"""Threads add, remove, search, save and load one index at once; a plain model says what has to be there.

    python tests/index/soak.py [--seconds 100] [--seed 0]       half of the time with tables for multi-index hashing

The code of an id is made from the id, so that each thread can judge whatever it finds: none of the permanent ids may be
missing, and of the others none may be wrong. Writers add and remove whole blocks of ids of their own. At the end
searches have to find what the reference finds, nothing may be lost or left over, and memory has to be where it was.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from fasthash import HammingIndex
from fasthash.index import lazy_tables
from fasthash.ops import reference

PERMANENT = 5000  # ids from 0 up, never removed
BLOCK = 250
WRITERS, SEARCHERS = 3, 3
MOST_BLOCKS = 80  # of a writer at a time
MIB_MORE = 64  # that the process may hold at the end beyond what it held after a third of the time


def codes_of(ids: np.ndarray) -> np.ndarray:
    """(n, 8) codes: the ids, well mixed."""
    x = ids.astype(np.uint64) + np.uint64(1)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return (x ^ (x >> np.uint64(31))).view(np.uint8).reshape(-1, 8)


def block_of(writer: int, number: int) -> np.ndarray:
    """The ids of a block: those of a writer rise or fall from block to block."""
    first = PERMANENT + (writer * 1_000_000 + number) * BLOCK
    ids = np.arange(first, first + BLOCK)
    return ids[::-1] if number % 2 else ids


def resident() -> float:
    """MiB that the process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


class Soak:
    """The index, its threads, and what they have found wrong."""

    def __init__(self, seconds: float, seed: int, folder: Path, multi_index: lazy_tables.When) -> None:
        self.end = time.monotonic() + seconds
        self.seed = seed
        self.folder = folder
        self.index = HammingIndex(64, multi_index=multi_index)
        self.permanent = codes_of(np.arange(PERMANENT))
        self.index.add(self.permanent, np.arange(PERMANENT))
        self.alive: list[list[int]] = [[] for _ in range(WRITERS)]  # numbers of blocks, in the order of insertion
        self.steps = dict.fromkeys(("adds", "removals", "searches", "files"), 0)
        self.counting = threading.Lock()
        self.errors: list[BaseException] = []

    def run(self, work, number: int) -> None:
        rng = np.random.default_rng([self.seed, number])
        try:
            while time.monotonic() < self.end and not self.errors:
                self.count(work(number, rng))
        except BaseException as error:
            self.errors.append(error)

    def count(self, what: str) -> None:
        with self.counting:
            self.steps[what] += 1

    def write(self, writer: int, rng: np.random.Generator) -> str:
        alive = self.alive[writer]
        if rng.random() < len(alive) / MOST_BLOCKS:
            gone = rng.choice(len(alive), size=min(len(alive), int(rng.integers(1, 5))), replace=False)
            self.index.remove(np.concatenate([block_of(writer, alive[i]) for i in gone]))
            self.alive[writer] = [number for i, number in enumerate(alive) if i not in set(gone.tolist())]
            return "removals"
        number = max(alive, default=0) + 1 if rng.random() < 0.9 or not alive else min(alive) - 1
        if number < 0 or number in alive:
            number = max(alive) + 1
        ids = block_of(writer, number)
        self.index.add(codes_of(ids), ids)
        alive.append(number)
        return "adds"

    def search(self, number: int, rng: np.random.Generator) -> str:
        packed = self.permanent[rng.integers(0, PERMANENT, 5)] ^ np.uint8(1 << rng.integers(0, 8))
        distances, ids = self.index.search(packed, 20)
        assert (np.diff(distances, axis=1) >= 0).all()
        self.judge(packed.repeat(20, axis=0), distances.ravel(), ids.ravel())
        own, own_ids = reference.hamming_topk(packed, self.permanent, 20)
        for row in range(len(packed)):
            known = list(zip(own[row], own_ids[row], strict=True))  # permanent ids are smaller and were added first
            found = list(zip(distances[row], ids[row], strict=True))
            permanent = [pair for pair in found if pair[1] < PERMANENT]
            assert permanent == known[: len(permanent)]
            assert permanent == known or known[len(permanent)] > found[-1], "some are missing"
        self.search_range(packed, int(rng.integers(12, 21)))
        few = rng.integers(0, PERMANENT, 7)
        filtered = self.index.search(packed, 9, filter=few)
        of_few = np.unique(few)
        expected = reference.hamming_topk(packed, self.permanent[of_few], 9)
        np.testing.assert_array_equal(filtered[0], expected[0])
        np.testing.assert_array_equal(filtered[1], np.where(expected[1] < 0, -1, of_few[expected[1]]))
        np.testing.assert_array_equal(self.index.reconstruct(few), codes_of(few))
        return "searches"

    def search_range(self, packed: np.ndarray, radius: int) -> None:
        offsets, distances, ids = self.index.range_search(packed, radius)
        queries = np.arange(len(packed)).repeat(np.diff(offsets))
        assert (distances <= radius).all()
        self.judge(packed[queries], distances, ids)
        expected = reference.hamming_range(packed, self.permanent, radius)
        permanent = ids < PERMANENT
        np.testing.assert_array_equal(np.bincount(queries[permanent], minlength=len(packed)), np.diff(expected[0]))
        np.testing.assert_array_equal(distances[permanent], expected[1])
        np.testing.assert_array_equal(ids[permanent], expected[2])

    @staticmethod
    def judge(queries: np.ndarray, distances: np.ndarray, ids: np.ndarray) -> None:
        true = np.bitwise_count(queries ^ codes_of(ids)).sum(axis=1)
        np.testing.assert_array_equal(distances, true)

    def save(self, number: int, rng: np.random.Generator) -> str:
        path = self.folder / "index"
        self.index.save(path)
        loaded = HammingIndex.load(path, mmap=bool(rng.random() < 0.5))
        ids = loaded.ids
        np.testing.assert_array_equal(loaded.codes, codes_of(ids))
        np.testing.assert_array_equal(ids[:PERMANENT], np.arange(PERMANENT))
        counts = np.unique((ids[PERMANENT:] - PERMANENT) // BLOCK, return_counts=True)[1]
        assert (counts == BLOCK).all(), "a part of a block"
        assert len(np.unique(ids)) == len(ids)
        return "files"

    def check_end(self) -> None:
        ids = self.index.ids
        np.testing.assert_array_equal(self.index.codes, codes_of(ids))
        np.testing.assert_array_equal(ids[:PERMANENT], np.arange(PERMANENT))
        owner = (ids - PERMANENT) // BLOCK // 1_000_000
        for writer, alive in enumerate(self.alive):
            expected = np.concatenate([block_of(writer, number) for number in alive] or [ids[:0]])
            np.testing.assert_array_equal(ids[PERMANENT:][owner[PERMANENT:] == writer], expected)
        assert len(ids) == PERMANENT + BLOCK * sum(map(len, self.alive))
        queries = self.index.codes[:: len(ids) // 20] ^ np.uint8(3)
        distances, places = reference.hamming_topk(queries, self.index.codes, 30)
        found = self.index.search(queries, 30)
        np.testing.assert_array_equal(found[0], distances)
        np.testing.assert_array_equal(found[1], ids[places])
        offsets, distances, places = reference.hamming_range(queries, self.index.codes, 15)
        for a, b in zip(self.index.range_search(queries, 15), (offsets, distances, ids[places]), strict=True):
            np.testing.assert_array_equal(a, b)


def soak(seconds: float, seed: int, multi_index: lazy_tables.When) -> None:
    """Threads for so long; raises what one of them has found wrong."""
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(seconds, seed, Path(folder), multi_index)
        works = [*[soak.write] * WRITERS, *[soak.search] * SEARCHERS, soak.save]
        threads = [threading.Thread(target=soak.run, args=(work, i)) for i, work in enumerate(works)]
        for thread in threads:
            thread.start()
        time.sleep(seconds / 3)
        before = resident()
        for thread in threads:
            thread.join()
        if soak.errors:
            raise soak.errors[0]
        soak.check_end()
        assert (soak.index.multi_index_bytes > 0) == (multi_index != "never"), "the last search has made tables"
        more = resident() - before
        assert more < MIB_MORE, f"{more:.0f} MiB more than after a third of the time"
        done = ", ".join(f"{count:,} {what}" for what, count in soak.steps.items())
        print(
            f"soak, multi_index {multi_index}: {done}; {len(soak.index):,} codes at the end, "
            f"{more:+.0f} MiB since a third of the time"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for multi_index in ("never", "always"):
        soak(options.seconds / 2, options.seed, multi_index)


if __name__ == "__main__":
    main()
