"""Unsupervised baseline: principal components, rotated so that their signs lose least."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fasthash.methods._linear import LinearMethod, feature_blocks, principal_directions, set_head
from fasthash.methods._options import check_count
from fasthash.methods.registry import register
from fasthash.methods.state import State


@register("itq")
@dataclass(frozen=True)
class ITQ(LinearMethod):
    """Iterative quantisation: V = (F - mean) W with principal directions W, then R minimises |B - V R|^2.

    Source: Gong and Lazebnik, "Iterative Quantization: A Procrustean Approach to Learning Binary Codes", CVPR 2011
    (with Gordo and Perronnin, TPAMI 2013), the unsupervised form. From a random rotation: B = sgn(V R), then R = U_a
    U_b' from the decomposition B' V = U_b S U_a'. Neither can raise |B - V R|^2. sgn(0) is -1 here, as in `pack`.

    All of V is held, 4 bytes an item and bit; the sums over items are taken a block at a time in float64. The values of
    |B - V R|^2 / (items * bits), before each rotation and after the last, stay in the state's tensor "objective".

    Attributes:
        alternations: 50 in the publication.

    Raises:
        TypeError, ValueError: alternations no whole number, or negative; (in training) more bits than directions in
            which the features vary.

    Example:
        >>> from fasthash import methods
        >>> baseline = methods.create("itq", bits=32)
    """

    alternations: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("ITQ", 0, alternations=self.alternations)

    def solve(self, state: State) -> None:
        """Find directions and rotation."""
        directions, mean = principal_directions(state, self.bits, "ITQ")
        v = torch.cat([((block - mean) @ directions).float() for block in feature_blocks(state)])
        drawn = torch.randn(
            self.bits, self.bits, generator=state.generator("rotation"), dtype=torch.float64, device=state.device
        )
        rotation, objective = rotate(v, torch.linalg.svd(drawn)[0], self.alternations)
        state.tensors["objective"] = objective
        set_head(state, directions @ rotation, mean)


def rotate(v: Tensor, rotation: Tensor, alternations: int, *, block: int = 65536) -> tuple[Tensor, Tensor]:
    """The alternation of `ITQ`.

    Args:
        v: centred items (n, bits), floating.
        rotation: to start from, orthogonal (bits, bits), float64.
        alternations: how many.
        block: rows at once.

    Returns:
        rotation (bits, bits), and the objective before each alternation and after the last, (alternations + 1,), both
        float64.
    """
    objective = []
    for turn in range(alternations + 1):
        correlation = torch.zeros_like(rotation)
        total = torch.zeros((), dtype=torch.float64, device=v.device)
        for part in v.split(block):
            part = part.double()
            rotated = part @ rotation
            codes = torch.where(rotated > 0, 1.0, -1.0).double()
            total += (codes - rotated).square().sum()
            correlation += codes.T @ part
        objective.append(total / max(v.numel(), 1))
        if turn < alternations:
            left, _, right = torch.linalg.svd(correlation)
            rotation = right.T @ left.T
    return rotation, torch.stack(objective)
