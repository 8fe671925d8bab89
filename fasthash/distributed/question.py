"""What all ranks are asked alike: the queries, and the rest of a search; and whether they were."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import torch

from fasthash.distributed.group import SEND, Ranks, attempt
from fasthash.ops import _check

_DTYPES = (torch.uint8, torch.float32, torch.float16, torch.bfloat16, torch.float64)
_NO_FILTER, _MASK, _IDS = range(3)
_ASKED = 8  # facts that have to be the same


@dataclass(frozen=True)
class Filter:
    """A filter as a rank was given it.

    Attributes:
        mask: bool, of the codes of this rank.
        ids: of any codes, the same on all ranks.
        known: bool, which ids are on this rank.
    """

    mask: torch.Tensor | None = None
    ids: torch.Tensor | None = None
    known: torch.Tensor | None = None

    def facts(self) -> list[int]:
        """What has to be the same on all ranks: its kind, and how many ids and which."""
        if self.ids is None:
            return [_NO_FILTER if self.mask is None else _MASK, 0, 0]
        return [_IDS, len(self.ids), checksum(self.ids)]

    def check(self, ranks: Ranks) -> None:
        """After the ranks have agreed: that each id is on one of them."""
        if self.ids is None or self.known is None or not len(self.ids):
            return
        known = torch.stack(ranks.gather(self.known.to(torch.uint8))).cpu().amax(0)
        if not bool(known.all()):
            missing = int(self.ids.cpu()[known == 0][0])
            raise ValueError(f"{ranks.function}: filter: expected ids of the index, got {missing}")


def share(
    ranks: Ranks,
    queries: torch.Tensor | None,
    source: int | None,
    device: torch.device,
    check: Callable[[torch.Tensor], None],
    error: Exception | None,
) -> tuple[torch.Tensor | None, Exception | None]:
    """The queries on all ranks: those of the source, where there is one; and what went wrong so far, on this rank."""
    if error is None:
        error = attempt(lambda: _check_given(ranks, queries, source, check), None)[1]
    if source is None:
        return queries, error
    shape = [0, 0, 0] if queries is None or error is not None else [*queries.shape, _DTYPES.index(queries.dtype)]
    told = ranks.agree(SEND, error, [source if error is None else 0, *shape])
    if len(set(told[:, 0].tolist())) > 1:
        raise ValueError(f"{ranks.function}: source: expected the same on all ranks, got {told[:, 0].tolist()}")
    rows, width, dtype = told[source, 1:4].tolist()
    if queries is None:
        queries = torch.empty((rows, width), dtype=_DTYPES[dtype])
    sent = ranks.send(queries.contiguous().view(torch.uint8), source)
    return sent.view(_DTYPES[dtype]).to(device), None


def _check_given(
    ranks: Ranks, queries: torch.Tensor | None, source: int | None, check: Callable[[torch.Tensor], None]
) -> None:
    name = ranks.function
    if source is not None:
        _check.whole(name, "source", source, 0)
        if source >= ranks.size:
            raise ValueError(f"{name}: source: expected a rank below {ranks.size}, got {source}")
    if queries is None:
        if source in (None, ranks.rank):
            raise ValueError(f"{name}: queries: expected them on this rank, got None")
    else:
        check(queries)
        if source not in (None, ranks.rank):
            raise ValueError(f"{name}: queries: expected None beside source {source}, got an array")


def agree(
    ranks: Ranks,
    step: str,
    error: Exception | None,
    queries: torch.Tensor | None,
    numbers: dict[str, int],
    filter: Filter,
    extent: tuple[int, int],
    found: int = 0,
) -> tuple[list[int], list[int]]:
    """Whether all ranks came through their search, and were asked the same.

    Args:
        numbers: two at most, by the name of the argument.
        extent: where this rank's codes begin among all, and how many they are.
        found: any number of this rank.

    Returns:
        The ranks by where their codes begin, and `found` of each.
    """
    name = ranks.function
    told = [0] * _ASKED
    if error is None and queries is not None:
        values = [*numbers.values(), 0, 0][:2]
        told = [*values, *queries.shape, checksum(queries), *filter.facts()]
    said = ranks.agree(step, error, [*told, *extent, found])
    names = [*numbers, "", ""][:2]
    asked = ("number of queries", "width of a query", "checksum of the queries")
    wanted = (*names, *asked, "kind of filter", "number of ids in the filter", "filter")
    for column, what in enumerate(wanted):
        if len(set(said[:, column].tolist())) > 1:
            raise ValueError(f"{name}: expected the same {what} on all ranks, got {said[:, column].tolist()}")
    filter.check(ranks)
    first = _ASKED
    return _order(name, said[:, first : first + 2].tolist()), said[:, first + 2].tolist()


def checksum(x: torch.Tensor) -> int:
    """Of the bytes of a tensor."""
    return zlib.crc32(x.cpu().contiguous().view(torch.uint8).numpy().data)


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
