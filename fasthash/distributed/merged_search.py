"""A search on each rank, and the merge of what they find."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable

import torch

from fasthash.distributed.group import SEARCH, SEND, Ranks, attempt
from fasthash.ops import _check


def merged_search(
    ranks: Ranks,
    queries: torch.Tensor | None,
    source: int | None,
    device: torch.device,
    k: int,
    extent: tuple[int, int],
    search: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
    error: Exception | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Have the queries sent, search locally, merge.

    Args:
        extent: where this rank's codes begin among all, and how many they are.
        search: the local one: distances and names (q, k), in order.
        error: what went wrong so far.
    """
    name = ranks.function
    if error is None:
        error = attempt(lambda: _check_queries(name, queries, source, ranks), None)[1]
    if source is not None:
        shape = [0, 0] if queries is None or error is not None else list(queries.shape)
        told = ranks.agree(SEND, error, [source if error is None else 0, *shape])
        if len(set(told[:, 0].tolist())) > 1:
            raise ValueError(f"{name}: source: expected the same on all ranks, got {told[:, 0].tolist()}")
        rows, width = told[source, 1:3].tolist()
        if queries is None:
            queries = torch.empty((rows, width), dtype=torch.uint8)
        queries = ranks.send(queries, source).to(device)
    found = None
    if error is None:
        assert queries is not None
        found, error = attempt(lambda: search(queries), None)
    facts = [0, 0, 0, 0]
    if error is None and queries is not None:
        facts = [k, *queries.shape, zlib.crc32(queries.cpu().contiguous().numpy().data)]
    said = ranks.agree(SEARCH, error, [*facts, *extent])
    for column, what in enumerate(("k", "number of queries", "bytes a query", "checksum of the queries")):
        if len(set(said[:, column].tolist())) > 1:
            raise ValueError(f"{name}: expected the same {what} on all ranks, got {said[:, column].tolist()}")
    order = _order(name, said[:, 4:].tolist())
    assert found is not None
    distances, names = (torch.cat([parts[r] for r in order], 1) for parts in map(ranks.gather, found))
    nearest = distances.argsort(dim=1, stable=True)[:, :k]
    return distances.gather(1, nearest).to(device), names.gather(1, nearest).to(device)


def _check_queries(name: str, queries: torch.Tensor | None, source: int | None, ranks: Ranks) -> None:
    if source is not None:
        _check.whole(name, "source", source, 0)
        if source >= ranks.size:
            raise ValueError(f"{name}: source: expected a rank below {ranks.size}, got {source}")
    if queries is None:
        if source in (None, ranks.rank):
            raise ValueError(f"{name}: queries: expected packed codes on this rank, got None")
    else:
        _check.codes(name, "queries", queries)
        if source not in (None, ranks.rank):
            raise ValueError(f"{name}: queries: expected None beside source {source}, got an array")


def _order(name: str, extents: list[list[int]]) -> list[int]:
    """The ranks by where their codes begin."""
    order = sorted(range(len(extents)), key=lambda rank: (extents[rank][0], extents[rank][1]))
    filled = [rank for rank in order if extents[rank][1]]
    for one, two in itertools.pairwise(filled):
        if sum(extents[one]) > extents[two][0]:
            raise ValueError(
                f"{name}: offset: expected shards that do not overlap, but rank {one} holds {extents[one][1]} codes "
                f"from {extents[one][0]} on, and rank {two} begins at {extents[two][0]}"
            )
    return order
