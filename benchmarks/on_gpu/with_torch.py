"""What users would write in torch instead: products of -1 and +1 in blocks of queries, then what the op needs.

Sums are whole numbers, exact in float16 up to 2,048 bits. All of it runs on the CPU too, where the tests compare it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from cells import Cell
from contestants import Call

import fasthash

GB = 10**9
MOST_MATRIX = 2 * GB  # bytes of a block of a full matrix, or
LARGER = 4  # times as many, where that is faster
ROWS_AT_ONCE = 1 << 20  # when codes are unpacked
OVERSAMPLE = 4

Inputs = tuple[Any, ...]


def signs(codes: torch.Tensor, dtype: torch.dtype, multiple: int = 1) -> torch.Tensor:
    """Codes as -1 and +1, and rows of zeros up to a multiple."""
    rows = -(-len(codes) // multiple) * multiple
    out = torch.zeros((rows, 8 * codes.shape[1]), dtype=dtype, device=codes.device)
    for first in range(0, len(codes), ROWS_AT_ONCE):
        part = codes[first : first + ROWS_AT_ONCE]
        out[first : first + len(part)] = fasthash.unpack(part, out.shape[1]).to(dtype)
    return out


@dataclass(frozen=True)
class Products:
    """Bits less twice the distance of all codes, in blocks of queries."""

    dtype: torch.dtype
    bytes_of_pair: int
    multiple: int  # of rows that the product takes, at least twice as many queries as that
    most: int = MOST_MATRIX

    def prepare(self, cell: Cell, queries: torch.Tensor, database: torch.Tensor) -> Callable[..., Iterator[Any]]:
        """A function that gives (first query, products (rows, codes)): with all codes, or with those of given rows."""
        left = signs(queries, self.dtype, 4 * self.multiple)
        right = signs(database, self.dtype, self.multiple)
        rows = self.rows(cell)

        def blocks(among: torch.Tensor | None = None) -> Iterator[tuple[int, torch.Tensor]]:
            codes, side = cell.codes, right
            if among is not None:
                codes = len(among)
                side = right[torch.nn.functional.pad(among, (0, -codes % self.multiple))]
            for first in range(0, cell.queries, rows):
                matrix = self._multiply(left[first : first + rows], side)
                yield first, matrix[: cell.queries - first, :codes]

        return blocks

    def rows(self, cell: Cell) -> int:
        """Queries of a block."""
        most = max(1, self.most // (self.bytes_of_pair * cell.codes))
        return -(-min(cell.queries, most) // (4 * self.multiple)) * 4 * self.multiple

    def _multiply(self, queries: torch.Tensor, database: torch.Tensor) -> torch.Tensor:
        return torch._int_mm(queries, database.T) if self.dtype == torch.int8 else queries @ database.T


FP16 = Products(torch.float16, 2, 1)
SMALL = replace(FP16, most=MOST_MATRIX // 8)  # for ops that take many times a block's memory
INT8 = Products(torch.int8, 4, 8)  # torch._int_mm on a GPU takes more than 16 rows, and multiples of 8


def top_k(products: Products) -> Callable[[Cell, Inputs], Call]:
    def start(cell: Cell, x: Inputs) -> Call:
        queries, database, mask, exclude = filtered(x)
        blocks = products.prepare(cell, queries, database)

        def call() -> tuple[torch.Tensor, torch.Tensor]:
            distances, indices = results(cell, queries)
            allowed = None if mask is None else mask.nonzero().view(-1)
            for first, matrix in blocks(allowed):
                rows = slice(first, first + len(matrix))
                if exclude is not None:
                    least = torch.iinfo if matrix.dtype == torch.int32 else torch.finfo
                    matrix.scatter_(1, exclude[rows, None], least(matrix.dtype).min)
                largest, found = matrix.topk(cell.k)
                distances[rows] = _distance(cell, largest)
                indices[rows] = found if allowed is None else allowed[found]
            return distances, indices

        return call

    return start


def filtered(x: Inputs) -> Inputs:
    """Queries, database, mask and exclude of a top-k: None for what it is called without."""
    return (*x, None, None)[:4]


def _distance(cell: Cell, products: torch.Tensor) -> torch.Tensor:
    """As int32."""
    return ((8 * cell.bytes - products) / 2).to(torch.int32)


def results(cell: Cell, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Room for distances and indices of a top-k."""
    shape = (cell.queries, cell.k)
    return like.new_empty(shape, dtype=torch.int32), like.new_empty(shape, dtype=torch.int64)


def distance(products: Products) -> Callable[[Cell, Inputs], Call]:
    def start(cell: Cell, x: Inputs) -> Call:
        blocks = products.prepare(cell, *x)

        def call() -> torch.Tensor:
            out = x[0].new_empty((cell.queries, cell.codes), dtype=torch.int32)
            for first, matrix in blocks():
                out[first : first + len(matrix)] = _distance(cell, matrix)
            return out

        return call

    return start


def within_radius(products: Products) -> Callable[[Cell, Inputs], Call]:
    def start(cell: Cell, x: Inputs) -> Call:
        *sides, radius = x
        blocks = products.prepare(cell, *sides)

        def call() -> tuple[torch.Tensor, ...]:
            counts, distances, indices = [], [], []
            for _, matrix in blocks():
                found = _distance(cell, matrix)
                rows, columns = (found <= radius).nonzero(as_tuple=True)
                own = found[rows, columns]
                order = (rows * (radius + 1) + own).sort(stable=True).indices
                counts.append(torch.bincount(rows, minlength=len(matrix)))
                distances.append(own[order])
                indices.append(columns[order])
            offsets = torch.nn.functional.pad(torch.cat(counts).cumsum(0), (1, 0))
            return offsets, torch.cat(distances), torch.cat(indices)

        return call

    return start


def histogram(products: Products) -> Callable[[Cell, Inputs], Call]:
    def start(cell: Cell, x: Inputs) -> Call:
        queries, database, *labels = x
        blocks = products.prepare(cell, queries, database)
        bins = 8 * cell.bytes + 1

        def counts(keys: torch.Tensor, of_row: int) -> torch.Tensor:
            keys = keys + of_row * torch.arange(len(keys), device=keys.device, dtype=torch.int32)[:, None]
            return torch.bincount(keys.view(-1), minlength=of_row * len(keys)).view(len(keys), of_row)

        def call() -> torch.Tensor:
            tables = []
            for first, matrix in blocks():
                keys = _distance(cell, matrix)
                if not labels:
                    tables.append(counts(keys, bins))
                    continue
                relevant = labels[0][first : first + len(matrix), None] == labels[1]
                found = counts(2 * keys + relevant, 2 * bins).view(len(matrix), bins, 2)
                tables.append(torch.stack((found.sum(2), found[..., 1]), 2))
            return torch.cat(tables)

        return call

    return start


def average_precision(products: Products) -> Callable[[Cell, Inputs], Call]:
    def start(cell: Cell, x: Inputs) -> Call:
        queries, database, query_labels, labels = x
        blocks = products.prepare(cell, queries, database)
        ranks = torch.arange(1, cell.codes + 1, device=labels.device, dtype=torch.float64)

        def call() -> tuple[torch.Tensor, ...]:
            sums, hits = [], []
            for first, matrix in blocks():
                for query, row in enumerate(matrix, first):
                    relevant = labels[row.sort(descending=True, stable=True).indices] == query_labels[query]
                    before = relevant.cumsum(0)
                    sums.append((before * relevant / ranks).sum())
                    hits.append(before[-1])
            return torch.stack(sums), torch.stack(hits), torch.stack(hits)

        return call

    return start


# Packing and rescoring in torch.


def pack(cell: Cell, x: Inputs) -> Call:
    weights = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8, device=x[0].device)
    return lambda: ((x[0] > 0).view(cell.codes, cell.bytes, 8) * weights).sum(2, dtype=torch.uint8)


def unpack(cell: Cell, x: Inputs) -> Call:
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=x[0].device)
    return lambda: ((x[0][:, :, None] >> shifts) & 1).view(cell.codes, cell.bits).to(torch.float32) * 2 - 1


def _scores(queries: torch.Tensor, codes: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    """In blocks of queries: a candidate's signs are gathered as floats."""
    rows = max(1, MOST_MATRIX // (4 * queries.shape[1] * candidates.shape[1]))
    parts = []
    for first in range(0, len(queries), rows):
        block = slice(first, first + rows)
        values = fasthash.unpack(codes[candidates[block]], queries.shape[1])
        parts.append(torch.einsum("qd,qcd->qc", queries[block], values))
    return torch.cat(parts)


def rescore(cell: Cell, x: Inputs) -> Call:
    return lambda: _scores(*x)


def topk_rescored(products: Products) -> Callable[[Cell, Inputs], Call]:
    def start(cell: Cell, x: Inputs) -> Call:
        queries, codes = x
        wanted = min(cell.k * OVERSAMPLE, cell.codes)
        blocks = products.prepare(cell, fasthash.pack(queries), codes)

        def call() -> tuple[torch.Tensor, torch.Tensor]:
            candidates = torch.cat([matrix.topk(wanted).indices for _, matrix in blocks()])
            scores, order = _scores(queries, codes, candidates).topk(cell.k)
            return scores, candidates.gather(1, order)

        return call

    return start
