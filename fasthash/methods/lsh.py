"""Unsupervised baseline that learns nothing: signs of random projections."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from fasthash.methods._linear import LinearMethod, feature_mean, set_head
from fasthash.methods.registry import register
from fasthash.methods.state import State


@register("lsh")
@dataclass(frozen=True)
class LSH(LinearMethod):
    """Random hyperplanes: bit k is 1 where w_k . (f - mean) > 0, w_k drawn from the standard normal law.

    Two items at an angle t differ in a bit with probability t / pi. Source: Charikar, "Similarity Estimation Techniques
    from Rounding Algorithms", STOC 2002, section 3, for hyperplanes through the origin; through the mean is our option.

    Attributes:
        centre: let the hyperplanes pass through the mean of the training items; False = through the origin, as
            published. Features that are never negative lie in one corner, where few hyperplanes through the origin
            part them.

    Example:
        >>> from fasthash import methods
        >>> baseline = methods.create("lsh", bits=64)
    """

    centre: bool = True

    def solve(self, state: State) -> None:
        """Draw the hyperplanes."""
        mean = feature_mean(state) if self.centre else None
        student = self.encoder(state.modules)
        features = student.feature_size
        assert isinstance(features, int)
        directions = torch.randn(
            features, self.bits, generator=state.generator("hyperplanes"), dtype=torch.float64, device=state.device
        )
        set_head(state, directions, torch.zeros_like(directions[:, 0]) if mean is None else mean)
