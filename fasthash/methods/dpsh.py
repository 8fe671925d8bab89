"""Supervised baseline: pairwise likelihood and quantisation on the labelled items, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from fasthash.data import Batch
from fasthash.losses import (
    balanced_likelihood,
    dsh,
    l1_quantization,
    label_similarity,
    pairwise_likelihood,
    quantization,
)
from fasthash.methods._options import check_choice, check_count, check_range
from fasthash.methods.registry import register
from fasthash.methods.state import State
from fasthash.methods.two_stream import TwoStreamMethod


@register("dpsh")
@dataclass(frozen=True)
class DPSH(TwoStreamMethod):
    """Deep pairwise supervised hashing on the labelled stream, in batches.

    In the spirit of DPSH, Li, Wang and Kang, "Feature Learning based Deep Supervised Hashing with Pairwise Labels",
    IJCAI 2016. Differences: outputs through tanh, pairs within a batch (there: with the stored outputs of the whole
    training set), means in place of sums, AdamW. It reads the batches of the semi-supervised methods and leaves their
    unlabelled items alone, so that a comparison differs in the loss only.

    Attributes:
        labelled: labelled items a step.
        sup: "dpsh" (pairwise likelihood and squared quantisation), "dsh" (contrastive, with its own regulariser) or
            "balanced" (likelihood in which similar and dissimilar pairs weigh the same, and squared quantisation).
        q: weight of the quantisation; None = 0.02 for "dsh", else 0.1: the publications' weights in our units.

    Raises:
        TypeError: an option of the wrong kind.
        ValueError: an unknown sup, or a number out of range.

    Example:
        >>> from fasthash import methods
        >>> baseline = methods.create("dpsh", bits=32, epochs=10)
    """

    labelled: int = 32
    sup: Literal["dpsh", "dsh", "balanced"] = "dpsh"
    q: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self).__name__
        check_choice(name, ("dpsh", "dsh", "balanced"), sup=self.sup)
        check_range(name, "[0, inf)", q=self.q)
        check_count(name, 0, labelled=self.labelled)
        if self.labelled > self.batch_size:
            raise ValueError(f"{name}: labelled must be <= batch_size {self.batch_size}, got {self.labelled}")

    def labelled_a_batch(self) -> int:
        """`labelled`."""
        return self.labelled

    def losses(self, state: State, batch: Batch, epoch: float) -> dict[str, Tensor]:
        """Supervised terms of the labelled items."""
        u = state.gather(self.forward(state, "student", batch.labelled_x(), "labelled"))
        return self.supervised(u, batch.labels[: batch.labelled])

    def supervised(self, u: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Supervised term and quantisation of outputs (n, bits) of labelled items."""
        similarity, known = label_similarity(labels)
        losses: dict[str, Callable[..., Tensor]] = {
            "dpsh": pairwise_likelihood,
            "dsh": dsh,
            "balanced": balanced_likelihood,
        }
        return {self.sup: losses[self.sup](u, similarity, mask=known), "quantization": self.rounding(u)}

    def rounding(self, u: Tensor) -> Tensor:
        """The weighted quantisation of outputs (n, bits)."""
        term, weight = (l1_quantization(u), 0.02) if self.sup == "dsh" else (quantization(u), 0.1)
        return (weight if self.q is None else self.q) * term
