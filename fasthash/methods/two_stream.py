"""What the methods share that read labelled and unlabelled items side by side: batches, one stage, random streams."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fasthash.data import Batch, ItemSpec, Perturbation, TrainingSet, TwoStreamSampler
from fasthash.methods._options import check_count, check_range
from fasthash.methods.method import Method
from fasthash.methods.optimiser import OptimiserConfig
from fasthash.methods.plan import Cursor, Plan, Stage
from fasthash.methods.state import State


@dataclass(frozen=True)
class TwoStreamMethod(Method):
    """One stage, `train`, of batches that hold labelled items first and unlabelled ones after them.

    A subclass says how many are labelled and what the losses of a batch are.

    Attributes:
        perturbation: of the items before the network.
        epochs: passes over the unlabelled items (over the labelled ones if there are no others).
        batch_size: items a step.
        optimiser: rates and their course.

    Raises:
        TypeError: an option of the wrong kind.
        ValueError: a number out of range.
    """

    learns_pairs: ClassVar[bool] = False

    perturbation: Perturbation = field(default_factory=Perturbation)
    epochs: float = 100
    batch_size: int = 128
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)

    def __post_init__(self) -> None:
        check_range(type(self).__name__, "(0, inf)", epochs=self.epochs)
        super().__post_init__()
        check_count(type(self).__name__, 1, batch_size=self.batch_size)

    @abstractmethod
    def labelled_a_batch(self) -> int:
        """Labelled items of a batch, where the data has both kinds."""

    @abstractmethod
    def losses(self, state: State, batch: Batch, epoch: float) -> dict[str, Tensor]:
        """The weighted terms of one step, by name; `epoch` counts passes done."""

    def modules(self, network: nn.Module, items: ItemSpec) -> dict[str, nn.Module]:
        """The student alone."""
        return {"student": network}

    def encoder(self, modules: dict[str, nn.Module]) -> nn.Module:
        """The student."""
        return modules["student"]

    def plan(self, data: TrainingSet, seed: int) -> Plan:
        """One stage, `train`."""
        sampler = self.sampler(data, seed)
        length = sampler.steps(self.epochs)

        def reads(state: State, cursor: Cursor) -> Iterator[Batch]:
            batches = sampler.in_rounds(cursor.rounds)
            batches.load_state_dict({"next": cursor.step})
            return (
                state.batch(index, Cursor(cursor.path, step)) for step, index in enumerate(batches, start=cursor.step)
            )

        return [
            Stage(
                "train",
                length=length,
                reads=reads,
                step=lambda state, batch, cursor: self.losses(state, batch, cursor.step / sampler.epoch_length),
                optimisers={"student": self.student_optimiser},
                rate=lambda cursor: self.optimiser.rate(cursor.step, length),
                after_step=lambda state, cursor: self.after_step(state, cursor.step, sampler.epoch_length),
            )
        ]

    def sampler(self, data: TrainingSet, seed: int) -> TwoStreamSampler:
        """The batches: labelled and unlabelled items at the ratio of the options, or all of the one kind there is.

        Raises:
            ValueError: data of pairs for a method that needs classes.
        """
        if data.pairs is not None and not self.learns_pairs:
            raise ValueError(f"{type(self).__name__}: data must have labels, got pairs")
        labelled = (
            self.labelled_a_batch() if data.labelled and data.unlabelled else self.batch_size * bool(data.labelled)
        )
        return TwoStreamSampler(
            data.labelled,
            data.unlabelled,
            batch_size=self.batch_size,
            labelled=labelled,
            seed=seed,
            pairs=data.pairs,
        )

    def student_optimiser(self, state: State) -> Optimizer:
        """What moves the student."""
        return self.optimiser.build(state.modules["student"])

    def after_step(self, state: State, step: int, epoch_length: float) -> None:
        """Called after optimiser step `step`, from 1."""

    def gathered(self, state: State, batch: Batch, outputs: Tensor) -> Tensor:
        """Outputs of this process's items, or of its labelled ones, with those of all processes, labelled first."""
        if len(outputs) == len(batch.index):
            return state.gather(outputs)  # one process: the order is that of the batch
        parts = outputs.split([batch.labelled_here, len(outputs) - batch.labelled_here])
        return torch.cat([state.gather(part) for part in parts])

    @property
    def scale(self) -> float:
        """Factor of the products in likelihoods of pseudo-pairs: from 16 bits on they reach as far as those of 16."""
        return min(1, 16 / self.bits) / 2

    def forward(self, state: State, module: str, x: Tensor, stream: str) -> Tensor:
        """Relaxed codes of a random view of x; view and dropout draw from the stream of this name."""
        with state.drawing_from(stream) as generator:
            return cast(Tensor, state.modules[module](self.perturbation(x, generator)))


@dataclass(frozen=True)
class SupervisedMethod(TwoStreamMethod):
    """A method that learns from the labelled items of a batch and leaves the others alone.

    It reads the batches of the semi-supervised methods, so that a comparison differs in the loss only. A subclass says
    what the losses of outputs and labels are.

    Attributes:
        labelled: labelled items a step.

    Raises:
        ValueError: labelled outside [0, batch_size], or a network with outputs in (0, 1).
    """

    learns_pairs: ClassVar[bool] = True

    labelled: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self).__name__
        check_count(name, 0, labelled=self.labelled)
        if self.labelled > self.batch_size:
            raise ValueError(f"{name}: labelled must be <= batch_size {self.batch_size}, got {self.labelled}")
        if self.network.relaxation == "sigmoid":
            raise ValueError(f'{name}: network.relaxation must be "tanh" or "none", got {self.network.relaxation!r}')

    def labelled_a_batch(self) -> int:
        """`labelled`."""
        return self.labelled

    def losses(self, state: State, batch: Batch, epoch: float) -> dict[str, Tensor]:
        """Supervised terms of the labelled items."""
        u = state.gather(self.forward(state, "student", batch.labelled_x(), "labelled"))
        return self.supervised(u, batch.labels[: batch.labelled], batch.pair_similarity())

    @abstractmethod
    def supervised(self, u: Tensor, labels: Tensor, pairs: tuple[Tensor, Tensor] | None = None) -> dict[str, Tensor]:
        """The weighted terms of outputs (n, bits) of labelled items, by name.

        Args:
            u: the outputs.
            labels: theirs, (n,) class ids or (n, classes) multi-hot.
            pairs: where pairs are known and not classes, which are similar and which known, bool (n, n).
        """
