"""The reward of a selector of hard items: how near an item's distance is to one margin beyond a positive."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def selector_reward(near: Tensor, far: Tensor, *, margin: float) -> Tensor:
    """10^-|beta + near - far|: 1 where the item is exactly one margin farther than the positive.

    Source: SKDCH, Su, Gu, Ren, Fu and Zhao, TMM 2021, in the form of the authors' release, after SCH-GAN.

    Args:
        near: distances of queries to positives, any shape.
        far: distances of the same queries to the items that were selected.
        margin: beta.

    Returns:
        In [0, 1], of the same shape, without gradient; 0 where it is too small for the floats.

    Example:
        >>> import torch
        >>> from fasthash.teachers import selector_reward
        >>> [round(r, 4) for r in selector_reward(torch.ones(2), torch.tensor([6.0, 6.5]), margin=5.0).tolist()]
        [1.0, 0.3162]
    """
    return torch.pow(10.0, -(margin + near - far).abs())
