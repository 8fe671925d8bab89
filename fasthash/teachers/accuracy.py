"""How right pseudo-labels are, for those who know the true labels: the evaluator, after or beside training.

Nothing here is used by a method: true labels of unlabelled items never reach training.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fasthash.ops import label_overlap, pack


@dataclass(frozen=True)
class PairAccuracy:
    """Shares of pairs i != j, each in [0, 1]; NaN where a share is of nothing.

    Attributes:
        decided: of all pairs, those that are called similar or dissimilar.
        near: of all pairs, those called similar.
        near_precision: of those called similar, those that share a label.
        near_recall: of those that share a label, those called similar.
        far_precision: of those called dissimilar, those that share no label.
    """

    decided: float
    near: float
    near_precision: float
    near_recall: float
    far_precision: float


def pair_accuracy(
    similar: Tensor, known: Tensor, true_labels: Tensor, *, counted: Tensor | None = None
) -> PairAccuracy:
    """How right pseudo-similarities are.

    Args:
        similar: (n, n) bool, as `pseudo_similarity` gives it.
        known: (n, n) bool.
        true_labels: true class ids (n,), or multi-hot (n, classes).
        counted: (n, n) bool, the pairs to look at, such as those without two known labels; None = all.

    Returns:
        The shares.

    Raises:
        ValueError: shapes that do not fit.

    Example:
        >>> import torch
        >>> from fasthash.teachers import pair_accuracy
        >>> similar = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]]).bool()
        >>> known = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 1]]).bool()
        >>> pair_accuracy(similar, known, torch.tensor([4, 5, 6])).far_precision
        1.0
    """
    n = len(true_labels)
    for name, mask in {"similar": similar, "known": known, "counted": similar if counted is None else counted}.items():
        if mask.shape != (n, n):
            raise ValueError(f"pair_accuracy: {name} must have shape {(n, n)}, got {tuple(mask.shape)}")
    pairs = ~torch.eye(n, dtype=torch.bool, device=similar.device)
    if counted is not None:
        pairs &= counted
    if true_labels.ndim == 1:
        true = true_labels[:, None] == true_labels
    else:
        sets = pack(true_labels != 0)
        true = label_overlap(sets, sets) > 0
    near, far = similar & known & pairs, known & ~similar & pairs
    return PairAccuracy(
        decided=_share(near | far, pairs),
        near=_share(near, pairs),
        near_precision=_share(near & true, near),
        near_recall=_share(near & true, true & pairs),
        far_precision=_share(far & ~true, far),
    )


def list_accuracy(neighbours: Tensor, true_labels: Tensor, neighbour_labels: Tensor | None = None) -> float:
    """Share of the listed neighbours that share a label with the item; NaN for empty lists.

    Args:
        neighbours: int64 (n, k), places, -1 = none, as `knn_graph` or `near_far_lists` give them.
        true_labels: true labels of the items, (n,) or (n, classes).
        neighbour_labels: true labels of what the places name; None = true_labels.

    Raises:
        ValueError: lengths that do not fit.

    Example:
        >>> import torch
        >>> from fasthash.teachers import list_accuracy
        >>> list_accuracy(torch.tensor([[1, 2], [0, -1], [0, 1]]), torch.tensor([7, 7, 8]))
        0.4
    """
    if neighbours.ndim != 2 or len(neighbours) != len(true_labels):
        raise ValueError(
            f"list_accuracy: neighbours must have shape ({len(true_labels)}, k), got {tuple(neighbours.shape)}"
        )
    theirs = (true_labels if neighbour_labels is None else neighbour_labels)[neighbours.clamp(min=0)]
    there = neighbours >= 0
    if true_labels.ndim == 1:
        same = theirs == true_labels[:, None]
    else:
        same = ((theirs != 0) & (true_labels != 0)[:, None]).any(2)
    return _share(same & there, there)


def label_accuracy(pseudo_labels: Tensor, true_labels: Tensor) -> float:
    """Share of the items with a pseudo-label whose pseudo-label, as a whole set of classes, is the true one.

    Args:
        pseudo_labels: (n,), -1 = none, or multi-hot (n, classes), an all-zero row = none, as `vote` gives them.
        true_labels: of the same shape.

    Raises:
        ValueError: shapes that differ.

    Example:
        >>> import torch
        >>> from fasthash.teachers import label_accuracy
        >>> label_accuracy(torch.tensor([1, 2, -1, 3]), torch.tensor([1, 2, 3, 4])) == 2 / 3
        True
    """
    if pseudo_labels.shape != true_labels.shape:
        raise ValueError(
            f"label_accuracy: true_labels must have shape {tuple(pseudo_labels.shape)}, got {tuple(true_labels.shape)}"
        )
    if pseudo_labels.ndim == 1:
        there, right = pseudo_labels >= 0, pseudo_labels == true_labels
    else:
        there, right = (pseudo_labels != 0).any(1), ((pseudo_labels != 0) == (true_labels != 0)).all(1)
    return _share(right & there, there)


def _share(part: Tensor, whole: Tensor) -> float:
    total = int(whole.sum())
    return int(part.sum()) / total if total else float("nan")
