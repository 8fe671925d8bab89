"""Signs of all pairs of a training set in two planes of bits: a quarter of a byte a pair."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from fasthash.ops import pack


def sign_planes(blocks: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Where signs are +1, and where they are -1.

    Args:
        blocks: (rows, n) of +1, -1 and 0, at least one, in order, as `distil_pairs` gives them.

    Returns:
        Two planes, uint8 (n, ceil(n / 8)), each row packed as codes are.

    Raises:
        ValueError: no block.

    Example:
        >>> import torch
        >>> from fasthash.teachers import sign_planes, signs_at
        >>> planes = sign_planes(torch.tensor([[1, -1, 0], [-1, 1, 1], [0, 1, 1]]).split(2))
        >>> signs_at(planes, torch.tensor([2, 1])).tolist()
        [[1, 1], [1, 1]]
    """
    # One pass, since blocks are dear to compute.
    planes = [(pack(block > 0), pack(block < 0)) for block in blocks]
    if not planes:
        raise ValueError("sign_planes: blocks must be at least one, got none")
    positive, negative = zip(*planes, strict=True)
    return torch.cat(positive), torch.cat(negative)


def signs_at(planes: tuple[Tensor, Tensor], index: Tensor) -> Tensor:
    """Signs of the pairs of the items at these places, int64 (b,): int8 (b, b) of +1, -1 and 0."""
    positive, negative = (_bits(plane, index) for plane in planes)
    return positive - negative


def _bits(plane: Tensor, index: Tensor) -> Tensor:
    columns = plane[index][:, index >> 3]
    return ((columns >> (7 - (index & 7)).to(torch.uint8)) & 1).to(torch.int8)
