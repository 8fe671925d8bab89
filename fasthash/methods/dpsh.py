"""Supervised baseline: pairwise likelihood and quantisation on the labelled items, nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, cast

from torch import Tensor, nn
from torch.optim import Optimizer

from fasthash.data import Batch, ItemSpec, Perturbation, TrainingSet, TwoStreamSampler
from fasthash.losses import dsh, l1_quantization, label_similarity, pairwise_likelihood, quantization
from fasthash.methods.method import Method
from fasthash.methods.optimiser import OptimiserConfig
from fasthash.methods.plan import Cursor, Plan, Stage
from fasthash.methods.registry import register
from fasthash.methods.state import State


@register("dpsh")
@dataclass(frozen=True)
class DPSH(Method):
    """Deep pairwise supervised hashing on the labelled stream, in batches.

    In the spirit of DPSH, Li, Wang and Kang, "Feature Learning based Deep Supervised Hashing with Pairwise Labels",
    IJCAI 2016. Differences: outputs through tanh, pairs within a batch (there: with the stored outputs of the whole
    training set), means in place of sums, AdamW. It reads the batches of the semi-supervised methods and leaves their
    unlabelled items alone, so that a comparison differs in the loss only.

    Attributes:
        sup: "dpsh" (pairwise likelihood and squared quantisation) or "dsh" (contrastive, with its own regulariser).
        q: weight of the quantisation; None = 0.1 for "dpsh", 0.02 for "dsh", the publications' weights in our units.
        perturbation: of the items before the network.
        epochs: passes over the unlabelled items (over the labelled ones if there are no others).
        batch_size: items a step.
        labelled: labelled items among them.
        optimiser: rates and their course.

    Raises:
        ValueError: an unknown sup.

    Example:
        >>> from fasthash import methods
        >>> baseline = methods.create("dpsh", bits=32, epochs=10)
    """

    sup: Literal["dpsh", "dsh"] = "dpsh"
    q: float | None = None
    perturbation: Perturbation = field(default_factory=Perturbation)
    epochs: float = 100
    batch_size: int = 128
    labelled: int = 32
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)

    def __post_init__(self) -> None:
        if self.sup not in ("dpsh", "dsh"):
            raise ValueError(f'{type(self).__name__}: sup must be "dpsh" or "dsh", got {self.sup!r}')

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
            sampler.load_state_dict({"next": cursor.step})
            return (state.batch(index, step) for step, index in enumerate(sampler, start=cursor.step))

        def student_optimiser(state: State) -> Optimizer:
            return self.optimiser.build(state.modules["student"])

        return [
            Stage(
                "train",
                length=length,
                reads=reads,
                step=lambda state, batch, cursor: self.losses(state, batch, cursor.step / sampler.epoch_length),
                optimisers={"student": student_optimiser},
                rate=lambda cursor: self.optimiser.rate(cursor.step, length),
                after_step=lambda state, cursor: self.after_step(state, cursor.step, sampler.epoch_length),
            )
        ]

    def sampler(self, data: TrainingSet, seed: int) -> TwoStreamSampler:
        """The batches: labelled and unlabelled items at the ratio of the options."""
        labelled = self.labelled if data.unlabelled else self.batch_size
        return TwoStreamSampler(
            data.labelled, data.unlabelled, batch_size=self.batch_size, labelled=labelled, seed=seed
        )

    def losses(self, state: State, batch: Batch, epoch: float) -> dict[str, Tensor]:
        """The weighted terms of one step, by name; `epoch` counts passes done."""
        u = state.gather(self.forward(state, "student", batch.labelled_x(), "labelled"))
        return self.supervised(u, batch.labels[: batch.labelled])

    def after_step(self, state: State, step: int, epoch_length: float) -> None:
        """Called after optimiser step `step`, from 1."""

    def forward(self, state: State, module: str, x: Tensor, stream: str) -> Tensor:
        """Relaxed codes of a random view of x; view and dropout draw from the stream of this name."""
        with state.drawing_from(stream) as generator:
            return cast(Tensor, state.modules[module](self.perturbation(x, generator)))

    def supervised(self, u: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Supervised term and quantisation of outputs (n, bits) of labelled items."""
        similarity, known = label_similarity(labels)
        if self.sup == "dpsh":
            pairs, rounding, weight = pairwise_likelihood(u, similarity, mask=known), quantization(u), 0.1
        else:
            pairs, rounding, weight = dsh(u, similarity, mask=known), l1_quantization(u), 0.02
        return {self.sup: pairs, "quantization": (weight if self.q is None else self.q) * rounding}
