"""Runs the cells of gpu.py: who can take part in each, equal results first, then turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from cells import Cell
from on_gpu.cells import COUNTS, copies, inputs, small
from on_gpu.contestants import OPS, GpuContestant, contestants
from on_gpu.loops import Library
from on_gpu.paths import answered
from on_gpu.timing import LEAST_REPEATS, Call, DeviceSeconds, take_turns
from on_gpu.with_torch import OVERSAMPLE, Inputs, filtered
from running import Budget, Estimates
from timing import summary

import fasthash

PATIENCE = 20.0  # seconds of a peer in a cell: calls to warm up and to compare results, and the least repeats
PART = 0.08  # of that: seconds after which a contestant has repeated enough
MOST_MEMORY = 0.8  # of what is free
CHECKED_QUERIES = 8  # whose indices are looked up again
CPU_BIT_PAIRS = 2e11  # of a cell that is repeated on the CPU, but at least one query
CPU_ROWS = 10_000  # of pack and unpack
LATENCIES = 20
PEER_TOLERANCE = {"rtol": 1e-4, "atol": 1e-3}  # of sums of a thousand floats in another order

# Places of arguments with a row for each query, else only the first.
OF_QUERIES = {"hamming_topk": (0, 3), **dict.fromkeys((*COUNTS, "rescore"), (0, 2))}


class Device:
    """Where cells run. Tests put a CPU and times of their own in its place."""

    def __init__(self, name: str, seconds_of: DeviceSeconds, latency: Callable[[Call], float], cache: int) -> None:
        self.name, self.seconds_of, self.latency, self.cache = name, seconds_of, latency, cache

    def free(self) -> int:
        """Bytes."""
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info()[0]


class Runner:
    """What all cells of a run share. peers: beginnings of names, None = all; library: None = no nvcc."""

    def __init__(
        self,
        device: Device,
        budget: Budget,
        repeats: int,
        peers: list[str] | None,
        library: Library | None,
        patience: float = PATIENCE,
    ) -> None:
        self.device, self.budget, self.repeats, self.peers, self.library = device, budget, repeats, peers, library
        self.patience = patience
        self.estimates = Estimates(self._trial, small)

    def run(self, cell: Cell) -> dict[str, Any]:
        """The cell, and for each contestant its seconds or the reason why it has none.

        One that fails does not end the run: time on a GPU may be short.
        """
        databases = copies(cell, self.device.cache)
        outcome: dict[str, Any] = {}
        calls: dict[str, list[Call]] = {}
        more: dict[str, dict[str, Any]] = {}
        arrays: list[Inputs] = []
        reference: Any = None
        for contestant in self._taking_part(cell):
            try:
                if reason := self._reason(contestant, cell, databases):
                    outcome[contestant.name] = {"not_run": reason}
                else:
                    arrays = arrays or inputs(cell, self.device.name, databases)
                    own = self._start(contestant, cell, arrays)
                    result = own[0]()
                    if reference is None:
                        against_cpu(cell, arrays[0], result)
                        reference = result
                    check(cell, arrays[0], reference, result, contestant)
                    if contestant.own:
                        more[contestant.name] = {"answered": answered(cell, arrays[0], contestant.path)}
                    elif contestant.larger is not None:
                        own, block = self._faster(contestant, contestant.larger, cell, arrays, reference, own)
                        more[contestant.name] = {"block_bytes": block}
                    calls[contestant.name] = own
            except torch.OutOfMemoryError:
                outcome[contestant.name] = {"not_run": "out of memory"}
            except AssertionError as wrong:
                outcome[contestant.name] = {"not_run": "wrong result", "wrong": str(wrong)}
            except RuntimeError as error:  # what CUDA or a library says; of fasthash it is a fault
                outcome[contestant.name] = {"not_run": str(error).splitlines()[0][:200]}
                if contestant.own:
                    outcome[contestant.name]["wrong"] = str(error)
            if reference is None:
                break
        times = self._times(cell, calls) if calls else {}
        for name in calls:
            times[name] |= more.get(name, {})
        return {**asdict(cell), "databases": databases, "contestants": times | outcome}

    def _taking_part(self, cell: Cell) -> list[GpuContestant]:
        """fasthash first."""
        wanted = self.peers
        return [
            contestant
            for contestant in contestants(cell.op, self.library)
            if contestant.name == "fasthash" or wanted is None or any(map(contestant.name.startswith, wanted))
        ]

    def _start(self, contestant: GpuContestant, cell: Cell, arrays: list[Inputs]) -> list[Call]:
        return [contestant.start(cell, x) for x in arrays[: self._copies(contestant, cell, len(arrays))]]

    def _faster(
        self,
        contestant: GpuContestant,
        larger: GpuContestant,
        cell: Cell,
        arrays: list[Inputs],
        reference: Any,
        own: list[Call],
    ) -> tuple[list[Call], int]:
        """The contestant's calls, or those in larger blocks where they fit and are faster; and the bytes of a block."""
        if larger.memory(cell) == contestant.memory(cell) or self._reason(larger, cell, len(arrays)):
            return own, contestant.block
        try:
            calls = self._start(larger, cell, arrays)
            check(cell, arrays[0], reference, calls[0](), larger)
        except torch.OutOfMemoryError:
            return own, contestant.block
        seconds = [self.device.seconds_of(each, 1, 0, True).seconds for each in (own, calls)]
        return (calls, larger.block) if seconds[1] < seconds[0] else (own, contestant.block)

    def _times(self, cell: Cell, calls: dict[str, list[Call]]) -> dict[str, Any]:
        found = {}
        turns: dict[str, list[Call]] = dict(calls)
        if len(calls["fasthash"]) > 1:
            turns["fasthash, in cache"] = calls["fasthash"][:1]
        for name, times in take_turns(turns, self.repeats, PART * self.patience, self.device.seconds_of).items():
            seconds = [timing.seconds for timing in times]
            found[name] = {**summary(seconds), "seconds": seconds, "databases": len(turns[name])}
            found[name]["host_bound"] = any(timing.host_bound for timing in times)
        waits = [self.device.latency(calls["fasthash"][i % len(calls["fasthash"])]) for i in range(LATENCIES)]
        found["fasthash"]["latency"] = summary(waits)
        for contestant in contestants(cell.op, self.library):
            if contestant.name in found:
                self.estimates.note(contestant, cell, found[contestant.name]["median"])
        return found

    def _copies(self, contestant: GpuContestant, cell: Cell, databases: int) -> int:
        """How many databases a contestant needs so that what it reads of them does not stay in the cache."""
        each = max(contestant.prepared(cell), cell.codes * cell.bytes)
        return max(1, min(databases, -(-databases * cell.codes * cell.bytes // each)))

    def _reason(self, contestant: GpuContestant, cell: Cell, databases: int) -> str:
        """Why a contestant does not run a cell, or nothing."""
        if missing := contestant.missing(cell):
            return missing
        number = self._copies(contestant, cell, databases)
        memory = contestant.memory(cell)
        memory += databases * input_bytes(cell) if contestant.name == "fasthash" else 0  # not made yet
        memory += 0 if contestant.own else number * contestant.prepared(cell)
        if memory > MOST_MEMORY * self.device.free():
            return f"{memory / 1e9:.0f} GB"
        if self.budget.left() <= 0:
            return "budget"
        seconds = self.estimates.seconds(contestant, cell) * (3 + LEAST_REPEATS)
        if not contestant.own and seconds > self.patience:
            return f"about {seconds:.0f} s"
        return "budget" if seconds > self.budget.left() else ""

    def _trial(self, contestant: GpuContestant, cell: Cell) -> float:
        call = contestant.start(cell, inputs(cell, self.device.name)[0])
        call()
        return self.device.latency(call)


def input_bytes(cell: Cell) -> int:
    """Of one database, or of what is packed."""
    if cell.op == "pack":
        return 6 * cell.codes * cell.bits  # while they are made as float32
    return cell.codes * cell.bytes


# Equal results.


def check(cell: Cell, arrays: Inputs, reference: Any, result: Any, contestant: GpuContestant) -> None:
    """Raises AssertionError when a result is not that of fasthash.

    Paths of fasthash: the same bytes. Peers: whole numbers equal, floats up to rounding; of top-k the distances, and
    the indices have to be different codes at those distances, for peers place ties as they like.
    """
    where = f"{contestant.name}: {cell}"
    expected, found = _parts(reference), _parts(result)
    if contestant.own:
        for one, other in zip(expected, found, strict=True):
            assert torch.equal(one, other), where
        return
    if cell.op == "topk_rescored":
        check_rescored(cell, arrays, found, where)
        return
    for one, other in zip(expected[:1] if cell.op == "hamming_topk" else expected, found, strict=False):
        assert one.shape == other.shape, where
        if one.dtype.is_floating_point and cell.op != "unpack":
            torch.testing.assert_close(other, one, **PEER_TOLERANCE, msg=lambda text: f"{where}: {text}")
        else:
            assert torch.equal(one, other.to(one.dtype)), where
    if cell.op == "hamming_topk":
        check_indices(arrays, found, where)


def check_indices(arrays: Inputs, found: tuple[torch.Tensor, ...], where: str) -> None:
    """Of a few queries: each index once, and its code at the distance that is claimed."""
    queries, database, mask, exclude = filtered(arrays)
    for row in range(min(len(queries), CHECKED_QUERIES)):
        query, (distances, indices) = queries[row], (part[row] for part in found)
        assert len(indices.unique()) == len(indices), f"an index twice: {where}"
        assert mask is None or mask[indices].all(), f"a code that is not allowed: {where}"
        assert exclude is None or (indices != exclude[row]).all(), f"a code that is excluded: {where}"
        actual = fasthash.hamming_distance(query[None].cpu(), database[indices].cpu())[0]
        assert torch.equal(actual, distances.cpu()), f"indices: {where}"


def check_rescored(cell: Cell, arrays: Inputs, found: tuple[torch.Tensor, ...], where: str) -> None:
    """Of a few queries: each index once, among the nearest codes (ties at the last distance are open), its score right.

    The scores have to fall.
    """
    queries, codes = arrays[0][:CHECKED_QUERIES], arrays[1]
    scores, indices = (part[:CHECKED_QUERIES] for part in found)
    expected = fasthash.rescore(queries, codes, indices)
    torch.testing.assert_close(scores, expected, **PEER_TOLERANCE, msg=lambda text: f"scores: {where}: {text}")
    assert (scores.diff(dim=1) <= 0).all(), f"order: {where}"
    packed, wanted = fasthash.pack(queries), min(OVERSAMPLE * cell.k, cell.codes)
    radius = fasthash.hamming_topk(packed, codes, wanted)[0][:, -1].cpu()
    for row in range(len(queries)):
        assert len(indices[row].unique()) == cell.k, f"an index twice: {where}"
        distances = fasthash.hamming_distance(packed[row : row + 1].cpu(), codes[indices[row]].cpu())
        assert (distances <= radius[row]).all(), f"not among the nearest: {where}"


def against_cpu(cell: Cell, arrays: Inputs, result: Any) -> None:
    """Raises AssertionError when rows of a result are not what the CPU gives: bytes, floats within 1e-6."""
    rows = checked_rows(cell)
    expected = _parts(OPS[cell.op](cell, _of_rows(cell, arrays, rows)))
    if cell.op == "hamming_range":
        found = _segments(rows, *(x.cpu() for x in _parts(result)))
    else:
        found = [x[rows.to(x.device)].cpu() for x in _parts(result)]
    for one, other in zip(expected, found, strict=True):
        if one.dtype.is_floating_point and cell.op != "unpack":
            torch.testing.assert_close(other, one, rtol=1e-6, atol=0.0, msg=lambda text: f"on the CPU: {cell}: {text}")
        else:
            assert torch.equal(one, other), f"on the CPU: {cell}"


def checked_rows(cell: Cell) -> torch.Tensor:
    """As many queries (or packed rows) as take the CPU a moment, spread evenly over all of them, the last included."""
    if cell.op in ("pack", "unpack"):
        of, rows = cell.codes, min(cell.codes, CPU_ROWS)
    else:
        of, rows = cell.queries, max(1, min(cell.queries, int(CPU_BIT_PAIRS / (cell.codes * cell.bits))))
    return torch.arange(rows) * (of - 1) // (rows - 1) if rows > 1 else torch.tensor([of - 1])


def _of_rows(cell: Cell, arrays: Inputs, rows: torch.Tensor) -> Inputs:
    """The op's arguments on the CPU, of the queries only those."""
    of_queries = OF_QUERIES.get(cell.op, (0,))
    return tuple(
        x if not isinstance(x, torch.Tensor) else (x[rows.to(x.device)] if place in of_queries else x).cpu()
        for place, x in enumerate(arrays)
    )


def _segments(rows: torch.Tensor, offsets: torch.Tensor, *found: torch.Tensor) -> list[torch.Tensor]:
    """Of a result of hamming_range what it says of those queries, as if there were no others."""
    begins, ends = offsets[rows], offsets[rows + 1]
    own = torch.cat([torch.arange(*segment) for segment in zip(begins.tolist(), ends.tolist(), strict=True)])
    return [torch.nn.functional.pad((ends - begins).cumsum(0), (1, 0)), *(x[own] for x in found)]


def _parts(result: Any) -> tuple[torch.Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)
