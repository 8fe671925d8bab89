"""How right pseudo-labels are, for those who know the true labels: the evaluator, after or beside training.

Nothing here is used by a method: true labels of unlabelled items never reach training.
"""

from __future__ import annotations

from collections.abc import Iterable
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
    true = _same_label(true_labels, true_labels)
    near, far = similar & known & pairs, known & ~similar & pairs
    return PairAccuracy(
        decided=_share(near | far, pairs),
        near=_share(near, pairs),
        near_precision=_share(near & true, near),
        near_recall=_share(near & true, true & pairs),
        far_precision=_share(far & ~true, far),
    )


def block_accuracy(blocks: Iterable[Tensor], true_labels: Tensor) -> PairAccuracy:
    """`pair_accuracy` of labels that come a block of rows at a time, so that no matrix of all pairs is held.

    Args:
        blocks: (rows, n), signed, in order and n rows together: above 0 similar, below dissimilar, 0 undecided; as
            `distil_pairs` gives them.
        true_labels: true class ids (n,), or multi-hot (n, classes).

    Returns:
        The shares.

    Raises:
        ValueError: blocks of another width, or other than n rows.

    Example:
        >>> import torch
        >>> from fasthash.teachers import block_accuracy
        >>> signs = torch.tensor([[1, 1, -1], [1, 1, 0], [-1, 0, 1]])
        >>> block_accuracy(signs.split(2), torch.tensor([4, 5, 6])).far_precision
        1.0
    """
    n, start = len(true_labels), 0
    counts = torch.zeros(5, dtype=torch.int64)
    for block in blocks:
        rows = range(start, start + len(block))
        if block.shape[1:] != (n,) or rows.stop > n:
            raise ValueError(f"block_accuracy: blocks must be {n} rows of {n}, got {tuple(block.shape)} at row {start}")
        true = _same_label(true_labels[start : rows.stop], true_labels).to(block.device)
        near, far = block > 0, block < 0
        for mask in (near, far, true):
            mask[torch.arange(len(rows)), torch.arange(rows.start, rows.stop)] = False
        counts += torch.stack([x.sum() for x in (near, far, true, near & true, far & true)]).cpu()
        start = rows.stop
    if start != n:
        raise ValueError(f"block_accuracy: blocks must be {n} rows of {n}, got {start} rows")
    near, far, true, near_true, far_true = counts.tolist()
    pairs = n * (n - 1)
    return PairAccuracy(
        decided=ratio(near + far, pairs),
        near=ratio(near, pairs),
        near_precision=ratio(near_true, near),
        near_recall=ratio(near_true, true),
        far_precision=ratio(far - far_true, far),
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


def _same_label(labels: Tensor, others: Tensor) -> Tensor:
    """Bool (n, m): which share a label."""
    if labels.ndim == 1:
        return labels[:, None] == others
    return label_overlap(pack(labels != 0), pack(others != 0)) > 0


def _share(part: Tensor, whole: Tensor) -> float:
    return ratio(int(part.sum()), int(whole.sum()))


def ratio(part: int, whole: int) -> float:
    """A share, NaN of nothing."""
    return part / whole if whole else float("nan")
