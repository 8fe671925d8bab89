"""Pseudo-labels of items in several modalities: neighbour lists in each, their union, and a vote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from fasthash.ops import hamming_topk, pack
from fasthash.teachers.feature_graph import feature_knn_graph
from fasthash.teachers.graph import knn_with_ties
from fasthash.teachers.vote import vote


@torch.no_grad()
def modal_vote(
    outputs: Sequence[Tensor],
    present: Tensor,
    labels: Tensor,
    k: int | Sequence[int],
    *,
    pool: Literal["all", "labelled"] = "all",
    space: Literal["relaxed", "binary"] = "relaxed",
    mode: Literal["majority", "per_class", "last"] = "majority",
    rows: int = 1024,
) -> tuple[Tensor, Tensor]:
    """The label that most labelled neighbours of each unlabelled item have, over the modalities that it has.

    Of each modality the k nearest items, the item itself among them; the union of these lists votes. Without a labelled
    neighbour the nearest labelled item counts. Memory is that of `rows` lists, never of items times items; a list of
    "binary" is as long as its ties are many.

    Source: SKDCH, Su, Gu, Ren, Fu and Zhao, "Semi-Supervised Knowledge Distillation for Cross-Modal Hashing", TMM 2021,
    in the form of the authors' release; see `vote` for the rules of the vote. Binary lists are ours.

    Args:
        outputs: relaxed codes (n, K) in (0, 1), one tensor a modality; rows of absent items are not looked at.
        present: bool (n, modalities).
        labels: class ids (n,), -1 = unlabelled; or multi-hot (n, classes), an all-zero row = unlabelled.
        k: length of a list, or of those of each modality.
        pool: where neighbours are looked for.
        space: "relaxed" = Euclidean distances of outputs, ties to the lower place; "binary" = Hamming distances of
            packed codes, with all that are as near as the k-th.
        mode: of the vote.
        rows: items at a time.

    Returns:
        labels of the unlabelled items, in their order, (u,) or (u, classes), none where an item has no labelled item in
        any of its modalities; and the share float32 (u,) of their labelled neighbours that agree.

    Raises:
        TypeError, ValueError: as `vote` and `feature_knn_graph`; outputs or presence of other shapes, presence that is
            not bool, k below 1 or of another number, or an unknown pool or space.

    Example:
        >>> import torch
        >>> from fasthash.teachers import modal_vote
        >>> image = torch.tensor([[0.1], [0.9], [0.2]])
        >>> modal_vote([image], torch.ones(3, 1, dtype=torch.bool), torch.tensor([4, 5, -1]), k=2)[0].tolist()
        [4]
    """
    if present.dtype != torch.bool:
        raise TypeError(f"modal_vote: present must be torch.bool, got {present.dtype}")
    if present.shape != (len(labels), len(outputs)) or any(h.ndim != 2 or len(h) != len(labels) for h in outputs):
        raise ValueError(
            f"modal_vote: outputs and present must have shapes (n, K) and (n, modalities) of n = {len(labels)}, "
            f"got {[tuple(h.shape) for h in outputs]} and {tuple(present.shape)}"
        )
    lengths = [k] * len(outputs) if isinstance(k, int) else list(k)
    if len(lengths) != len(outputs) or min(lengths, default=1) < 1:
        raise ValueError(f"modal_vote: k must be >= 1, one for all or each of {len(outputs)} modalities, got {k}")
    for name, value, choices in (("pool", pool, ("all", "labelled")), ("space", space, ("relaxed", "binary"))):
        if value not in choices:
            raise ValueError(f"modal_vote: {name} must be one of {choices}, got {value!r}")
    labelled = labels >= 0 if labels.ndim == 1 else (labels != 0).any(1)
    points = [pack(h > 0.5) if space == "binary" else h for h in outputs]
    known = [(there & labelled).nonzero()[:, 0] for there in present.T]
    items = known if pool == "labelled" else [there.nonzero()[:, 0] for there in present.T]
    found, shares = [labels[:0]], [torch.zeros(0, device=labels.device)]
    for block in (~labelled).nonzero()[:, 0].split(rows):
        lists, nearest = [], torch.full((2, len(block)), torch.inf, dtype=torch.float64, device=labels.device)
        for m, x in enumerate(points):
            asking = present[block, m].nonzero()[:, 0]
            if not len(asking) or not len(known[m]):
                continue
            places = _neighbours(x[block[asking]], x[items[m]], lengths[m])
            own = torch.full((len(block), places.shape[1]), -1, device=labels.device)
            own[asking] = torch.where(places >= 0, items[m][places.clamp(min=0)], -1)
            lists.append(own)
            distance, place = _nearest(x[block[asking]], x[known[m]])
            closer = distance < nearest[0, asking]
            nearest[:, asking[closer]] = torch.stack([distance[closer], known[m][place[closer]].double()])
        nobody = nearest[0].isinf()
        if not lists:
            lists = [torch.full((len(block), 1), -1, device=labels.device)]
        fallback = nearest[1].masked_fill(nobody, 0).long()
        chosen, share = vote(lists, labels, fallback=fallback, mode=mode)
        chosen[nobody] = -1 if labels.ndim == 1 else 0
        found.append(chosen)
        shares.append(share)
    return torch.cat(found), torch.cat(shares)


def _neighbours(x: Tensor, database: Tensor, k: int) -> Tensor:
    if x.dtype == torch.uint8:
        return knn_with_ties(x, database, k)
    return feature_knn_graph(x, min(k, len(database)), database=database)


def _nearest(x: Tensor, database: Tensor) -> tuple[Tensor, Tensor]:
    """Distance float64 and place of the nearest."""
    if x.dtype == torch.uint8:
        distances, places = hamming_topk(x, database, 1)
        return distances[:, 0].double(), places[:, 0]
    places = feature_knn_graph(x, 1, database=database)[:, 0]
    return (x.double() - database[places].double()).square().sum(1), places
