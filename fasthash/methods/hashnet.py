"""Supervised baseline: a likelihood in which rare similar pairs count as much, on outputs that sharpen to codes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fasthash.data import Batch, ItemSpec
from fasthash.losses import balanced_likelihood, label_similarity
from fasthash.methods._options import check_range
from fasthash.methods.registry import register
from fasthash.methods.state import State
from fasthash.methods.two_stream import SupervisedMethod
from fasthash.networks import HashNetwork, NetworkConfig


@register("hashnet")
@dataclass(frozen=True)
class HashNet(SupervisedMethod):
    """HashNet: weighted pairwise likelihood of h = tanh(beta z) with growing beta.

    Cao, Long, Wang and Yu, "HashNet: Deep Learning to Hash by Continuation", ICCV 2017. Mean over pairs of
    w_ij (log(1 + exp(alpha h_i.h_j)) - alpha s_ij h_i.h_j) with w_ij = c_ij |S| / |S_1| for similar and |S| / |S_0| for
    dissimilar pairs, counted in the batch; c_ij = shared labels / labels of either, 1 for class ids.

    beta grows as sqrt(1 + (beta_max^2 - 1) t) over the run, t from 0 to 1: the authors' release has
    sqrt(1 + 0.005 * iteration) over 10,000 iterations, changed every 200 of them (the paper trains to convergence at
    each of a few values). Other differences: pairs i != j within the labelled items of a batch (there between two
    batches), and the package's network and optimiser.

    Attributes:
        network: the hash network; its relaxation is "none", since this method relaxes the outputs itself.
        alpha: scale of the products; None = 10 / bits, as released.
        beta_max: sharpness at the end.

    Raises:
        TypeError, ValueError: an option of another kind, or out of range, or a network with a relaxation of its own.

    Example:
        >>> from fasthash import methods
        >>> method = methods.create("hashnet", bits=48, epochs=10)
        >>> [round(method.beta(epoch), 3) for epoch in (0, 5, 10)]
        [1.0, 5.099, 7.141]
    """

    network: NetworkConfig = field(default_factory=lambda: NetworkConfig(relaxation="none"))
    alpha: float | None = None
    beta_max: float = math.sqrt(51)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("HashNet", "(0, inf)", alpha=self.alpha)
        check_range("HashNet", "[1, inf)", beta_max=self.beta_max)
        if self.network.relaxation != "none" or self.network.straight_through:
            raise ValueError(
                f'HashNet: network.relaxation must be "none", not straight through, got {self.network.relaxation!r} '
                f"and {self.network.straight_through!r}"
            )

    def modules(self, network: nn.Module, items: ItemSpec) -> dict[str, nn.Module]:
        """The student alone.

        Raises:
            ValueError: a `HashNetwork` of the caller's that relaxes its outputs.
        """
        if isinstance(network, HashNetwork) and (network.relaxation != "none" or network.straight_through):
            raise ValueError(f'HashNet: network must have relaxation "none", got {network.relaxation!r}')
        return super().modules(network, items)

    def losses(self, state: State, batch: Batch, epoch: float) -> dict[str, Tensor]:
        """The likelihood of the labelled items."""
        z = state.gather(self.forward(state, "student", batch.labelled_x(), "labelled"))
        u = torch.tanh(self.beta(epoch) * z)
        return self.supervised(u, batch.labels[: batch.labelled], batch.pair_similarity())

    def beta(self, epoch: float) -> float:
        """Sharpness after this many passes."""
        return math.sqrt(1 + (self.beta_max**2 - 1) * epoch / self.epochs)

    def supervised(self, u: Tensor, labels: Tensor, pairs: tuple[Tensor, Tensor] | None = None) -> dict[str, Tensor]:
        """The weighted likelihood of relaxed outputs (n, bits) of labelled items."""
        similarity, known = label_similarity(labels) if pairs is None else pairs
        alpha = 10 / self.bits if self.alpha is None else self.alpha
        weight = shared_share(labels) if labels.ndim == 2 else None
        return {"hashnet": 2 * balanced_likelihood(u, similarity, mask=known, scale=alpha, weight=weight)}


def shared_share(labels: Tensor) -> Tensor:
    """c_ij of multi-hot labels (n, classes): shared labels over labels of either, 1 where none is shared; (n, n)."""
    sets = (labels > 0).float()
    shared = sets @ sets.T
    either = sets.sum(1)[:, None] + sets.sum(1)[None, :] - shared
    return torch.where(shared > 0, shared / either.clamp(min=1), 1.0)
