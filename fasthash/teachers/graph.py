"""Graphs on a teacher's packed codes: pseudo-similarities and nearest neighbours, by integer Hamming distances.

In the spirit of PTS3H (Zhang, Li and Zhang, CVPR workshops 2019; formulas reconstructed). Real outputs are never
thresholded: the distance of an output to itself is not 0, that of a code is.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fasthash.ops import hamming_distance, hamming_range, hamming_topk, label_overlap, pack


def similarity_thresholds(bits: int, near: float = 0.15, far: float = 0.40) -> tuple[int, int]:
    """floor(near * bits), up to which a pair is similar, and ceil(far * bits), from which it is dissimilar.

    Source: in the spirit of PTS3H (reconstructed).

    Raises:
        ValueError: thresholds out of order.

    Example:
        >>> from fasthash.teachers import similarity_thresholds
        >>> [similarity_thresholds(bits) for bits in (12, 24, 32, 48)]
        [(1, 5), (3, 10), (4, 13), (7, 20)]
    """
    # near * bits may land just below, far * bits just above the whole number that is meant (0.29 * 100, 0.55 * 100).
    nearest, farthest = math.floor(near * bits + 1e-9), math.ceil(far * bits - 1e-9)
    if not 0 <= nearest < farthest:
        raise ValueError(
            f"similarity_thresholds: near and far must leave 0 <= floor(near * bits) < ceil(far * bits), "
            f"got near={near}, far={far} at bits={bits}"
        )
    return nearest, farthest


def pseudo_similarity(
    codes: Tensor,
    bits: int,
    *,
    near: float = 0.15,
    far: float = 0.40,
    k: int | None = None,
    labels: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Similar and dissimilar pairs by the Hamming distance of their codes, and by labels where both have one.

    Similar: distance <= floor(near * bits); dissimilar: distance >= ceil(far * bits); between them the pair is unknown.
    Random codes lie at bits / 2, so keep far below 0.5. With k, a pair is similar if one item is among the k nearest of
    the other, in place of `near`, and dissimilar from `far` on otherwise.

    Source: in the spirit of PTS3H (formula reconstructed).

    Args:
        codes: packed codes of a teacher, uint8 (B, ceil(bits / 8)).
        bits: width of the codes.
        near: share of the bits up to which a pair is similar.
        far: share of the bits from which a pair is dissimilar.
        k: neighbours an item on the graph of nearest neighbours; None = the threshold `near`.
        labels: class ids (B,), -1 = unlabelled, or multi-hot (B, classes), an all-zero row = unlabelled. Where both
            items of a pair are labelled, they overrule the codes.

    Returns:
        similarity (B, B) bool and known (B, B) bool. similarity is False wherever known is. The diagonal is included.

    Raises:
        ValueError: bits that do not fit the codes, thresholds out of order, labels of another length.

    Example:
        >>> import torch
        >>> from fasthash.ops import pack
        >>> from fasthash.teachers import pseudo_similarity
        >>> codes = pack(torch.tensor([[0.8, 0.8], [0.8, -0.8], [0.8, -0.8]]))
        >>> similarity, known = pseudo_similarity(codes, bits=2)
        >>> similarity.int().tolist()
        [[1, 0, 0], [0, 1, 1], [0, 1, 1]]
        >>> bool(known.all())
        True
    """
    if codes.ndim != 2 or codes.shape[1] != -(-bits // 8):
        raise ValueError(
            f"pseudo_similarity: codes must have shape (n, {-(-bits // 8)}) for bits={bits}, got {tuple(codes.shape)}"
        )
    nearest, farthest = similarity_thresholds(bits, near, far)
    distance = hamming_distance(codes, codes)
    similar = distance <= nearest if k is None else _linked(knn_graph(codes, k))
    known = similar | (distance >= farthest)
    if labels is None:
        return similar, known
    if labels.shape[:1] != codes.shape[:1]:
        raise ValueError(f"pseudo_similarity: labels must have {len(codes)} rows, got shape {tuple(labels.shape)}")
    by_label, labelled = _share_label(labels)
    return (similar & ~labelled) | by_label, known | labelled


def _linked(graph: Tensor) -> Tensor:
    """Bool (B, B) of int64 lists (B, k): i = j, or one is in the other's list."""
    items = len(graph)
    # Column 0 takes the places without an item.
    listed = torch.zeros(items, items + 1, dtype=torch.bool, device=graph.device).scatter_(1, graph + 1, True)[:, 1:]
    return (listed | listed.T).fill_diagonal_(True)


def _share_label(labels: Tensor) -> tuple[Tensor, Tensor]:
    """What `losses.label_similarity` says, by integer ops: pairs (B, B) that share a label, pairs with two labels."""
    if labels.ndim == 1:
        similar, labelled = labels[:, None] == labels[None, :], labels >= 0
    else:
        sets = pack(labels)
        similar = label_overlap(sets, sets) > 0
        labelled = similar.diagonal()
    known = labelled[:, None] & labelled[None, :]
    return similar & known, known


def knn_graph(codes: Tensor, k: int) -> Tensor:
    """The k nearest other items of each item, by Hamming distance, then by lower index.

    The item itself is left out by its index, not by its rank: an identical code may come first.

    Args:
        codes: packed codes, uint8 (B, bytes).
        k: neighbours an item.

    Returns:
        int64 (B, k); -1 where an item has fewer than k others.

    Raises:
        TypeError, ValueError: as `fasthash.ops.hamming_topk`.

    Example:
        >>> import torch
        >>> from fasthash.ops import pack
        >>> from fasthash.teachers import knn_graph
        >>> codes = pack(torch.tensor([[1.0, 1.0], [1.0, -1.0], [1.0, -1.0]]))
        >>> knn_graph(codes, 2).tolist()
        [[1, 2], [2, 0], [1, 0]]
    """
    items = torch.arange(len(codes), device=codes.device)
    _, indices = hamming_topk(codes, codes, k, exclude=items)
    return indices


def knn_with_ties(codes: Tensor, database: Tensor, k: int) -> Tensor:
    """The k nearest codes of a database and all others as near as the k-th, by Hamming distance, then by lower index.

    Unlike a list of k it never cuts items of one distance by the order of their indices. Short or skewed codes tie
    often: call it for a block of rows at a time.

    Args:
        codes: packed codes, uint8 (q, bytes).
        database: packed codes, uint8 (m, bytes).
        k: neighbours, at least.

    Returns:
        int64 (q, w), w the longest list; -1 where a list is shorter.

    Raises:
        TypeError, ValueError: as `fasthash.ops.hamming_topk`.

    Example:
        >>> import torch
        >>> from fasthash.ops import pack
        >>> from fasthash.teachers import knn_with_ties
        >>> codes = pack(torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0]]))
        >>> knn_with_ties(codes, codes, 2).tolist()
        [[0, 1, 2], [1, 0, -1], [2, 0, -1]]
    """
    # Of an empty database nothing is found, at whatever distance.
    radii = hamming_topk(codes, database, min(k, max(len(database), 1)))[0][:, -1]
    lists: list[tuple[Tensor, Tensor]] = []
    for radius in radii.unique().tolist():
        rows = (radii == radius).nonzero()[:, 0]
        offsets, _, indices = hamming_range(codes[rows], database, radius)
        # Each entry's row, and its place within the list of that row.
        of = torch.repeat_interleave(torch.arange(len(rows), device=codes.device), offsets.diff())
        places = torch.arange(len(indices), device=codes.device) - offsets[of]
        lists.append((torch.stack([rows[of], places]), indices))
    width = max((int(places[1].max()) + 1 for places, _ in lists if places.numel()), default=0)
    found = torch.full((len(codes), width), -1, device=codes.device)
    for (row, place), indices in lists:
        found[row, place] = indices
    return found
