"""How probable it is that two items are similar, by a teacher: soft targets instead of pseudo-labels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot


def class_pair_probability(
    logits: Tensor, labels: Tensor, *, kind: Literal["softmax", "sigmoid"] = "softmax"
) -> Tensor:
    """The probability that two items share a class, by the posteriors of a class head.

    "softmax": q_ij = p_i . p_j, one class an item. "sigmoid": q_ij = 1 - prod_c (1 - p_ic p_jc), any number of classes.
    A labelled item's p is its label. Ours: what pseudo-labels become when their doubt is kept.

    Args:
        logits: outputs of the class head (n, classes), floating; no gradient flows.
        labels: class ids (n,), -1 = unlabelled; or multi-hot (n, classes), an all-zero row = unlabelled.
        kind: how logits become posteriors; "sigmoid" for multi-hot labels.

    Returns:
        (n, n), in [0, 1], symmetric, in the type of logits.

    Raises:
        TypeError: logits not floating.
        ValueError: shapes that do not fit, an unknown kind, or "softmax" with multi-hot labels.

    Example:
        >>> import torch
        >>> from fasthash.teachers import class_pair_probability
        >>> logits = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 3.0]])
        >>> [round(float(q), 3) for q in class_pair_probability(logits, torch.tensor([0, 1, -1]))[2]]
        [0.119, 0.881, 0.79]
    """
    if not logits.is_floating_point():
        raise TypeError(f"class_pair_probability: logits must be a floating tensor, got {logits.dtype}")
    if logits.ndim != 2 or labels.shape not in (logits.shape[:1], logits.shape):
        raise ValueError(
            "class_pair_probability: logits must have shape (n, classes), labels (n,) or the same, "
            f"got {tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    if kind not in ("softmax", "sigmoid") or (kind == "softmax" and labels.ndim == 2):
        wanted = '"sigmoid" with multi-hot labels' if kind == "softmax" else '"softmax" or "sigmoid"'
        raise ValueError(f"class_pair_probability: kind must be {wanted}, got {kind!r}")
    logits = logits.detach()
    posterior = logits.softmax(1) if kind == "softmax" else logits.sigmoid()
    if labels.ndim == 1:
        known, sets = labels >= 0, one_hot(labels.clamp(min=0), logits.shape[1])
    else:
        known, sets = labels.to(torch.bool).any(1), labels.to(torch.bool)
    p = torch.where(known[:, None], sets.to(posterior.dtype), posterior)
    return p @ p.T if kind == "softmax" else 1 - (1 - p[:, None] * p[None, :]).prod(2)
