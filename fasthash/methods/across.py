"""What methods share that learn from triplets across modalities: who searches whom, turns, outputs, batches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import cast

import torch
from torch import Tensor

from fasthash.data import Batch, TrainingSet, TwoStreamSampler
from fasthash.methods.plan import Cursor
from fasthash.methods.state import State
from fasthash.networks import ModalNetwork

BLOCK = 1024


@dataclass(frozen=True)
class Side:
    """Queries of one modality, and the modalities that they search: one for a pair, all others in a joint form."""

    query: str
    others: tuple[str, ...]


def sides_of(data: TrainingSet, *, joint: bool, among: Tensor) -> list[Side]:
    """All ordered pairs of modalities, or in a joint form each against all others; those without items left out.

    Args:
        data: items in several modalities.
        joint: the form.
        among: bool (n,), the items that count.
    """
    names = [name for name, _ in data.spec.modalities]
    there = [name for name in names if (having(data, name) & among).any()]
    if not joint:
        return [Side(a, (b,)) for a, b in permutations(there, 2)]
    return [Side(a, tuple(b for b in there if b != a)) for a in there if len(there) > 1]


def having(data: TrainingSet, modality: str) -> Tensor:
    """Bool (n,): the items that have a modality."""
    assert data.present is not None
    return data.present[:, [name for name, _ in data.spec.modalities].index(modality)]


def outputs(state: State, module: str, modality: str, places: Tensor) -> Tensor:
    """Relaxed codes (b, bits) of items at these places, int64 (b,), in one modality."""
    x = state.data.take(places.cpu(), modality).to(state.device)
    return cast(Tensor, state.modules[module](x, modality))


@torch.no_grad()
def constant_outputs(state: State, module: str, modality: str, places: Tensor) -> Tensor:
    """The same without gradient and in evaluation mode, a block at a time."""
    branch = cast(ModalNetwork, state.modules[module]).branch(modality)
    mode = branch.training
    branch.eval()
    parts = [outputs(state, module, modality, part) for part in places.split(BLOCK)]
    branch.train(mode)
    return torch.cat(parts)


class Turns:
    """Which rows of which tables each step of a stage reads.

    Args:
        rows: of each table; those of 0 are never read.
        batch_size: rows of a table in one batch.
        together: each step reads a batch of every table; else an epoch reads one table after another.
        seed: of the orders, one random order of a table after another.
    """

    def __init__(self, rows: Sequence[int], *, batch_size: int, together: bool, seed: int) -> None:
        self._samplers = [
            TwoStreamSampler(count, 0, batch_size=batch_size, labelled=batch_size, seed=seed) for count in rows
        ]
        self._steps = [math.ceil(count / batch_size) for count in rows]
        self._together = together

    @property
    def length(self) -> int:
        """Steps of an epoch."""
        return max(self._steps) if self._together else sum(self._steps)

    def tables(self, step: int) -> list[int]:
        """The tables that a step reads."""
        return [table for table, _ in self._parts(step)]

    def batches(self, cursor: Cursor, tables: Sequence[Tensor], labels: Tensor) -> Iterator[Batch]:
        """Batches from a cursor on, without end: `index` holds rows of the tables, one table after another.

        Args:
            cursor: where to begin; each round of a `Repeat` has other orders.
            tables: (rows, ...) of places, of a query in the first column.
            labels: of all items, what the method learns from.
        """
        samplers = [sampler.in_rounds((*cursor.rounds, table)) for table, sampler in enumerate(self._samplers)]
        step = cursor.step
        while True:
            rows = [tables[t][samplers[t].batch(number).to(tables[t].device)] for t, number in self._parts(step)]
            index = torch.cat(rows)
            yield Batch((), labels[index[:, 0]], index, len(index), len(index))
            step += 1

    def _parts(self, step: int) -> list[tuple[int, int]]:
        """Table and number of its batch."""
        epoch, step = divmod(step, self.length)
        if self._together:
            return [(table, epoch * self.length + step) for table in range(len(self._steps))]
        for table, steps in enumerate(self._steps):
            if step < steps:
                return [(table, epoch * steps + step)]
            step -= steps
        raise AssertionError
