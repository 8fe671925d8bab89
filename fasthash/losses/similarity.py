"""Which pairs share a label, and for which pairs that is known."""

from __future__ import annotations

import torch
from torch import Tensor

from fasthash.ops import label_overlap, pack


def check_labels(function: str, name: str, labels: Tensor) -> None:
    """Raise unless labels are class ids (n,) or multi-hot (n, classes)."""
    if labels.ndim not in (1, 2):
        raise ValueError(f"{function}: {name} must have shape (n,) or (n, classes), got {tuple(labels.shape)}")
    if labels.ndim == 1 and (labels.is_floating_point() or labels.dtype == torch.bool):
        raise TypeError(f"{function}: class ids in {name} must be integers, got {labels.dtype}")


def row_similarity(labels: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """For each item and k others of its own: which share a label with it, and of which both are labelled.

    Args:
        labels: class ids (n,), -1 = unlabelled; or multi-hot (n, classes), an all-zero row = unlabelled.
        others: (n, k) or (n, k, classes), of the same kind.

    Returns:
        similarity and known, bool (n, k); similarity is False wherever known is.

    Raises:
        ValueError: shapes that do not fit.

    Example:
        >>> import torch
        >>> from fasthash.losses import row_similarity
        >>> row_similarity(torch.tensor([3, -1]), torch.tensor([[3, 4], [3, -1]]))[0].tolist()
        [[True, False], [False, False]]
    """
    if others.ndim != labels.ndim + 1 or others.shape[:1] + others.shape[2:] != labels.shape:
        raise ValueError(
            f"row_similarity: others must have shape (n, k, ...) for labels {tuple(labels.shape)}, "
            f"got {tuple(others.shape)}"
        )
    if labels.ndim == 1:
        labelled = (labels >= 0)[:, None] & (others >= 0)
        return (labels[:, None] == others) & labelled, labelled
    labelled = labels.any(1)[:, None] & others.any(2)
    return (labels[:, None].bool() & others.bool()).any(2), labelled


def label_similarity(labels: Tensor, other: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Pairs that share a label, and pairs of which both items are labelled.

    Args:
        labels: class ids (n,), integers, -1 = unlabelled; or multi-hot (n, classes), an all-zero row = unlabelled.
        other: labels of a second set (m,) or (m, classes), of the same kind; None = the first set again.

    Returns:
        similarity (n, m) bool, True where the two items share a label, and known (n, m) bool, True where both are
        labelled. similarity is False wherever known is.

    Raises:
        TypeError: class ids that are not integers.
        ValueError: labels of another shape, sets of two kinds, or sets on two devices.

    Example:
        >>> import torch
        >>> from fasthash.losses import label_similarity
        >>> similarity, known = label_similarity(torch.tensor([3, 3, -1]))
        >>> similarity.int().tolist()
        [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
        >>> known.int().tolist()
        [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    """
    other = labels if other is None else other
    check_labels("label_similarity", "labels", labels)
    check_labels("label_similarity", "other", other)
    if labels.shape[1:] != other.shape[1:]:
        expected = "(m,)" if labels.ndim == 1 else f"(m, {labels.shape[1]})"
        raise ValueError(f"label_similarity: other must have shape {expected} like labels, got {tuple(other.shape)}")
    if labels.device != other.device:
        raise ValueError(f"label_similarity: other must be on {labels.device} like labels, got {other.device}")
    if labels.ndim == 1:
        known = (labels >= 0)[:, None] & (other >= 0)[None, :]
        return (labels[:, None] == other[None, :]) & known, known
    # Packed sets: exact, and faster than a matrix product from a few hundred items or classes on.
    sets, other_sets = (x if x.dtype == torch.bool else x > 0 for x in (labels, other))
    known = sets.any(1)[:, None] & other_sets.any(1)[None, :]
    return label_overlap(pack(sets), pack(other_sets)) > 0, known
