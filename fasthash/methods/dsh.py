"""Supervised baseline: similar pairs at no distance, dissimilar ones beyond a margin."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from fasthash.losses import dsh, l1_quantization, label_similarity
from fasthash.methods._options import check_range
from fasthash.methods.registry import register
from fasthash.methods.two_stream import SupervisedMethod
from fasthash.networks import NetworkConfig


@register("dsh")
@dataclass(frozen=True)
class DSH(SupervisedMethod):
    """Deep supervised hashing: mean over pairs of s/2 E + (1 - s)/2 max(0, margin - E), E = |u_i - u_j|^2.

    Liu, Wang, Shan and Chen, "Deep Supervised Hashing for Fast Image Retrieval", CVPR 2016: the outputs are linear, and
    a regulariser pulls them to -1 and +1. Differences: the mean runs over i != j of the labelled items of a batch, and
    network, optimiser and course are those of the package, not the paper's (three convolutions, SGD).

    Attributes:
        network: the hash network; linear outputs, as published, unless its relaxation says otherwise.
        margin: on squared distances; None = 2 bits, as published.
        q: weight of the regulariser, mean over items of sum_k | |u_k| - 1 |; the paper's 0.01 counts it for both items
            of a pair.

    Raises:
        TypeError, ValueError: an option of another kind, or out of range.

    Example:
        >>> from fasthash import methods
        >>> baseline = methods.create("dsh", bits=48, epochs=10)
    """

    network: NetworkConfig = field(default_factory=lambda: NetworkConfig(relaxation="none"))
    margin: float | None = None
    q: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("DSH", "(0, inf)", margin=self.margin)
        check_range("DSH", "[0, inf)", q=self.q)

    def supervised(self, u: Tensor, labels: Tensor, pairs: tuple[Tensor, Tensor] | None = None) -> dict[str, Tensor]:
        """Contrastive term and regulariser of outputs (n, bits) of labelled items."""
        similarity, known = label_similarity(labels) if pairs is None else pairs
        contrast = dsh(u, similarity, mask=known, margin=self.margin)
        return {"dsh": contrast, "quantization": self.q * l1_quantization(u)}
