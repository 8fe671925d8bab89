"""Supervised baseline: pairwise likelihood and quantisation on the labelled items, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from fasthash.losses import (
    balanced_likelihood,
    dsh,
    l1_quantization,
    label_similarity,
    pairwise_likelihood,
    quantization,
)
from fasthash.methods._options import check_choice, check_range
from fasthash.methods.registry import register
from fasthash.methods.two_stream import SupervisedMethod


@register("dpsh")
@dataclass(frozen=True)
class DPSH(SupervisedMethod):
    """Deep pairwise supervised hashing on the labelled stream, in batches.

    In the spirit of DPSH, Li, Wang and Kang, "Feature Learning based Deep Supervised Hashing with Pairwise Labels",
    IJCAI 2016. Differences: outputs through tanh, pairs within a batch (there: with the stored outputs of the whole
    training set), means in place of sums, AdamW.

    Attributes:
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

    sup: Literal["dpsh", "dsh", "balanced"] = "dpsh"
    q: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self).__name__
        check_choice(name, ("dpsh", "dsh", "balanced"), sup=self.sup)
        check_range(name, "[0, inf)", q=self.q)

    def supervised(self, u: Tensor, labels: Tensor, pairs: tuple[Tensor, Tensor] | None = None) -> dict[str, Tensor]:
        """Supervised term and quantisation of outputs (n, bits) of labelled items."""
        similarity, known = label_similarity(labels) if pairs is None else pairs
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
