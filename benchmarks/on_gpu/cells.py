"""What gpu.py measures: cells in order of importance, and their inputs, made on the device.

Groups, in the order in which they run:
    bar    the cases that the project has set itself a bar for
    ops    every other op
    data   top-k on codes and filters that are not random: see FILTERED and `_sides`
    star   top-k, one size at a time changed from 1,024 queries, 10,000,000 codes, 256 bits, k = 10
    grid   top-k, every combination of sizes: only when asked for

The k of a cell is how many codes are wanted: of hamming_range about so many a query (its radius comes from the data),
of rescore so many candidates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from cells import BITS, Cell, Sizes, chosen

import fasthash

QUERIES = (1, 8, 64, 256, 1024, 10_000)
CODES = (100_000, 1_000_000, 10_000_000, 100_000_000)
K = (1, 10, 100, 1000, 5000)
GROUPS = ("bar", "ops", "data", "star", "grid")
MILLIONS = 10_000_000
MASKED, EXCLUDED = FILTERED = ("tenth allowed", "own row excluded")  # by mask=, by exclude=; the codes are random

CLASSES = 10
STREAMING = 8  # queries up to which a search is bound by reading the database
CACHES = 4  # so many times the L2 cache are read before a buffer is read again
MOST_COPIES = 256
COUNTS = ("relevance_histogram", "average_precision_counts")
CENTRES = 1000  # of noisy copies


def _top_k(group: str, bits: int, queries: int, codes: int, k: int, data: str = "random") -> Cell:
    return Cell(group, "hamming_topk", data, bits, codes, queries, k)


def _bar() -> Iterator[Cell]:
    yield _top_k("bar", 64, 1, 100_000_000, 10)
    for bits in (256, 512, 1024):
        yield _top_k("bar", bits, 1024, MILLIONS, 10)
    for bits in BITS:
        yield _top_k("bar", bits, 256, MILLIONS, 10)


def _ops() -> Iterator[Cell]:
    for op, k in (("hamming_range", 100), ("hamming_histogram", 0), *((op, 0) for op in COUNTS)):
        yield Cell("ops", op, "random", 256, 1_000_000, 1024, k)
    for bits in (64, 1024):
        yield Cell("ops", "hamming_distance", "random", bits, 1_000_000, 1024)
    for data in ("float32", "float16"):
        yield Cell("ops", "pack", data, 256, 2_000_000)
    yield Cell("ops", "unpack", "float32", 256, 2_000_000)
    yield Cell("ops", "rescore", "random", 1024, 2_000_000, 1024, 400)
    yield Cell("ops", "topk_rescored", "random", 1024, 2_000_000, 1024, 100)


def _data() -> Iterator[Cell]:
    for data in ("ten codes", "noisy copies", "nearest last", *FILTERED):
        yield _top_k("data", 256, 1024, MILLIONS, 10, data)
    yield _top_k("data", 256, 1024, MILLIONS, 1000, "noisy copies")
    yield _top_k("data", 256, 1, MILLIONS, 10, "noisy copies")


def _star() -> Iterator[Cell]:
    bits, queries, codes, k = 256, 1024, MILLIONS, 10
    for other in (1, 8, 64, 10_000):
        yield _top_k("star", bits, other, codes, k)
    for other in (100, 1000, 5000, 1):
        yield _top_k("star", bits, queries, codes, other)
    for other in (64, 128):
        yield _top_k("star", other, queries, codes, k)
    for other in (1_000_000, 100_000):
        yield _top_k("star", bits, queries, other, k)
        yield _top_k("star", bits, 1, other, k)
    for other in (256, 1024):
        yield _top_k("star", other, 1, 100_000_000, k)


def _grid() -> Iterator[Cell]:
    for bits, queries, codes, k in product(BITS, QUERIES, CODES, K):
        yield _top_k("grid", bits, queries, codes, k)


MAKERS = {"bar": _bar, "ops": _ops, "data": _data, "star": _star, "grid": _grid}


def cells(groups: tuple[str, ...], ops: tuple[str, ...], sizes: Sizes) -> list[Cell]:
    """The cells of these groups and ops (none = all) in order of importance, none twice."""
    found = chosen({group: MAKERS[group] for group in GROUPS if group in groups}, sizes)
    return [cell for cell in found if not ops or cell.op in ops]


def small(cell: Cell) -> Cell:
    """The same with fewer queries and codes, to try a contestant on: still enough for a GPU to be busy."""
    return replace(cell, queries=min(cell.queries, 256), codes=min(cell.codes, max(500_000, 100 * cell.k)))


def searches(cell: Cell) -> bool:
    """Whether the op meets queries with a whole database."""
    return cell.op not in ("pack", "unpack", "rescore")


def allowed_codes(cell: Cell) -> int:
    """How many codes a mask leaves, never fewer than are wanted; without one all."""
    return max(cell.k, cell.codes // 10) if cell.data == MASKED else cell.codes


def copies(cell: Cell, cache_bytes: int) -> int:
    """How many databases of the cell's size take turns, so that none is found in the cache."""
    if not searches(cell) or cell.queries > STREAMING:
        return 1
    return min(MOST_COPIES, -(-CACHES * cache_bytes // (cell.codes * cell.bytes)))


def inputs(cell: Cell, device: str, number: int = 1) -> list[tuple[Any, ...]]:
    """The op's arguments but k, with each of `number` databases. The same at each call.

    Of a top-k (queries, database), and (..., mask or None, exclude or None) where it is filtered.
    """
    if cell.op == "pack":
        values = torch.rand(cell.codes, cell.bits, device=device, generator=_seeded(device, 1)) - 0.5
        return [(values.to(getattr(torch, cell.data)),)]
    queries, databases = _sides(cell, device, number)
    if cell.op == "unpack":
        return [(databases[0], cell.bits)]
    if cell.op in ("rescore", "topk_rescored"):
        queries = torch.randn(cell.queries, cell.bits, device=device, generator=_seeded(device, 1))
    rest = _more(cell, device, queries, databases[0])
    return [(queries, database, *rest) for database in databases]


def _sides(cell: Cell, device: str, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries (queries, bytes) and databases (number, codes, bytes).

    ten codes         nothing else in the database; half the queries are among them
    noisy copies      of 1,000 random codes, each bit flipped one time in 16; queries are such copies too
    nearest last      random codes by falling distance from one, of which the queries are noisy copies
    own row excluded  the queries are codes of the database
    else              random codes
    """
    rng = _seeded(device, 3)

    def picked(codes: torch.Tensor, rows: int) -> torch.Tensor:
        return codes[torch.randint(0, len(codes), (rows,), device=device, generator=rng)]

    shape = (number, cell.codes, cell.bytes)
    queries = _codes(cell.queries, cell.bits, device, 1)
    if cell.data == "ten codes":
        centres = _codes(10, cell.bits, device, 0)
        queries[::2] = picked(centres, len(queries[::2]))
        return queries, picked(centres, number * cell.codes).view(shape)
    if cell.data == "noisy copies":
        centres = _codes(CENTRES, cell.bits, device, 0)
        database = _noisy(picked(centres, number * cell.codes), cell.bits, 4)
        return _noisy(picked(centres, cell.queries), cell.bits, 8), database.view(shape)
    databases = _codes(number * cell.codes, cell.bits, device, 0).view(shape)
    if cell.data == "nearest last":
        for database in databases:
            distances = fasthash.hamming_distance(queries[:1], database)[0]
            database.copy_(database[distances.argsort(descending=True, stable=True)])
        return _noisy(queries[:1].expand(cell.queries, -1), cell.bits, 4), databases
    if cell.data == EXCLUDED:
        queries = databases[0, _own_rows(cell, device)]
    return queries, databases


def _own_rows(cell: Cell, device: str) -> torch.Tensor:
    """Rows of the database, spread over it: one for each query."""
    return torch.arange(cell.queries, device=device) * cell.codes // cell.queries


def _more(cell: Cell, device: str, queries: torch.Tensor, database: torch.Tensor) -> tuple[Any, ...]:
    rng = _seeded(device, 2)
    if cell.data == MASKED:
        mask = torch.zeros(cell.codes, dtype=torch.bool, device=device)
        mask[torch.randperm(cell.codes, device=device, generator=rng)[: allowed_codes(cell)]] = True
        return mask, None
    if cell.data == EXCLUDED:
        return None, _own_rows(cell, device)
    if cell.op in COUNTS:
        return tuple(torch.randint(0, CLASSES, (n,), device=device, generator=rng) for n in (cell.queries, cell.codes))
    if cell.op == "rescore":
        return (torch.randint(0, cell.codes, (cell.queries, cell.k), device=device, generator=rng),)
    if cell.op == "hamming_range":
        return (int(fasthash.hamming_topk(queries[:1], database, cell.k)[0][0, -1]),)
    return ()


def _seeded(device: str, seed: int) -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)


def _codes(rows: int, bits: int, device: str, seed: int) -> torch.Tensor:
    codes = torch.randint(
        0, 256, (rows, (bits + 7) // 8), dtype=torch.uint8, device=device, generator=_seeded(device, seed)
    )
    codes[:, -1] &= 0xFF << -bits % 8 & 0xFF
    return codes


def _noisy(codes: torch.Tensor, bits: int, seed: int) -> torch.Tensor:
    """Each bit flipped one time in 16."""
    device = codes.device.type
    flips = _codes(len(codes), bits, device, seed)
    for other in range(seed + 1, seed + 4):
        flips &= _codes(len(codes), bits, device, other)
    return codes ^ flips
