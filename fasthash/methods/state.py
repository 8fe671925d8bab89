"""All that a run changes: what stages read, write and hand on to each other, and what a checkpoint holds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor, nn

from fasthash.data import Batch, TrainingSet

if TYPE_CHECKING:
    from fasthash.methods.plan import Cursor


@dataclass
class State:
    """The state of a run.

    Attributes:
        data: what training may read; not saved.
        modules: networks by name, saved.
        seed: of the run.
        device: where modules, generators and batches live.
        tensors: what stages hand on (discrete codes, pseudo-labels, drawn pairs), saved; the same on all processes.
        generators: random streams by name, saved; ask for one by `generator`.
        rank: number of this process, from 0, of `ranks` that train together.
        ranks: processes.
        gather_rows: what `gather` does when there are several.
    """

    data: TrainingSet
    modules: dict[str, nn.Module]
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    tensors: dict[str, Tensor] = field(default_factory=dict)
    generators: dict[str, Generator] = field(default_factory=dict)
    rank: int = 0
    ranks: int = 1
    gather_rows: Callable[[Tensor], Tensor] | None = None

    def generator(self, name: str) -> Generator:
        """The random stream of this name, on the run's device; its seed depends on the run's seed and the name only.

        It is the same on all processes, which must draw the same from it: for what a loss draws.
        """
        if name not in self.generators:
            self.generators[name] = self._seeded(name)
        return self.generators[name]

    def generator_at(self, name: str, cursor: Cursor) -> Generator:
        """A fresh random stream, whose seed depends on the run's seed, the name and the cursor's path only.

        For what a stage's `reads` draws: the same in a resumed run, other in each round of a `Repeat`.
        """
        return self._seeded("/".join([name, *map(str, cursor.path)]))

    def _seeded(self, name: str) -> Generator:
        digest = hashlib.blake2b(f"{self.seed}/{name}".encode(), digest_size=8).digest()
        return Generator(self.device).manual_seed(int.from_bytes(digest, "big") >> 1)

    def batch(self, index: Tensor, step: int | Cursor) -> Batch:
        """The items at these places, int64 (B,), labelled ones first; of each kind the share of this process.

        Args:
            index: places in the training set.
            step: of the stage, or the cursor that stands there. The views that are drawn follow from it and the run's
                seed: within a `Repeat` each round and stage draws others by its cursor, and the same by its step.
        """
        place: tuple[int, ...] = ()
        if not isinstance(step, int):
            place, step = step.path if step.rounds else (), step.step
        return self.data.batch(index, step=step, place=place, rank=self.rank, ranks=self.ranks, seed=self.seed)

    def gather(self, x: Tensor) -> Tensor:
        """Rows of all processes, in the order of the processes; gradients flow back to the process of each row."""
        return x if self.gather_rows is None else self.gather_rows(x)

    @contextmanager
    def drawing_from(self, name: str) -> Iterator[Generator]:
        """Let torch's default generator of the device, which dropout uses, run on the stream of this name.

        Each process has a stream of its own, since each draws for items of its own.
        """
        generator = self.generator(name if self.ranks == 1 else f"{name}@{self.rank}")
        default = (
            torch.cuda.default_generators[generator.device.index or 0]
            if generator.device.type == "cuda"
            else torch.default_generator
        )
        outside = default.get_state()
        default.set_state(generator.get_state())
        try:
            yield default
        finally:
            generator.set_state(default.get_state())
            default.set_state(outside)
