"""What the ranks found, put in order: the same on all of them."""

from __future__ import annotations

import torch

from fasthash.distributed.group import Ranks
from fasthash.index import merged
from fasthash.ops.rescored import order_by_sorting


def nearest(
    ranks: Ranks, order: list[int], found: tuple[torch.Tensor, torch.Tensor], k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each rank's k nearest codes, distances and names (q, k), the k nearest; ties go by the order of ranks."""
    distances, names = map(ranks.gather, found)
    return merged.nearest([(distances[r], names[r]) for r in order], k)


def within(
    ranks: Ranks, order: list[int], found: tuple[torch.Tensor, torch.Tensor, torch.Tensor], counts: list[int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of what each rank found within a radius, all: offsets, distances and names.

    Args:
        found: offsets (q + 1,), distances and names, query after query.
        counts: how many each rank found.
    """
    offsets = ranks.gather(found[0])
    most = max(counts)
    if most == 0:
        return found
    distances, names = (ranks.gather(torch.nn.functional.pad(x, (0, most - len(x)))) for x in found[1:])
    return merged.within([(offsets[r], distances[r][: counts[r]], names[r][: counts[r]]) for r in order])


def own_share(ranks: Ranks, order: list[int], distances: torch.Tensor) -> torch.Tensor:
    """How many of this rank's nearest codes (q, c), in order, are among the c nearest of all, for each query (q,)."""
    count = distances.shape[1]
    parts = ranks.gather(distances)
    places = torch.cat([parts[r] for r in order], 1).argsort(dim=1, stable=True)[:, :count]
    return (places // count == order.index(ranks.rank)).sum(1)


def best(
    ranks: Ranks, order: list[int], found: tuple[torch.Tensor, torch.Tensor], k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each rank's k best, scores and names (q, k), the k best; ties go by the order of ranks, -1 comes last."""
    scores, names = (torch.cat([parts[r] for r in order], 1) for parts in map(ranks.gather, found))
    candidates = torch.arange(names.shape[1], device=names.device).where(names >= 0, -1)
    places = order_by_sorting(scores, candidates, k)
    return scores.gather(1, places), names.gather(1, places)
