"""What is measured: cells (an op, its sizes, its data), in order of importance, and their inputs.

Groups, in the order in which they run:
    bar     the cases that the project has set itself a ratio for
    ties    ten distinct codes beside random ones
    ops     distance matrix, pack, unpack
    memory  what ops allocate (memory.py)
    real    learned codes, from the folder FASTHASH_DATA
    star    one size at a time changed from 256 queries, 1,000,000 codes, 256 bits, k = 10
    grid    every combination of sizes: only when asked for
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

BITS = (64, 128, 256, 512, 1024)
QUERIES = (1, 8, 64, 256, 1024)
CODES = (10_000, 100_000, 1_000_000, 10_000_000)
K = (1, 10, 100, 1000, 10_000)
GROUPS = ("bar", "ties", "ops", "memory", "real", "star", "grid")

REAL = ("nus-wide", "ms-coco", "cifar-10")
REAL_BITS = (48, 32, 24, 12)
# Elements of what is packed: 1,000,000 rows of 256.
PACKED = ("float32", "float16", "bfloat16", "float64", "int8", "bool", "float32, strided rows")


@dataclass(frozen=True)
class Cell:
    """One row of the tables."""

    group: str
    op: str
    data: str  # "random", "ten codes", a data set; for pack and unpack the type of the elements
    bits: int
    codes: int
    queries: int = 0
    k: int = 0

    @property
    def size(self) -> int:
        """What the time grows with: pairs, or rows."""
        return max(self.queries, 1) * self.codes

    @property
    def bytes(self) -> int:
        """Of a packed code."""
        return (self.bits + 7) // 8

    def smaller(self) -> Cell:
        """The same with fewer queries and codes, to try a contestant on."""
        return replace(self, queries=min(self.queries, 64), codes=min(self.codes, max(50_000, 100 * self.k)))


def _top_k(group: str, data: str, bits: int, queries: int, codes: int, k: int) -> Cell:
    return Cell(group, "hamming_topk", data, bits, codes, queries, k)


def _bar() -> Iterator[Cell]:
    for k, bits in product((10, 1000), BITS):
        yield _top_k("bar", "random", bits, 256, 1_000_000, k)
    yield _top_k("bar", "random", 256, 1, 10_000_000, 10)
    yield from _real("bar", ("nus-wide",), (48,))


def _ties() -> Iterator[Cell]:
    for bits, k, data in product((64, 256), (10, 1000), ("random", "ten codes")):
        yield _top_k("ties", data, bits, 256, 200_000, k)


def _ops() -> Iterator[Cell]:
    yield Cell("ops", "hamming_distance", "random", 256, 1_000_000, 256)
    for data in PACKED:
        yield Cell("ops", "pack", data, 256, 1_000_000)
    yield Cell("ops", "unpack", "float32", 256, 1_000_000)


def _real(group: str, names: tuple[str, ...] = REAL, widths: tuple[int, ...] = REAL_BITS) -> Iterator[Cell]:
    for name, bits in product(names, widths):
        if real_path(name).is_file():
            queries, database = real_codes(name, bits)
            yield _top_k(group, name, bits, len(queries), len(database), 100)


def _star() -> Iterator[Cell]:
    bits, queries, codes, k = 256, 256, 1_000_000, 10
    for other in (1, 8, 64, 1024):
        yield _top_k("star", "random", bits, other, codes, k)
    for other in (100, 10_000, 1):
        yield _top_k("star", "random", bits, queries, codes, other)
    for other in (100_000, 10_000, 10_000_000):
        yield _top_k("star", "random", bits, queries, other, k)
    for other in (64, 1024):
        yield _top_k("star", "random", other, 1, 10_000_000, k)


def _grid() -> Iterator[Cell]:
    for bits, queries, codes, k in product(BITS, QUERIES, CODES, K):
        yield _top_k("grid", "random", bits, queries, codes, k)


@dataclass(frozen=True)
class Sizes:
    """Values that take the place of a cell's own. Real codes keep their widths, and at most their numbers."""

    bits: tuple[int, ...] = ()
    queries: tuple[int, ...] = ()
    codes: tuple[int, ...] = ()
    k: tuple[int, ...] = ()

    def applied(self, cell: Cell) -> Iterator[Cell]:
        real = cell.data in REAL
        if real and self.bits and cell.bits not in self.bits:
            return
        for bits, queries, codes, k in product(
            (cell.bits,) if real else self.bits or (cell.bits,),
            (self.queries or (cell.queries,)) if cell.queries else (0,),
            self.codes or (cell.codes,),
            (self.k or (cell.k,)) if cell.k else (0,),
        ):
            if real:
                queries, codes = min(queries, cell.queries), min(codes, cell.codes)
            yield replace(cell, bits=bits, queries=queries, codes=codes, k=min(k, codes))


def cells(groups: tuple[str, ...], sizes: Sizes) -> list[Cell]:
    """The cells of these groups in order of importance, none twice. Group memory has no cells here."""
    makers = {
        "bar": _bar,
        "ties": _ties,
        "ops": _ops,
        "real": lambda: _real("real"),
        "star": _star,
        "grid": _grid,
    }
    return chosen({group: makers[group] for group in makers if group in groups}, sizes)


def chosen(makers: dict[str, Callable[[], Iterator[Cell]]], sizes: Sizes) -> list[Cell]:
    """The cells that these make, with sizes applied, none twice."""
    found: dict[Cell, Cell] = {}
    for maker in makers.values():
        for cell in maker():
            for sized in sizes.applied(cell):
                found.setdefault(replace(sized, group=""), sized)
    return list(found.values())


def real_path(name: str) -> Path:
    """Where learned codes are looked for: packed rows query_48, database_48, ..."""
    return Path(os.environ.get("FASTHASH_DATA", "data")) / "hash-codes" / f"{name}.npz"


@lru_cache(maxsize=4)
def real_codes(name: str, bits: int) -> tuple[np.ndarray, np.ndarray]:
    with np.load(real_path(name)) as arrays:
        return np.ascontiguousarray(arrays[f"query_{bits}"]), np.ascontiguousarray(arrays[f"database_{bits}"])


def _random(rng: np.random.Generator, rows: int, bits: int) -> np.ndarray:
    codes = rng.integers(0, 256, (rows, (bits + 7) // 8), dtype=np.uint8)
    codes[:, -1] &= 0xFF << -bits % 8 & 0xFF
    return codes


@lru_cache(maxsize=2)  # a cell's, and the small one that contestants are tried on
def _database(bits: int, codes: int) -> np.ndarray:
    return _random(np.random.default_rng(0), codes, bits)


def inputs(cell: Cell) -> tuple[Any, ...]:
    """The op's arrays: queries and database, or what is packed or unpacked. The same at each call."""
    rng = np.random.default_rng(1)
    if cell.op == "pack":
        return (_elements(cell, rng),)
    if cell.op == "unpack":
        return (_database(cell.bits, cell.codes),)
    if cell.data in REAL:
        queries, database = real_codes(cell.data, cell.bits)
        return queries[: cell.queries], database[: cell.codes]
    queries = _random(rng, cell.queries, cell.bits)
    if cell.data == "ten codes":
        distinct = _random(rng, 10, cell.bits)
        queries[::2] = distinct[rng.integers(0, 10, len(queries[::2]))]  # half the queries are among the ten
        return queries, distinct[rng.integers(0, 10, cell.codes)]
    return queries, _database(cell.bits, cell.codes)


def _elements(cell: Cell, rng: np.random.Generator) -> Any:
    """A NumPy array (codes, bits); for bfloat16, which NumPy lacks, a tensor."""
    kind, _, strided = cell.data.partition(", ")
    shape = (cell.codes, cell.bits)
    if kind == "bool":
        return rng.integers(0, 2, shape, dtype=np.uint8).view(bool)
    if kind == "int8":
        return rng.integers(-2, 3, shape, dtype=np.int8)
    wide = (cell.codes, cell.bits + cell.bits // 4) if strided else shape
    values = rng.random(wide, dtype=np.float64 if kind == "float64" else np.float32)
    values -= 0.5
    if kind == "bfloat16":
        return torch.from_numpy(values).to(torch.bfloat16)
    return values[:, : cell.bits] if strided else values.astype(kind, copy=False)
