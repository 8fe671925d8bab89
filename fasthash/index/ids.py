"""Ids of codes: which id stands at a position, and at which position an id stands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from fasthash.index.rows import Rows

LARGEST = 2**63 - 1


@dataclass(frozen=True)
class _Run:
    """Some ids in order of size; their positions, or None where they stand at 0, 1, 2, ..."""

    ids: torch.Tensor
    positions: torch.Tensor | None

    def places(self, ids: torch.Tensor) -> torch.Tensor:
        """Where ids stand in this run, if they do."""
        return torch.searchsorted(self.ids, ids).clamp_(max=len(self.ids) - 1)

    def find(self, ids: torch.Tensor) -> torch.Tensor:
        """Positions, -1 where an id is not in this run."""
        places = self.places(ids)
        found = places if self.positions is None else self.positions[places]
        return torch.where(self.ids[places] == ids, found, -1)


@dataclass(frozen=True)
class Ids:
    """Different ids (n,), from 0 up, by position. Never changes; adding and keeping give new ones.

    Attributes:
        count: how many.
        first: they are first, first + 1, ...: nothing is stored.
        rows: where `first` is None, the ids by position.
        rises: whether ids rise with the position.
        made_runs: all ids in a few sorted runs, each at least twice as long as the one after it, so that adding n ids
            block by block sorts each id about log2(n / block) times; None until they are asked for.
    """

    count: int
    first: int | None
    rows: Rows | None
    rises: bool
    made_runs: tuple[_Run, ...] | None = None

    @classmethod
    def sequence(cls, first: int, count: int) -> Ids:
        """first, first + 1, ..."""
        return cls(count, first, None, True)

    @cached_property
    def runs(self) -> tuple[_Run, ...]:
        """Sorted runs of the stored ids; one where they rise."""
        if self.made_runs is not None:
            return self.made_runs
        if self.rows is None or self.count == 0:
            return ()
        return (_Run(self.rows.shown, None) if self.rises else _Run(*self.rows.shown.sort()),)

    def values(self, device: torch.device) -> torch.Tensor:
        """The ids by position, int64 (n,)."""
        if self.rows is not None:
            return self.rows.shown
        assert self.first is not None
        return _numbers(self.first, self.count, device)

    def at(self, positions: torch.Tensor) -> torch.Tensor:
        """The ids at positions of any shape; -1 stays -1."""
        if self.first == 0 or self.count == 0:
            return positions
        if self.rows is None:
            return torch.where(positions < 0, positions, positions + (self.first or 0))
        return torch.where(positions < 0, positions, self.rows.shown[positions.clamp(min=0)])

    def find(self, ids: torch.Tensor) -> torch.Tensor:
        """The positions of ids (m,), -1 where there is no such id."""
        if self.first is not None:
            inside = (ids >= self.first) & (ids - self.first < self.count)
            return torch.where(inside, ids - self.first, -1)
        found = torch.full_like(ids, -1)
        for run in self.runs:
            found = torch.maximum(found, run.find(ids))
        return found

    def _has(self, ids: torch.Tensor) -> torch.Tensor:
        """Which ids (m,) are here, bool (m,)."""
        if self.first is not None:
            return self.find(ids) >= 0
        found = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
        for run in self.runs:
            found |= run.ids[run.places(ids)] == ids
        return found

    def continued(self, first: int, count: int, device: torch.device) -> Ids:
        """These ids and then first, first + 1, ..., all of them larger than any of these."""
        if self.count == 0:
            return Ids.sequence(first, count)
        if self.first is not None and self.first + self.count == first:
            return Ids.sequence(self.first, self.count + count)
        return self.appended(_numbers(first, count, device))

    def appended(self, ids: torch.Tensor) -> Ids:
        """These ids and then others, a tensor that nobody writes to any more.

        Raises:
            ValueError: an id stands twice in `ids`, or is there already; the message says no more.
        """
        if not len(ids):
            return self
        rises = bool((ids[1:] > ids[:-1]).all())
        first = int(ids[0])
        consecutive = rises and int(ids[-1]) - first == len(ids) - 1
        if consecutive and self.first is not None and (self.count == 0 or self.first + self.count == first):
            return self.continued(first, len(ids), ids.device)
        before = self._stored(ids.device)
        assert before.rows is not None
        count = self.count + len(ids)
        if rises and self.rises and (self.count == 0 or int(before.rows.shown[-1]) < first):
            return Ids(count, None, before.rows.appended(ids), True)
        if rises:
            block = _Run(ids, torch.arange(self.count, count, device=ids.device))
        else:
            sorted_ids, order = ids.sort()
            block = _Run(sorted_ids, order + self.count)
            twice = block.ids[1:][block.ids[1:] == block.ids[:-1]]
            if len(twice):
                raise ValueError(f"id {int(twice[0])} stands twice")
        known = block.ids[self._has(block.ids)]  # searched in order, which the caches like
        if len(known):
            raise ValueError(f"id {int(known[0])} is there already")
        return Ids(count, None, before.rows.appended(ids), False, _merged((*before.runs, block)))

    def kept(self, keep: torch.Tensor) -> Ids:
        """The ids where a mask (count,) is True."""
        count = int(keep.sum())
        if count == 0:
            return Ids.sequence(0, 0)
        begin = int(keep.to(torch.uint8).argmax())
        if self.first is not None and bool(keep[begin : begin + count].all()):
            return Ids.sequence(self.first + begin, count)
        before = self._stored(keep.device)
        assert before.rows is not None
        rows = before.rows.kept(keep)
        if self.rises or self.made_runs is None:
            return Ids(count, None, rows, self.rises)
        moved = keep.cumsum(0) - 1
        runs = []
        for run in self.made_runs:
            positions = _positions(run)
            left = keep[positions]
            runs.append(_Run(run.ids[left], moved[positions[left]]))
        return Ids(count, None, rows, False, _merged(tuple(run for run in runs if len(run.ids))))

    def shared(self) -> Ids:
        """The same ids for another owner, as `Rows.shared`."""
        return replace(self, rows=None if self.rows is None else self.rows.shared())

    def to(self, device: torch.device, *, copy: bool) -> Ids:
        """The ids on a device, as `Rows.to`."""
        return replace(self, rows=None if self.rows is None else self.rows.to(device, copy=copy), made_runs=None)

    def _stored(self, device: torch.device) -> Ids:
        """The same ids, stored."""
        if self.rows is not None:
            return self
        return Ids(self.count, None, Rows(self.values(device), self.count), True)


def _numbers(first: int, count: int, device: torch.device) -> torch.Tensor:
    return torch.arange(count, device=device) + first  # an end of 2^63 is no int64


def _merged(runs: tuple[_Run, ...]) -> tuple[_Run, ...]:
    """Joins runs from the end until each is at least twice as long as the next."""
    stack: list[_Run] = []
    for run in runs:
        while stack and len(stack[-1].ids) < 2 * len(run.ids):
            before = stack.pop()
            ids = torch.cat([before.ids, run.ids])
            order = _order_of_two(ids)
            run = _Run(ids[order], torch.cat([_positions(before), _positions(run)])[order])
        stack.append(run)
    return tuple(stack)


def _order_of_two(ids: torch.Tensor) -> torch.Tensor:
    """What puts two runs in order that follow one another; NumPy's stable sort sees that they are runs."""
    if ids.is_cuda:
        return ids.argsort()
    return torch.from_numpy(np.argsort(ids.numpy(), kind="stable"))


def _positions(run: _Run) -> torch.Tensor:
    return torch.arange(len(run.ids), device=run.ids.device) if run.positions is None else run.positions
