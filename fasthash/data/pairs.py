"""Supervision by pairs of items: which are known to be similar, which not."""

from __future__ import annotations

import torch
from torch import Tensor


def checked_pairs(pairs: Tensor, rows: Tensor) -> Tensor:
    """Pairs (m, 3) of rows and 1 or 0, as int64.

    Raises:
        TypeError: no integers.
        ValueError: another shape, no pair, rows that are not among `rows`, an item with itself, or a pair named twice.
    """
    if pairs.is_floating_point() or pairs.is_complex() or pairs.dtype == torch.bool:
        raise TypeError(f"TrainingSet: pairs: expected integers, got {pairs.dtype}")
    if pairs.ndim != 2 or pairs.shape[1] != 3 or not len(pairs):
        raise ValueError(f"TrainingSet: pairs: expected shape (pairs, 3), at least one, got {tuple(pairs.shape)}")
    pairs = pairs.to("cpu", torch.int64)
    items, value = pairs[:, :2].contiguous(), pairs[:, 2]
    if not torch.isin(items, rows).all():
        raise ValueError("TrainingSet: pairs: expected items of unlabelled, got others")
    if (items[:, 0] == items[:, 1]).any():
        raise ValueError("TrainingSet: pairs: expected two different items, got one with itself")
    if not ((value == 0) | (value == 1)).all():
        raise ValueError("TrainingSet: pairs: expected 1 = similar or 0 = not, got other values")
    if len(items.sort(1).values.unique(dim=0)) < len(items):
        raise ValueError("TrainingSet: pairs: expected each pair once, got some named twice")
    return pairs


_PLACES = 2**31  # more than a set has; a pair of places is one int64


class PairTable:
    """Finds the known pairs among items of a batch.

    Args:
        pairs: int64 (m, 3), rows and 1 or 0.
        rows: int64 (n,), all rows that they name; an item's place is its place among them.

    Example:
        >>> import torch
        >>> from fasthash.data.pairs import PairTable
        >>> table = PairTable(torch.tensor([[7, 5, 1], [5, 9, 0]]), rows=torch.tensor([5, 7, 9]))
        >>> table.pairs.tolist()
        [[1, 0, 1], [0, 2, 0]]
        >>> table.among(torch.tensor([2, 1, 0])).tolist()
        [[0, 2, 0], [1, 2, 1]]
    """

    def __init__(self, pairs: Tensor, rows: Tensor) -> None:
        order = rows.argsort()
        places = order[torch.searchsorted(rows[order], pairs[:, :2].contiguous())]
        self.pairs = torch.cat([places, pairs[:, 2:]], 1)
        self._keys, sorting = self._key(places[:, 0], places[:, 1]).sort()
        self._values = pairs[sorting, 2]

    def among(self, index: Tensor) -> Tensor:
        """The pairs of items at these places, int64 (b,): int64 (p, 3), two positions in `index`, and 1 or 0."""
        first, second = torch.triu_indices(len(index), len(index), 1)
        similar, known = self.look_up(index[first], index[second])
        return torch.stack([first[known], second[known], similar[known].long()], 1)

    def look_up(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Whether pairs of items at these places, int64 of one shape, are similar, and whether they are known: bool."""
        keys = self._key(one, other)
        found = torch.searchsorted(self._keys, keys).clamp(max=len(self._keys) - 1)
        known = self._keys[found] == keys
        return known & (self._values[found] == 1), known

    def _key(self, one: Tensor, other: Tensor) -> Tensor:
        return torch.minimum(one, other) * _PLACES + torch.maximum(one, other)
