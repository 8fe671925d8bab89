"""A method is a plan: stages one after another, some of them repeated.

The loop in `fasthash.training` runs any plan and knows nothing else about a method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import Tensor
from torch.optim import Optimizer

from fasthash.data import Batch
from fasthash.methods.state import State


@dataclass(frozen=True)
class Cursor:
    """A point of a plan, which everything before it has been done.

    Attributes:
        path: where the stage stands: its place in the plan; inside a `Repeat` that one's place, the round, the place
            within it, and so on down.
        step: optimiser steps done in the stage.
    """

    path: tuple[int, ...]
    step: int = 0

    @property
    def rounds(self) -> tuple[int, ...]:
        """The counter of each `Repeat` around the stage, from 0, outermost first."""
        return self.path[1::2]


Losses: TypeAlias = Mapping[str, Tensor]


@dataclass(frozen=True)
class Stage:
    """One stage: either steps of optimisers on batches, or one closed-form `run`.

    Attributes:
        name: what logs call it.
        length: optimiser steps, fixed beforehand.
        reads: (state, cursor) -> the batches from `cursor.step` on, at least to the end of the stage. The same cursor
            gives the same batches: this is what makes a run resumable.
        step: (state, batch, cursor) -> the named terms of the loss, already weighted; their sum is minimised. With
            several optimisers: such a mapping for each, by the optimiser's name; each moves its own parameters only.
        optimisers: by name, what makes each from the state. An optimiser lives as long as the run: a stage that names
            it again, or a later round of a `Repeat`, goes on with it.
        rate: (cursor) -> factor of the learning rates at this step.
        after_step: (state, cursor) after the optimisers have stepped; `cursor.step` counts that step.
        end: (state, cursor) once, after the last step or after `run`.
        run: (state, cursor), a stage in closed form, in place of all of the above but `end`.
        quick: of a `run` that is done again sooner than a checkpoint is written: none follows it.
        keeps_weights: of a `run` that sets none: a running mean of the weights may end with it.

    Raises:
        ValueError: neither steps nor a run, both, steps without what they need, or steps that are quick or said to keep
            weights.
    """

    name: str
    length: int = 0
    reads: Callable[[State, Cursor], Iterator[Batch]] | None = None
    step: Callable[[State, Batch, Cursor], Losses | Mapping[str, Losses]] | None = None
    optimisers: Mapping[str, Callable[[State], Optimizer]] = field(default_factory=dict)
    rate: Callable[[Cursor], float] | None = None
    after_step: Callable[[State, Cursor], None] | None = None
    end: Callable[[State, Cursor], None] | None = None
    run: Callable[[State, Cursor], None] | None = None
    quick: bool = False
    keeps_weights: bool = False

    def __post_init__(self) -> None:
        trains = self.step is not None
        if trains == (self.run is not None):
            raise ValueError(f"Stage: {self.name!r} must have either step or run")
        if trains != (self.length > 0 and self.reads is not None and bool(self.optimisers)):
            raise ValueError(
                f"Stage: {self.name!r} must have length > 0, reads and optimisers if it has step, else none"
            )
        if (self.quick or self.keeps_weights) and trains:
            raise ValueError(f"Stage: {self.name!r} must have run to be quick or to keep weights")


@dataclass(frozen=True)
class Repeat:
    """A plan run `times` times."""

    plan: Sequence[Stage | Repeat]
    times: int


Plan: TypeAlias = Sequence[Stage | Repeat]


def walk(plan: Plan, prefix: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Stage]]:
    """The stages in the order in which they run, each with its path; paths ascend.

    Example:
        >>> from fasthash.methods import Repeat, Stage, walk
        >>> a, b = (Stage(name, run=lambda state, cursor: None) for name in "ab")
        >>> [(path, stage.name) for path, stage in walk([a, Repeat([a, b], times=2)])]
        [((0,), 'a'), ((1, 0, 0), 'a'), ((1, 0, 1), 'b'), ((1, 1, 0), 'a'), ((1, 1, 1), 'b')]
    """
    for place, part in enumerate(plan):
        if isinstance(part, Stage):
            yield (*prefix, place), part
        else:
            for turn in range(part.times):
                yield from walk(part.plan, (*prefix, place, turn))
