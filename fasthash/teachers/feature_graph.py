"""Nearest neighbours by real feature vectors, in blocks: for graphs on fixed features of a whole training set."""

from __future__ import annotations

import torch
from torch import Tensor

from fasthash.teachers._origin import central_item

_NONE = torch.iinfo(torch.int64).max


@torch.no_grad()
def feature_knn_graph(
    features: Tensor,
    k: int,
    *,
    database: Tensor | None = None,
    rows: int = 1024,
    columns: int = 16384,
) -> Tensor:
    """The k nearest others of each item by Euclidean distance, then by lower index; (n, k) and one block are in memory.

    Distances are computed in float32, of float64 vectors in float64, and compared as float32. For codes use
    `knn_graph`. For cosine similarity give vectors of length 1.

    Args:
        features: (n, d), floating.
        k: neighbours an item.
        database: (m, d), where neighbours are looked for; None = features themselves, without the item.
        rows: items of a block.
        columns: neighbours of a block.

    Returns:
        int64 (n, k), nearest first; -1 where there are fewer.

    Raises:
        TypeError: features not floating.
        ValueError: shapes that do not fit, k or block sizes below 1.

    Example:
        >>> import torch
        >>> from fasthash.teachers import feature_knn_graph
        >>> feature_knn_graph(torch.tensor([[0.0], [1.0], [3.0]]), 2).tolist()
        [[1, 2], [0, 2], [1, 0]]
    """
    other = features if database is None else database
    if not features.is_floating_point() or not other.is_floating_point():
        raise TypeError(f"feature_knn_graph: features must be floating, got {features.dtype} and {other.dtype}")
    if features.ndim != 2 or other.ndim != 2 or features.shape[1] != other.shape[1]:
        raise ValueError(
            "feature_knn_graph: features and database must have shapes (n, d) and (m, d), "
            f"got {tuple(features.shape)} and {tuple(other.shape)}"
        )
    for name, value in (("k", k), ("rows", rows), ("columns", columns)):
        if value < 1:
            raise ValueError(f"feature_knn_graph: {name} must be >= 1, got {value}")
    origin = central_item(other)
    found = [
        _nearest(features, other, origin, start, k, rows, columns, database is None)
        for start in range(0, len(features), rows)
    ]
    return torch.cat(found) if found else torch.empty((0, k), dtype=torch.int64, device=features.device)


def neighbour_table(features: Tensor, k: int) -> Tensor:
    """Each item and its k - 1 nearest others by cosine, then by lower index; the item itself is first in any case.

    Args:
        features: (n, d), floating, rows of length 1, or of zeros, whose cosine to all others is 0 and to each other 1.
        k: places of a row.

    Returns:
        int64 (n, k); -1 where there are fewer items.

    Raises:
        TypeError, ValueError: as `feature_knn_graph`; k below 2.

    Example:
        >>> import torch
        >>> from fasthash.teachers import neighbour_table
        >>> neighbour_table(torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]), 2).tolist()
        [[0, 1], [1, 0], [2, 1]]
    """
    if k < 2:
        raise ValueError(f"neighbour_table: k must be >= 2, got {k}")
    empty = ~features.any(1)
    if empty.any():
        # To a row of length 1 zeros are as near as a cosine of 1/2: they get a coordinate of their own.
        features = torch.cat([features, empty[:, None].to(features.dtype)], 1)
    others = feature_knn_graph(features, k - 1)
    return torch.cat([torch.arange(len(features), device=features.device)[:, None], others], 1)


def _nearest(
    x: Tensor, other: Tensor, origin: Tensor, start: int, k: int, rows: int, columns: int, itself: bool
) -> Tensor:
    dtype = torch.promote_types(x.dtype, origin.dtype)
    queries = x[start : start + rows].to(dtype) - origin
    best = torch.full((len(queries), k), _NONE, device=x.device)
    norms = queries.square().sum(1, keepdim=True)
    for first in range(0, len(other), columns):
        block = other[first : first + columns].to(dtype) - origin
        distance = (norms + block.square().sum(1) - 2 * queries @ block.T).clamp(min=0).float()
        places = torch.arange(first, first + len(block), device=x.device)
        # Bits of floats from 0 on ascend with the floats: with the place below them, one key orders both.
        keys = (distance.view(torch.int32).to(torch.int64) << 32) | places
        if itself:
            keys[places == torch.arange(start, start + len(queries), device=x.device)[:, None]] = _NONE
        best = torch.cat([best, keys], 1).topk(k, largest=False, sorted=True).values
    return torch.where(best == _NONE, -1, best & 0xFFFFFFFF)
