"""What was found in several runs of codes, one behind the other, in one order: by distance, then by position."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch

Nearest = tuple[torch.Tensor, torch.Tensor]  # distances and names (q, k)
Within = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # offsets (q + 1,), distances and names, query after query


def nearest(parts: Sequence[Nearest], k: int) -> Nearest:
    """The k nearest of all; ties go by the order of parts."""
    distances, names = (torch.cat([part[i] for part in parts], 1) for i in (0, 1))
    places = distances.argsort(dim=1, stable=True)[:, :k]
    return distances.gather(1, places), names.gather(1, places)


def within(parts: Sequence[Within]) -> Within:
    """All that was found within a radius; each part is in order."""
    return reduce(_both, parts)


def _both(first: Within, later: Within) -> Within:
    keys, later_keys = _sort_keys(first), _sort_keys(later)
    of_later = torch.searchsorted(keys, later_keys, right=True) + torch.arange(len(later_keys), device=keys.device)
    is_first = torch.ones(len(keys) + len(later_keys), dtype=torch.bool, device=keys.device)
    is_first[of_later] = False
    of_first = is_first.nonzero().squeeze(1)
    merged = []
    for one, other in zip(first[1:], later[1:], strict=True):
        both = one.new_empty(len(is_first))
        both[of_first], both[of_later] = one, other
        merged.append(both)
    return first[0] + later[0], merged[0], merged[1]


def _sort_keys(found: Within) -> torch.Tensor:
    """Numbers that rise with the query, then with the distance."""
    offsets, distances, _ = found
    queries = torch.arange(len(offsets) - 1, device=offsets.device)
    return (queries << 32).repeat_interleave(offsets.diff(), output_size=len(distances)) + distances
