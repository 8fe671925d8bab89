"""Noisy similarity of pairs from features alone: which cosine distance makes a pair similar.

Distances are 1 - cos. Where they are thresholded is decided on pairs, never on labels.
"""

from __future__ import annotations

import torch
from torch import Tensor

_BINS = 0.01  # width of the bins of the histogram, of distances from 0 to 2


def noisy_signs(features: Tensor, others: Tensor, threshold: float | Tensor) -> Tensor:
    """Noisy labels: +1 where 1 - cos < threshold, else -1.

    Args:
        features: (n, d), floating, rows of length 1.
        others: (m, d), likewise.
        threshold: a cosine distance.

    Returns:
        int8 (n, m).

    Example:
        >>> import torch
        >>> from fasthash.teachers import noisy_signs
        >>> features = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
        >>> noisy_signs(features, features, 0.5).tolist()
        [[1, 1, -1], [1, 1, 1], [-1, 1, 1]]
    """
    with torch.autocast(features.device.type, enabled=False):
        near = 1 - features @ others.T < threshold
    return near.to(torch.int8).mul_(2).sub_(1)


def pair_distances(features: Tensor) -> Tensor:
    """Cosine distances of all pairs i < j of features (n, d), rows of length 1: float32 (n (n - 1) / 2,)."""
    first, second = torch.triu_indices(len(features), len(features), offset=1, device=features.device)
    return (1 - features @ features.T)[first, second]


def histogram_threshold(distances: Tensor) -> float:
    """The distance below which pairs are similar by the left side of the histogram: m - 2 s.

    m is the left edge of the fullest of the bins of width 0.01, s the deviation of a Gaussian fitted to the distances
    up to m mirrored about m; its mean is m. Source: unsupervised SSDH, Yang, Deng, Liu, Liu, Tao and Gao, "Semantic
    Structure-based Unsupervised Deep Hashing", IJCAI 2018, after its release. The right side says which pairs are
    surely dissimilar; where the undecided ones are taken as dissimilar too, it changes nothing.

    Args:
        distances: (pairs,), floating, of 0 to 2.

    Raises:
        ValueError: no distance.

    Example:
        >>> import torch
        >>> from fasthash.teachers import histogram_threshold
        >>> distances = torch.tensor([0.301, 0.405, 0.501, 0.505, 0.508, 0.7])
        >>> print(f"{histogram_threshold(distances):.3f}")
        0.188
    """
    if not len(distances):
        raise ValueError("histogram_threshold: distances must be at least one, got none")
    bins = (distances / _BINS).floor().clamp(0, 2 / _BINS - 1).to(torch.int64)
    middle = float(bins.bincount().argmax()) * _BINS
    left = distances[distances <= middle].double()
    return middle - 2 * float((left - middle).square().mean().sqrt()) if len(left) else middle


def quantile_threshold(distances: Tensor, share: float) -> float:
    """The distance below which this share of the pairs is similar.

    Args:
        distances: (pairs,), floating.
        share: in (0, 1).

    Raises:
        ValueError: no distance, or a share out of range.

    Example:
        >>> import torch
        >>> from fasthash.teachers import quantile_threshold
        >>> quantile_threshold(torch.tensor([0.25, 1.0, 0.5, 0.75]), 0.5)
        0.75
    """
    if not len(distances):
        raise ValueError("quantile_threshold: distances must be at least one, got none")
    if not 0 < share < 1:
        raise ValueError(f"quantile_threshold: share must lie in (0, 1), got {share}")
    # torch.quantile takes 16 million values at most.
    return float(distances.kthvalue(min(round(share * len(distances)) + 1, len(distances))).values)
