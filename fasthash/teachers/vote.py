"""Pseudo-labels by a vote of labelled neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor


def vote(
    neighbours: Tensor | Sequence[Tensor],
    labels: Tensor,
    *,
    fallback: Tensor | None = None,
    mode: Literal["majority", "per_class", "last"] = "majority",
    rows: int = 1024,
) -> tuple[Tensor, Tensor]:
    """The label that most labelled neighbours of an item have.

    "majority": the most frequent whole label (class id, or set of classes) among the labelled neighbours; among equals
    the one with the nearest supporter, then the lower label. "per_class": every class that at least half of the
    labelled neighbours have; an all-zero row and share 0 if no class is that frequent. "last": the label of the
    labelled neighbour of the highest place, whatever the others have. With several lists an item (one a modality) their
    union votes, each neighbour once, as near as in its nearest list.

    Source: SKDCH, Su, Gu, Ren, Fu and Zhao, "Semi-Supervised Knowledge Distillation for Cross-Modal Hashing", TMM 2021:
    the vote as intended; "last" is what the loop of the authors' release returns. Rules for ties and for items without
    a labelled neighbour, and "per_class", are reconstructed.

    Args:
        neighbours: int64 (q, k), places of the neighbours in `labels`, nearest first, -1 = none; or several such lists.
        labels: class ids (n,), -1 = unlabelled, or multi-hot (n, classes), an all-zero row = unlabelled.
        fallback: int64 (q,), a labelled item for each row, whose label counts where no neighbour has one, such as the
            nearest labelled item; None = such rows stay unlabelled.
        mode: the rule; "per_class" needs multi-hot labels.
        rows: how many are counted at a time.

    Returns:
        labels (q,) or (q, classes) of the same dtype, and the share float32 (q,) of the labelled neighbours that agree:
        with the whole label in "majority" and "last", on average with its classes in "per_class"; 0 without a labelled
        neighbour.

    Raises:
        TypeError: neighbours not int64.
        ValueError: shapes that do not fit, an unknown mode, or "per_class" with class ids.

    Example:
        >>> import torch
        >>> from fasthash.teachers import vote
        >>> labels = torch.tensor([0, 0, 1, 0, 2, -1])
        >>> pseudo, share = vote(torch.tensor([[0, 1, 2, 3, 4], [5, 2, 4, -1, -1]]), labels)
        >>> pseudo.tolist(), [round(float(x), 2) for x in share]
        ([0, 1], [0.6, 0.5])
    """
    lists = [neighbours] if isinstance(neighbours, Tensor) else list(neighbours)
    for places in lists:
        if places.dtype != torch.int64:
            raise TypeError(f"vote: neighbours must be torch.int64, got {places.dtype}")
        if places.ndim != 2 or len(places) != len(lists[0]):
            raise ValueError(f"vote: neighbours must have shape (q, k), each of one q, got {tuple(places.shape)}")
    if mode not in ("majority", "per_class", "last"):
        raise ValueError(f'vote: mode must be "majority", "per_class" or "last", got {mode!r}')
    if labels.ndim not in (1, 2) or (mode == "per_class" and labels.ndim == 1):
        wanted = "(n, classes)" if mode == "per_class" else "(n,) or (n, classes)"
        raise ValueError(f"vote: labels must have shape {wanted}, got {tuple(labels.shape)}")
    if fallback is not None and fallback.shape != lists[0].shape[:1]:
        raise ValueError(f"vote: fallback must have shape {(len(lists[0]),)}, got {tuple(fallback.shape)}")
    labelled = labels >= 0 if labels.ndim == 1 else (labels != 0).any(1)
    kinds, kind_of = labels.unique(dim=0, return_inverse=True)
    found, shares = [], []
    for start in range(0, len(lists[0]), rows):
        members, rank = _union([places[start : start + rows] for places in lists])
        counts = (members >= 0) & labelled[members.clamp(min=0)]
        votes = counts.sum(1)
        if mode == "majority":
            winner, share = _majority(kind_of[members.clamp(min=0)], counts, rank, len(kinds))
            chosen = kinds[winner]
        elif mode == "last":
            last = members.masked_fill(~counts, 0).amax(1)
            chosen = labels[last]
            agree = kind_of[members.clamp(min=0)] == kind_of[last][:, None]
            share = (agree & counts).sum(1) / votes.clamp(min=1)
        else:
            support = (labels[members.clamp(min=0)] != 0) & counts[:, :, None]
            each = support.sum(1) / votes.clamp(min=1)[:, None]
            chosen = (each >= 0.5).to(labels.dtype)
            share = (each * chosen).sum(1) / chosen.sum(1).clamp(min=1)
        nothing = -1 if labels.ndim == 1 else 0
        other = torch.full_like(chosen, nothing) if fallback is None else labels[fallback[start : start + rows]]
        none = votes == 0
        found.append(torch.where(none if labels.ndim == 1 else none[:, None], other, chosen))
        shares.append(share.masked_fill(none, 0))
    if not found:
        return labels[:0].clone(), torch.zeros(0, device=labels.device)
    return torch.cat(found), torch.cat(shares)


def _union(lists: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Places (q, m), each once and the others -1, and the lowest rank of each in its lists."""
    places = torch.cat(lists, 1)
    rank = torch.cat([torch.arange(x.shape[1], device=x.device) for x in lists]).expand_as(places)
    # By place, and by rank among equal places: of those the first is kept.
    width = places.shape[1] + 1
    order = (places * width + rank).sort(1).indices
    places, rank = places.gather(1, order), rank.gather(1, order)
    again = torch.zeros_like(places, dtype=torch.bool)
    again[:, 1:] = places[:, 1:] == places[:, :-1]
    return places.masked_fill(again, -1), rank


def _majority(kind: Tensor, counts: Tensor, rank: Tensor, kinds: int) -> tuple[Tensor, Tensor]:
    """Of each row the most frequent kind among the members that count, and its share."""
    width = rank.shape[1] + 1
    number = torch.zeros(len(kind), kinds, dtype=torch.int64, device=kind.device)
    number.scatter_add_(1, kind, counts.to(torch.int64))
    nearest = torch.full_like(number, width)
    nearest.scatter_reduce_(1, kind, torch.where(counts, rank, width), "amin")
    # Most votes, then the nearest supporter, then the lower label: no two scores of a row are equal.
    score = (number * (width + 1) - nearest) * kinds - torch.arange(kinds, device=kind.device)
    winner = score.argmax(1)
    share = number.gather(1, winner[:, None])[:, 0] / counts.sum(1).clamp(min=1)
    return winner, share
