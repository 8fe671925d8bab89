"""Pseudo-labels of a class head, as positive and negative candidates of each unlabelled item."""

from __future__ import annotations

import torch
from torch import Tensor


def pseudo_label_candidates(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Positive and negative candidates of the unlabelled items, by their likeliest and their unlikeliest class.

    pl(i) = argmax g_i, nl(i) = argmin g_i, without a threshold of confidence. An unlabelled j is positive if pl(j) =
    pl(i), else negative if pl(j) = nl(i). A labelled j is positive if it has class pl(i) and not nl(i), negative if it
    has nl(i) and not pl(i). Other pairs are unused.

    Source: SSDH, Zhang and Peng, TCSVT 2017, in the form of the authors' release.

    Args:
        logits: g, outputs of the class head (n, classes), floating; no gradient flows.
        labels: class ids (n,), -1 = unlabelled; or multi-hot (n, classes), an all-zero row = unlabelled.

    Returns:
        positive and negative, (n, n) bool; rows of labelled items are False.

    Raises:
        TypeError: logits not floating.
        ValueError: shapes that do not fit, or no class.

    Example:
        >>> import torch
        >>> from fasthash.teachers import pseudo_label_candidates
        >>> labels = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 0, 1], [1, 0, 1], [0, 1, 0]])
        >>> positive, negative = pseudo_label_candidates(torch.tensor([2.0, 0.0, -1.0]).expand(5, 3), labels)
        >>> positive[0].int().tolist(), negative[0].int().tolist()
        ([1, 1, 0, 0, 0], [0, 0, 1, 0, 0])
    """
    if not logits.is_floating_point():
        raise TypeError(f"pseudo_label_candidates: logits must be a floating tensor, got {logits.dtype}")
    if logits.ndim != 2 or not logits.shape[1] or labels.shape not in (logits.shape[:1], logits.shape):
        raise ValueError(
            "pseudo_label_candidates: logits must have shape (n, classes) with a class, labels (n,) or the same, "
            f"got {tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    logits = logits.detach()
    likeliest, unlikeliest = logits.argmax(1), logits.argmin(1)
    unlabelled = labels < 0 if labels.ndim == 1 else ~labels.to(torch.bool).any(1)
    # Where all logits of i are equal both are one class: that is positive among unlabelled items, unused among others.
    two = likeliest != unlikeliest
    usable = (unlabelled & two)[:, None] | (unlabelled[:, None] & unlabelled)
    # What each item counts as: an unlabelled one as its pseudo-label, a labelled one as its classes.
    if labels.ndim == 1:
        classes = torch.where(unlabelled, likeliest, labels)
        # A class is named only where the row may have a negative; -2 is nobody's.
        negative = torch.where(unlabelled & two, unlikeliest, -2)[:, None] == classes
        return (likeliest[:, None] == classes) & usable, negative
    pseudo = torch.zeros_like(labels, dtype=torch.bool).scatter_(1, likeliest[:, None], True)
    by_class = torch.where(unlabelled[:, None], pseudo, labels.to(torch.bool)).T.contiguous()
    has_likeliest, has_unlikeliest = by_class[likeliest], by_class[unlikeliest]
    positive = has_likeliest & (~has_unlikeliest | unlabelled) & usable
    return positive, has_unlikeliest & ~has_likeliest & unlabelled[:, None]
