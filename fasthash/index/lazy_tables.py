"""When an index searches by multi-index hashing: with tables that pay for themselves, where they are faster."""

from __future__ import annotations

import math
import os
from collections.abc import Hashable
from time import perf_counter
from typing import Literal, Protocol, TypeVar

import torch

from fasthash.index import memory, merged
from fasthash.index.choice import EACH, Choice
from fasthash.ops.multi_index import (
    MOST_BITS,
    MOST_ROWS,
    MultiIndex,
    making_cost,
    scan_cost,
    tables_bytes,
    walk_costs,
)
from fasthash.ops.search import range_kernel, topk_kernel

When = Literal["auto", "always", "never"]
WHEN: tuple[When, ...] = ("auto", "always", "never")

_Codes = tuple[torch.Tensor, torch.Tensor | None]  # and their mask
_Found = TypeVar("_Found")

_LEAST_ROWS = 1 << 15  # a scan of fewer takes some microseconds
_MOST_LOOKED_AT = 8  # queries of a search whose radius is looked at
_SHARE = 4  # of the available memory, this part at most is given to tables
_IDLE = 16  # times what it took to make tables, and a second: so long searches do without them before they are dropped


class _Asked(Protocol[_Found]):
    """A search, in both ways."""

    queries: torch.Tensor

    @property
    def radius(self) -> int | None:
        """How far every query has to go, where that is known before."""

    def kind(self, mask: torch.Tensor | None) -> Hashable:
        """Of searches that take about as long."""

    def scan(self, codes: torch.Tensor, mask: torch.Tensor | None) -> _Found:
        """Of all codes."""

    def walk(self, tables: MultiIndex, codes: torch.Tensor, mask: torch.Tensor | None) -> tuple[_Found, float]:
        """With tables for the first codes and a scan of the others; and the seconds that those others took."""

    def radii(self, found: _Found) -> list[int]:
        """How far some of the queries had to go."""


class _Nearest:
    def __init__(self, queries: torch.Tensor, k: int) -> None:
        self.queries = queries
        self.radius = None
        self.k = k

    def kind(self, mask: torch.Tensor | None) -> Hashable:
        return "k", self.k.bit_length(), len(self.queries).bit_length(), mask is None

    def scan(self, codes: torch.Tensor, mask: torch.Tensor | None) -> merged.Nearest:
        return topk_kernel(self.queries, codes, self.k, mask)

    def walk(self, tables: MultiIndex, codes: torch.Tensor, mask: torch.Tensor | None) -> tuple[merged.Nearest, float]:
        (codes, mask), later = _split(tables, codes, mask)
        found = tables.topk(self.queries, codes, self.k, mask=mask)[:2]
        if later is None:
            return found, 0.0
        begun = perf_counter()
        distances, positions = self.scan(*later)
        moved = torch.where(positions < 0, positions, positions + tables.rows)
        return merged.nearest([found, (distances, moved)], self.k), perf_counter() - begun

    def radii(self, found: merged.Nearest) -> list[int]:
        return list(found[0][:_MOST_LOOKED_AT, -1].tolist())


class _Within:
    def __init__(self, queries: torch.Tensor, radius: int) -> None:
        self.queries = queries
        self.radius = radius

    def kind(self, mask: torch.Tensor | None) -> Hashable:
        return "radius", self.radius, len(self.queries).bit_length(), mask is None

    def scan(self, codes: torch.Tensor, mask: torch.Tensor | None) -> merged.Within:
        return range_kernel(self.queries, codes, self.radius, mask)

    def walk(self, tables: MultiIndex, codes: torch.Tensor, mask: torch.Tensor | None) -> tuple[merged.Within, float]:
        (codes, mask), later = _split(tables, codes, mask)
        found = tables.range(self.queries, codes, self.radius, mask=mask)[:3]
        if later is None:
            return found, 0.0
        begun = perf_counter()
        offsets, distances, positions = self.scan(*later)
        return merged.within([found, (offsets, distances, positions + tables.rows)]), perf_counter() - begun

    def radii(self, found: merged.Within) -> list[int]:
        return [self.radius]


def _split(tables: MultiIndex, codes: torch.Tensor, mask: torch.Tensor | None) -> tuple[_Codes, _Codes | None]:
    """The codes that the tables have, and those that came later, if there are any."""
    rows = tables.rows
    if rows == len(codes):
        return (codes, mask), None
    if mask is None:
        return (codes[:rows], None), (codes[rows:], None)
    return (codes[:rows], mask[:rows]), (codes[rows:], mask[rows:])


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

    With "auto", searches are scans until tables would have saved, of the time that those scans took, what it takes to
    make them. With "always" the first search of a state makes them. From then on searches of each kind (about so many
    queries, about such a k or such a radius, with or without a mask) go the way that is measured to be faster. When
    codes are added, tables stay of use for the first ones, and the later ones are scanned; they are made anew when that
    has cost as much as making them. With "auto" they are dropped when searches have long done without them, and it
    takes twice as much to make them the next time.

    Attributes:
        tables: of all codes or the first ones; None until they are made.
    """

    def __init__(self) -> None:
        self.tables: MultiIndex | None = None
        self._makers: dict[int, object] = {}  # by process: a fork leaves the thread behind that makes them
        self._walks: list[float] = []
        self._saved = 0.0
        self._price = 1  # times the cost of making them
        self._scans = 0
        self._choices: dict[Hashable, Choice] = {}
        self._judged = 0  # rows of the tables that the choices are about
        self._took = 0.0  # seconds, to make the tables
        self._idle = 0.0  # seconds of searches without them

    def grown(self) -> LazyTables:
        """Those for a state with the same codes, and maybe others behind them."""
        other = LazyTables()
        other.tables, other._saved, other._price, other._scans = self.tables, self._saved, self._price, self._scans
        other._choices, other._judged = self._choices, self._judged
        other._took, other._idle = self._took, self._idle
        return other

    def topk(
        self, when: When, bits: int, queries: torch.Tensor, codes: torch.Tensor, k: int, mask: torch.Tensor | None
    ) -> merged.Nearest:
        """As `hamming_topk`."""
        if k > len(codes) or not _possible(when, bits, queries, codes):
            return topk_kernel(queries, codes, k, mask)
        tables = self._ready(when, bits, codes)
        if tables is not None and k > tables.rows:
            tables = None
        return self._search(when, bits, codes, mask, tables, _Nearest(queries, k))

    def within(
        self, when: When, bits: int, queries: torch.Tensor, codes: torch.Tensor, radius: int, mask: torch.Tensor | None
    ) -> merged.Within:
        """As `hamming_range`."""
        if not _possible(when, bits, queries, codes):
            return range_kernel(queries, codes, radius, mask)
        tables = self._ready(when, bits, codes)
        return self._search(when, bits, codes, mask, tables, _Within(queries, min(radius, 8 * codes.shape[1])))

    def _search(
        self,
        when: When,
        bits: int,
        codes: torch.Tensor,
        mask: torch.Tensor | None,
        tables: MultiIndex | None,
        asked: _Asked[_Found],
    ) -> _Found:
        """With tables or without; where the way is settled, one of some searches is timed."""
        choice = self._choices.get(asked.kind(mask))
        if choice is None:
            choice = self._choices.setdefault(asked.kind(mask), Choice())
        newest = self.tables
        if newest is None:
            if not self._counts():
                return asked.scan(codes, mask)
        elif choice.untimed > 0:
            choice.untimed -= 1
            return (
                asked.walk(tables, codes, mask)[0] if tables is not None and choice.usual else asked.scan(codes, mask)
            )
        walks = tables is not None and choice.take()
        if walks and not choice.known() and asked.radius is not None:
            scan = scan_cost(len(asked.queries), *codes.shape)
            if self._saving(len(asked.queries), scan, len(codes), bits, [asked.radius]) == 0:
                walks = False
                for _ in range(2):
                    choice.note(True, math.inf)
        begun, times = perf_counter(), EACH if newest is None or choice.settled(walks) else 1
        if tables is not None and walks:
            found, later = asked.walk(tables, codes, mask)
            choice.note(True, perf_counter() - begun, times)
            self._saved += 1e9 * times * later
            if choice.known() and choice.faster():
                self._idle = 0.0
            return found
        found = asked.scan(codes, mask)
        seconds = perf_counter() - begun
        judged = choice.known() and not choice.faster() and len(codes) < 2 * self._judged
        if not judged and (newest is None or newest.rows < len(codes)):
            self._saved += times * self._saving(len(asked.queries), 1e9 * seconds, len(codes), bits, asked.radii(found))
        if newest is not None:
            choice.note(False, seconds, times)
            self._idle += times * seconds
            if when == "auto" and self._idle > 1 + _IDLE * self._took:
                self.tables, self._saved, self._idle, self._price = None, 0.0, 0.0, 2 * self._price
        return found

    def _saving(self, queries: int, scan: float, rows: int, bits: int, radii: list[int]) -> float:
        self._walks = self._walks or walk_costs(rows, bits)
        return saving(queries, scan, self._walks, radii, torch.get_num_threads())

    def _counts(self) -> bool:
        """Whether a scan is one of those that are looked at, which takes some microseconds."""
        self._scans += 1
        return self._scans % EACH == 0

    def _ready(self, when: When, bits: int, codes: torch.Tensor) -> MultiIndex | None:
        """The tables, made now if it is time; None as long as there are none."""
        tables = self.tables
        if tables is not None and tables.rows == len(codes):
            return tables
        due = self._saved > 0 and self._saved > self._price * making_cost(len(codes), bits)
        if when != "always" and not due:
            return tables
        this, process = object(), os.getpid()
        if self._makers.setdefault(process, this) is not this:
            return tables  # another thread makes them
        try:
            if self.tables is tables:
                self._make(when, bits, codes)
        finally:
            del self._makers[process]
        return self.tables

    def _make(self, when: When, bits: int, codes: torch.Tensor) -> None:
        self._saved, begun = 0.0, perf_counter()
        try:
            if when == "always" or tables_bytes(len(codes), bits) <= memory.available() / _SHARE:
                self.tables = MultiIndex(codes, bits)
                self._took, self._idle = perf_counter() - begun, 0.0
                self._choices, self._judged = {}, len(codes)
                return
        except MemoryError:
            if when == "always":
                raise
        self._price *= 2  # a scan needs none


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
