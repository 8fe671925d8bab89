"""Losses of a class head that stands beside the hash head."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot

from fasthash.losses._pairs import at_least_float32


def classification(logits: Tensor, labels: Tensor, *, kind: Literal["squared", "bce", "softmax"]) -> Tensor:
    """How far a class head is from the labels.

    "squared": 1/(2n) sum of |sigmoid(g_i) - y_i|^2. "bce": cross-entropy of sigmoid(g) and y, summed over classes, mean
    over items. "softmax": cross-entropy of softmax(g) and one class an item.

    Source: SSDH, Zhang and Peng, TCSVT 2017: "squared" is what the authors' release minimises (it logs another value);
    the other two are reconstructed.

    Args:
        logits: g, outputs of the class head (n, classes), floating.
        labels: class ids (n,), integers from 0 on, or multi-hot (n, classes); "softmax" needs class ids.
        kind: the form.

    Returns:
        The loss, a scalar in float32 or float64; 0 without items.

    Raises:
        TypeError: logits not floating.
        ValueError: shapes that do not fit, an unknown kind, or "softmax" with multi-hot labels.

    Example:
        >>> import math, torch
        >>> from fasthash.losses import classification
        >>> print(f"{classification(torch.tensor([[math.log(3), 0.0]]), torch.tensor([0]), kind='squared'):.5f}")
        0.15625
    """
    if not logits.is_floating_point():
        raise TypeError(f"classification: logits must be a floating tensor, got {logits.dtype}")
    if logits.ndim != 2 or labels.shape not in (logits.shape[:1], logits.shape):
        raise ValueError(
            "classification: logits must have shape (n, classes) and labels (n,) or the same, "
            f"got {tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    if kind not in ("squared", "bce", "softmax"):
        raise ValueError(f'classification: kind must be "squared", "bce" or "softmax", got {kind!r}')
    if kind == "softmax" and labels.ndim == 2:
        raise ValueError('classification: labels must be class ids for "softmax", got multi-hot rows')
    g = at_least_float32(logits)
    items = max(len(g), 1)
    if kind == "softmax":
        return cross_entropy(g, labels.long(), reduction="sum") / items
    y = (one_hot(labels.long(), g.shape[1]) if labels.ndim == 1 else labels > 0).to(g.dtype)
    if kind == "squared":
        return (torch.sigmoid(g) - y).square().sum() / (2 * items)
    return binary_cross_entropy_with_logits(g, y, reduction="sum") / items
