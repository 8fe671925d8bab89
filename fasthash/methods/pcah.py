"""Unsupervised baseline: signs of principal components."""

from __future__ import annotations

from dataclasses import dataclass

from fasthash.methods._linear import LinearMethod, principal_directions, set_head
from fasthash.methods.registry import register
from fasthash.methods.state import State


@register("pcah")
@dataclass(frozen=True)
class PCAH(LinearMethod):
    """PCA hashing: bit k is 1 where the k-th principal component of the item is positive.

    The directions are the first eigenvectors of the covariance of all training items, which is summed a block at a time
    in float64. Source: Wang, Zhang, Jing and Ma, "AnnoSearch: Image Auto-Annotation by Search", CVPR 2006; the baseline
    "PCA-Direct" of `ITQ`'s paper.

    Raises:
        ValueError: (in training) more bits than directions in which the features vary.

    Example:
        >>> from fasthash import methods
        >>> baseline = methods.create("pcah", bits=32)
    """

    def solve(self, state: State) -> None:
        """Find the directions."""
        set_head(state, *principal_directions(state, self.bits, "PCAH"))
