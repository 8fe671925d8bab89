"""When an index searches by multi-index hashing: its tables are made once they are estimated to pay for themselves."""

from __future__ import annotations

import math
import threading
from typing import Literal

import torch

from fasthash.ops.multi_index import MOST_BITS, MOST_ROWS, MultiIndex, making_cost, scan_cost, walk_costs
from fasthash.ops.search import range_kernel, topk_kernel

When = Literal["auto", "always", "never"]
WHEN: tuple[When, ...] = ("auto", "always", "never")

_Codes = tuple[torch.Tensor, torch.Tensor | None]  # and their mask
_Nearest = tuple[torch.Tensor, torch.Tensor]  # distances, positions
_Within = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # offsets, distances, positions

_LEAST_ROWS = 1 << 15  # a scan of fewer takes some microseconds
_MOST_LOOKED_AT = 8  # queries of a search whose radius is looked at
_MOST_SKIPPED = 64  # searches
_EACH = 8  # of so many searches one is looked at, which takes some microseconds, and stands for all


def saving(queries: int, scan: float, walks: list[float], radii: list[int], threads: int) -> float:
    """Nanoseconds that tables are expected to save in a search; 0 where a scan is cheaper.

    Args:
        queries: how many there are.
        scan: what a scan takes.
        walks: what one query takes in one thread, by radius.
        radii: how far some of the queries have to go.
        threads: that take a query each.
    """
    mean = sum(walks[min(radius, len(walks) - 1)] for radius in radii) / len(radii)
    return max(0.0, scan - -(-queries // threads) * mean)


class LazyTables:
    """The tables for one state of an index, and the choice between them and a scan. Several threads may search.

    With "auto", searches are scans until those that were made would have saved, with tables, the time that it takes to
    make them: what is lost when nobody searches any more is at most what might have been saved. When codes are added,
    tables stay of use for the first ones, and the later ones are scanned; they are made anew when those scans have cost
    as much as that. With "always" the first search of a state makes them.

    Attributes:
        tables: of all codes or the first ones; None until they are made.
    """

    def __init__(self) -> None:
        self.tables: MultiIndex | None = None
        self._making = threading.Lock()
        self._walks: list[float] = []
        self._saved = 0.0
        self._scans = 0
        self._skipped: dict[tuple[int, bool], tuple[int, int]] = {}

    def grown(self) -> LazyTables:
        """Those for a state with the same codes, and maybe others behind them."""
        other = LazyTables()
        other.tables, other._saved, other._scans = self.tables, self._saved, self._scans
        return other

    def topk(
        self, when: When, bits: int, queries: torch.Tensor, codes: torch.Tensor, k: int, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As `hamming_topk`."""
        if k > len(codes) or not _possible(when, bits, queries, codes):
            return topk_kernel(queries, codes, k, mask)
        tables, kind = self._ready(when, bits, codes), (k, mask is not None)
        if tables is None:
            found = topk_kernel(queries, codes, k, mask)
            if self._counts():
                self._note(bits, queries, codes, found[0][:_MOST_LOOKED_AT, -1].tolist())
            return found
        if k > tables.rows or self._skip(kind):
            return topk_kernel(queries, codes, k, mask)
        first, later = self._split(tables, queries, codes, mask)
        distances, indices, scanned = tables.topk(queries, first[0], k, mask=first[1])
        self._learn(kind, failed=2 * scanned > len(queries))
        if later is None:
            return distances, indices
        return _nearest((distances, indices), topk_kernel(queries, later[0], k, later[1]), tables.rows)

    def within(
        self, when: When, bits: int, queries: torch.Tensor, codes: torch.Tensor, radius: int, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """As `hamming_range`."""
        if not _possible(when, bits, queries, codes):
            return range_kernel(queries, codes, radius, mask)
        tables = self._ready(when, bits, codes)
        if tables is None:
            if self._counts():
                self._note(bits, queries, codes, [radius])
            return range_kernel(queries, codes, radius, mask)
        first, later = self._split(tables, queries, codes, mask)
        found = tables.range(queries, first[0], radius, mask=first[1])[:3]
        return found if later is None else _all(found, range_kernel(queries, later[0], radius, later[1]), tables.rows)

    def _ready(self, when: When, bits: int, codes: torch.Tensor) -> MultiIndex | None:
        """The tables, made now if it is time; None as long as there are none."""
        tables = self.tables
        if tables is not None and tables.rows == len(codes):
            return tables
        if when == "always" or (self._saved > 0 and self._saved > making_cost(len(codes), bits)):
            if not self._making.acquire(blocking=False):
                return tables  # another thread makes them
            try:
                if self.tables is tables:
                    self.tables, self._saved = MultiIndex(codes, bits), 0.0
            except MemoryError:
                if when == "always":
                    raise
                self._saved = -math.inf  # a scan needs none
            finally:
                self._making.release()
        return self.tables

    def _split(
        self, tables: MultiIndex, queries: torch.Tensor, codes: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[_Codes, _Codes | None]:
        """The codes that the tables have, and those that came later, if there are any."""
        rows = tables.rows
        if rows == len(codes):
            return (codes, mask), None
        if self._counts():
            self._saved += _EACH * scan_cost(len(queries), len(codes) - rows, codes.shape[1])
        if mask is None:
            return (codes[:rows], None), (codes[rows:], None)
        return (codes[:rows], mask[:rows]), (codes[rows:], mask[rows:])

    def _counts(self) -> bool:
        """Whether a scan is one of those that are looked at."""
        self._scans += 1
        return self._scans % _EACH == 0

    def _note(self, bits: int, queries: torch.Tensor, codes: torch.Tensor, radii: list[int]) -> None:
        """What tables would have saved in a search and those before it that were not looked at."""
        self._walks = self._walks or walk_costs(len(codes), bits)
        scan = scan_cost(len(queries), *codes.shape)
        self._saved += _EACH * saving(len(queries), scan, self._walks, radii, torch.get_num_threads())

    def _skip(self, kind: tuple[int, bool]) -> bool:
        """Whether a search of this kind is a scan because tables did not serve the last ones."""
        left, next_time = self._skipped.get(kind, (0, 0))
        if left:
            self._skipped[kind] = (left - 1, next_time)
        return left > 0

    def _learn(self, kind: tuple[int, bool], *, failed: bool) -> None:
        """After a search in which most queries were scanned for, twice as many as the last time are not tried."""
        if failed:
            next_time = max(1, self._skipped.get(kind, (0, 0))[1])
            self._skipped[kind] = (next_time, min(2 * next_time, _MOST_SKIPPED))
        elif self._skipped:
            self._skipped.pop(kind, None)


def _nearest(first: _Nearest, later: _Nearest, rows: int) -> _Nearest:
    """The nearest among the first `rows` codes and among the later ones, in one order."""
    distances = torch.cat([first[0], later[0]], 1)
    indices = torch.cat([first[1], torch.where(later[1] < 0, later[1], later[1] + rows)], 1)
    places = distances.argsort(dim=1, stable=True)[:, : first[0].shape[1]]
    return distances.gather(1, places), indices.gather(1, places)


def _all(first: _Within, later: _Within, rows: int) -> _Within:
    """What is within a radius among the first `rows` codes and among the later ones, in one order."""
    distances, indices = torch.cat([first[1], later[1]]), torch.cat([first[2], later[2] + rows])
    numbers = torch.arange(len(first[0]) - 1)
    query = torch.cat([numbers.repeat_interleave(part[0].diff()) for part in (first, later)])
    by_distance = distances.argsort(stable=True)
    places = by_distance[query[by_distance].argsort(stable=True)]
    return first[0] + later[0], distances[places], indices[places]


def possible(bits: int, device: torch.device) -> bool:
    """Whether there are tables for such codes at all."""
    return bits <= MOST_BITS and device.type == "cpu"


def _possible(when: When, bits: int, queries: torch.Tensor, codes: torch.Tensor) -> bool:
    return (
        when != "never"
        and possible(bits, codes.device)
        and len(queries) > 0
        and (when == "always" or len(codes) >= _LEAST_ROWS)
        and len(codes) <= MOST_ROWS
    )
