"""Runs cells: who can take part in each, equal results first, then turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ceilings import Loops
from cells import Cell, inputs
from contestants import CONTESTANTS, GB, Contestant
from timing import LEAST_REPEATS, Call, seconds_of, summary, take_turns

MOST_MEMORY = 8 * GB
MOST_SECONDS = 60.0  # of a peer in a cell: one call to compare results, and the least number of repeats
CHECKED_QUERIES = 8  # whose indices are looked up again


class Budget:
    """Minutes for a run."""

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes

    def left(self) -> float:
        """Seconds."""
        return self._end - time.monotonic()


class Estimates:
    """Seconds of a call, from what has been run: the largest cell of the same kind, else a small one made for it.

    trial: seconds of a contestant in a cell; small: the small cell of one.
    """

    def __init__(self, trial: Callable[[Any, Cell], float], small: Callable[[Cell], Cell] = Cell.smaller) -> None:
        self._trial, self._small = trial, small
        self._known: dict[tuple[Any, ...], tuple[int, float]] = {}

    def seconds(self, contestant: Any, cell: Cell) -> float:
        key = self._key(contestant, cell)
        if key not in self._known:
            small = self._small(cell)
            self.note(contestant, small, self._trial(contestant, small))
        size, seconds = self._known[key]
        return seconds * cell.size / size

    def note(self, contestant: Any, cell: Cell, seconds: float) -> None:
        key = self._key(contestant, cell)
        if key not in self._known or self._known[key][0] <= cell.size:
            self._known[key] = (cell.size, seconds)

    @staticmethod
    def _key(contestant: Any, cell: Cell) -> tuple[Any, ...]:
        return contestant.name, cell.op, cell.data, cell.bits, cell.k


class Runner:
    """What all cells of a run share. peers: beginnings of names, None = all; loops: None = no compiler."""

    def __init__(
        self, budget: Budget, threads: int, repeats: int, peers: list[str] | None, loops: Loops | None
    ) -> None:
        self.budget, self.threads, self.repeats, self.peers, self.loops = budget, threads, repeats, peers, loops
        self.estimates = Estimates(self._trial)

    def run(self, cell: Cell) -> dict[str, Any]:
        """The cell, and for each contestant its seconds or the reason why it has none."""
        wanted = [c for c in CONTESTANTS[cell.op] if c.name == "fasthash" or self._wanted(c)]
        outcome: dict[str, Any] = {c.name: {"not_run": reason} for c in wanted if (reason := self._reason(c, cell))}
        taking_part = [c for c in wanted if c.name not in outcome]
        if any(c.name == "fasthash" for c in taking_part):
            arrays = inputs(cell)
            calls = {c.name: c.start(cell, arrays, self.threads) for c in taking_part}
            check(cell, arrays, taking_part, calls)
            for name, seconds in take_turns(calls | self._bounds(cell, arrays), self.repeats).items():
                outcome[name] = {**summary(seconds), "seconds": seconds}
            for contestant in taking_part:
                self.estimates.note(contestant, cell, outcome[contestant.name]["median"])
        return {**asdict(cell), "contestants": outcome}

    def _trial(self, contestant: Contestant, cell: Cell) -> float:
        call = contestant.start(cell, inputs(cell), self.threads)
        call()
        return seconds_of(call)

    def _wanted(self, contestant: Contestant) -> bool:
        return self.peers is None or any(contestant.name.startswith(name) for name in self.peers)

    def _reason(self, contestant: Contestant, cell: Cell) -> str:
        """Why a contestant does not run a cell, or nothing."""
        if missing := contestant.missing():
            return missing
        memory = contestant.memory(cell)
        if memory > min(MOST_MEMORY, available_memory() / 2):
            return f"{memory / GB:.0f} GB"
        if self.budget.left() <= 0:
            return "budget"
        seconds = self.estimates.seconds(contestant, cell) * (1 + LEAST_REPEATS)
        if contestant.name != "fasthash" and seconds > MOST_SECONDS:
            return f"about {seconds / 60:.0f} min"
        return "budget" if seconds > self.budget.left() else ""

    def _bounds(self, cell: Cell, arrays: tuple[Any, ...]) -> dict[str, Call]:
        """What the memory alone would take: one pass over what is read or written most."""
        if self.loops is None:
            return {}
        loops, threads = self.loops, self.threads
        if cell.op in ("hamming_distance", "unpack"):
            size = 4 * cell.size * (1 if cell.op == "hamming_distance" else cell.bits)
            touched = np.zeros(size, np.uint8)
            return {
                "write, fresh small pages": lambda: loops.fill_fresh(size, False, False, threads),
                "write, fresh huge pages": lambda: loops.fill_fresh(size, True, False, threads),
                "write": lambda: loops.fill(touched, threads, True),
            }
        if cell.op == "hamming_topk" and cell.queries > 8:
            return {}
        largest = arrays[-1].view(torch.int16).numpy() if isinstance(arrays[-1], torch.Tensor) else arrays[-1]
        if not largest.flags.c_contiguous:
            return {}
        return {"read": lambda: loops.read(largest, threads, 2048)}


def available_memory() -> int:
    """Bytes that could be had without swapping."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return 2 * MOST_MEMORY


def check(cell: Cell, arrays: tuple[Any, ...], contestants: list[Contestant], calls: dict[str, Call]) -> None:
    """Raises AssertionError when a contestant's result is not that of fasthash.

    Top-k: distances equal; indices too where the order is promised, else they have to be different codes at those
    distances. Everything else: equal values.
    """
    own = _arrays(calls["fasthash"]())
    for contestant in contestants:
        where = f"{contestant.name}: {cell}"
        theirs = _arrays(calls[contestant.name]())
        _assert_equal(theirs[0], own[0], where)
        if cell.op != "hamming_topk":
            continue
        if contestant.ordered:
            _assert_equal(theirs[1], own[1], where)
        queries, database = arrays
        for query, distances, indices in list(zip(queries, *theirs, strict=True))[:CHECKED_QUERIES]:
            assert len(np.unique(indices)) == len(indices), f"an index twice: {where}"
            actual = np.bitwise_count(database[indices] ^ query).sum(axis=1, dtype=np.int32)
            _assert_equal(actual, distances, f"indices: {where}")


def _assert_equal(got: np.ndarray, expected: np.ndarray, where: str) -> None:
    """In blocks of rows: a comparison of whole matrices would need several times their memory."""
    assert got.shape == expected.shape, where
    rows = max(1, 10_000_000 * len(got) // max(1, got.size))
    for first in range(0, len(got), rows):
        np.testing.assert_array_equal(got[first : first + rows], expected[first : first + rows], err_msg=where)


def _arrays(result: Any) -> tuple[np.ndarray, ...]:
    parts = result if isinstance(result, tuple) else (result,)
    return tuple(part.numpy() if isinstance(part, torch.Tensor) else part for part in parts)
