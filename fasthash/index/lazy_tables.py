"""When an index searches by multi-index hashing: with tables that pay for themselves, where they are faster."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from time import perf_counter
from typing import Literal, TypeVar

import torch

from fasthash.index import memory, merged
from fasthash.index.choice import Choice
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

_Found = TypeVar("_Found", merged.Nearest, merged.Within)

_LEAST_ROWS = 1 << 15  # a scan of fewer takes some microseconds
_MOST_LOOKED_AT = 8  # queries of a search whose radius is looked at
_EACH = 8  # of so many searches one is looked at, which takes some microseconds, and stands for all
_SHARE = 4  # of the available memory, this part at most is given to tables
_IDLE = 16  # times what it took to make tables, and a second: so long searches do without them before they are dropped


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

        def scan(codes: torch.Tensor, mask: torch.Tensor | None) -> merged.Nearest:
            return topk_kernel(queries, codes, k, mask)

        def walk(tables: MultiIndex, codes: torch.Tensor, mask: torch.Tensor | None) -> merged.Nearest:
            return tables.topk(queries, codes, k, mask=mask)[:2]

        def both(first: merged.Nearest, later: merged.Nearest, rows: int) -> merged.Nearest:
            return merged.nearest([first, (later[0], torch.where(later[1] < 0, later[1], later[1] + rows))], k)

        def radii(found: merged.Nearest) -> list[int]:
            return list(found[0][:_MOST_LOOKED_AT, -1].tolist())

        if k > len(codes) or not _possible(when, bits, queries, codes):
            return scan(codes, mask)
        tables = self._ready(when, bits, codes)
        if tables is not None and k > tables.rows:
            tables = None
        kind = ("k", k.bit_length(), len(queries).bit_length(), mask is None)
        return self._search(when, bits, len(queries), codes, mask, tables, kind, scan, walk, both, radii)

    def within(
        self, when: When, bits: int, queries: torch.Tensor, codes: torch.Tensor, radius: int, mask: torch.Tensor | None
    ) -> merged.Within:
        """As `hamming_range`."""

        def scan(codes: torch.Tensor, mask: torch.Tensor | None) -> merged.Within:
            return range_kernel(queries, codes, radius, mask)

        def walk(tables: MultiIndex, codes: torch.Tensor, mask: torch.Tensor | None) -> merged.Within:
            return tables.range(queries, codes, radius, mask=mask)[:3]

        def both(first: merged.Within, later: merged.Within, rows: int) -> merged.Within:
            return merged.within([first, (later[0], later[1], later[2] + rows)])

        if not _possible(when, bits, queries, codes):
            return scan(codes, mask)
        tables = self._ready(when, bits, codes)
        if tables is not None:
            self._walks = self._walks or walk_costs(len(codes), bits)
            cost = scan_cost(len(queries), *codes.shape)
            if saving(len(queries), cost, self._walks, [radius], torch.get_num_threads()) == 0:
                tables = None
        kind = ("radius", min(radius, bits), len(queries).bit_length(), mask is None)
        return self._search(when, bits, len(queries), codes, mask, tables, kind, scan, walk, both, lambda _: [radius])

    def _search(
        self,
        when: When,
        bits: int,
        queries: int,
        codes: torch.Tensor,
        mask: torch.Tensor | None,
        tables: MultiIndex | None,
        kind: Hashable,
        scan: Callable[[torch.Tensor, torch.Tensor | None], _Found],
        walk: Callable[[MultiIndex, torch.Tensor, torch.Tensor | None], _Found],
        both: Callable[[_Found, _Found, int], _Found],
        radii: Callable[[_Found], list[int]],
    ) -> _Found:
        choice = self._choices.setdefault(kind, Choice())
        newest = self.tables
        looked_at = (newest is None or newest.rows < len(codes)) and self._counts()
        if newest is None and not looked_at:
            return scan(codes, mask)
        begun = perf_counter()
        if tables is not None and choice.take():
            rows = tables.rows
            found = walk(tables, codes[:rows], None if mask is None else mask[:rows])
            if rows < len(codes):
                walked = perf_counter()
                found = both(found, scan(codes[rows:], None if mask is None else mask[rows:]), rows)
                self._saved += 1e9 * (perf_counter() - walked)
            choice.note(True, perf_counter() - begun)
            if choice.known() and choice.faster():
                self._idle = 0.0
            return found
        found = scan(codes, mask)
        seconds = perf_counter() - begun
        judged = choice.known() and len(codes) < 2 * self._judged
        if looked_at and (choice.faster() or not judged):
            self._walks = self._walks or walk_costs(len(codes), bits)
            threads = torch.get_num_threads()
            self._saved += _EACH * saving(queries, 1e9 * seconds, self._walks, radii(found), threads)
        if newest is not None:
            choice.note(False, seconds)
            self._idle += seconds
            if when == "auto" and self._idle > 1 + _IDLE * self._took:
                self.tables, self._saved, self._idle, self._price = None, 0.0, 0.0, 2 * self._price
        return found

    def _counts(self) -> bool:
        """Whether a scan is one of those that are looked at."""
        self._scans += 1
        return self._scans % _EACH == 0

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
