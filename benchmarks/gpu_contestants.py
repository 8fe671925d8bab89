"""Who takes part in gpu.py: fasthash on each path, and what users of a GPU would pick instead.

    torch fp16, torch int8   products of -1 and +1 on the tensor cores, in blocks of queries, then torch.topk (or what
                             the op needs); exact, for the sums are whole numbers up to 2048
    naive                    one thread a code with __popc (ceilings.cu), the matrix in blocks, then torch.topk
    faiss                    GpuIndexBinaryFlat, from device memory to device memory

What a peer may prepare lies outside of the timing: floats of -1 and +1, the FAISS index. fasthash prepares nothing.
Everything but FAISS and naive runs on the CPU too, where the tests compare its results.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from cells import Cell
from contestants import Call
from gpu_ceilings import Library
from gpu_cells import COUNTS, searches

import fasthash

GB = 10**9
MOST_MATRIX = 2 * GB  # bytes of a block of a full matrix
ROWS_AT_ONCE = 1 << 20  # when codes are unpacked
PATHS = ("popcount", "tensor")
OVERSAMPLE = 4
MOST_FAISS = 2048

Inputs = tuple[Any, ...]


@dataclass(frozen=True)
class GpuContestant:
    """How an op is done by one library."""

    name: str
    start: Callable[[Cell, Inputs], Call]  # -> the call that is timed
    prepared: Callable[[Cell], int]  # bytes that it keeps for each database
    memory: Callable[[Cell], int]  # bytes beside inputs and what is prepared, an estimate
    missing: Callable[[Cell], str] = lambda cell: ""  # why it cannot take part, or nothing
    path: str = ""  # of fasthash

    @property
    def own(self) -> bool:
        """Whether it is fasthash, whose results are the same bytes on every path."""
        return bool(self.path)


# fasthash.

OPS: dict[str, Callable[[Cell, Inputs], Any]] = {
    "hamming_topk": lambda cell, x: fasthash.hamming_topk(*x, cell.k),
    "hamming_range": lambda cell, x: fasthash.hamming_range(*x),
    "hamming_distance": lambda cell, x: fasthash.hamming_distance(*x),
    "hamming_histogram": lambda cell, x: fasthash.hamming_histogram(*x),
    "relevance_histogram": lambda cell, x: fasthash.relevance_histogram(*x),
    "average_precision_counts": lambda cell, x: fasthash.average_precision_counts(*x),
    "pack": lambda cell, x: fasthash.pack(*x),
    "unpack": lambda cell, x: fasthash.unpack(*x),
    "rescore": lambda cell, x: fasthash.rescore(*x),
    "topk_rescored": lambda cell, x: fasthash.topk_rescored(*x, cell.k, oversample=OVERSAMPLE),
}


def choose_path(path: str) -> None:
    """auto, popcount or tensor, for later calls; only auto where the build has no choice."""
    native = fasthash._native._C
    if hasattr(native, "set_cuda_path"):
        native.set_cuda_path(path)
    elif hasattr(native, "cuda_path"):
        os.environ["FASTHASH_CUDA_PATH"] = path


def _no_path(path: str) -> str:
    """Why a path cannot be chosen, or nothing."""
    native = fasthash._native._C
    if not (hasattr(native, "set_cuda_path") or hasattr(native, "cuda_path")):
        return "this build has no choice of path"
    try:
        choose_path(path)
    except (ValueError, RuntimeError) as error:
        return str(error)
    finally:
        choose_path("auto")
    return ""


def _own(path: str) -> GpuContestant:
    def start(cell: Cell, x: Inputs) -> Call:
        def call() -> Any:
            choose_path(path)
            return OPS[cell.op](cell, x)

        return call

    return GpuContestant(
        "fasthash" if path == "auto" else f"fasthash {path}",
        start,
        lambda cell: cell.codes * cell.bytes,
        lambda cell: 2 * result_bytes(cell) + GB,
        lambda cell: "" if path == "auto" else _no_path(path),
        path,
    )


def result_bytes(cell: Cell) -> int:
    """Of what the op returns."""
    bins = 8 * cell.bytes + 1
    return {
        "hamming_topk": 12 * cell.queries * cell.k,
        "hamming_range": 8 * cell.queries + 12 * cell.queries * cell.k,
        "hamming_distance": 4 * cell.queries * cell.codes,
        "hamming_histogram": 8 * cell.queries * bins,
        "relevance_histogram": 16 * cell.queries * bins,
        "average_precision_counts": 24 * cell.queries,
        "pack": cell.codes * cell.bytes,
        "unpack": 4 * cell.codes * cell.bits,
        "rescore": 4 * cell.queries * cell.k,
        "topk_rescored": 12 * cell.queries * cell.k,
    }[cell.op]


# Products of -1 and +1 in torch.


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

    def prepare(self, cell: Cell, queries: torch.Tensor, database: torch.Tensor) -> Callable[[], Iterator[Any]]:
        """A function that gives (first query, products (rows, codes))."""
        left = signs(queries, self.dtype, 4 * self.multiple)
        right = signs(database, self.dtype, self.multiple)
        rows = self.rows(cell)

        def blocks() -> Iterator[tuple[int, torch.Tensor]]:
            for first in range(0, cell.queries, rows):
                matrix = self._multiply(left[first : first + rows], right)
                yield first, matrix[: cell.queries - first, : cell.codes]

        return blocks

    def rows(self, cell: Cell) -> int:
        """Queries of a block."""
        most = max(1, MOST_MATRIX // (self.bytes_of_pair * cell.codes))
        return -(-min(cell.queries, most) // (4 * self.multiple)) * 4 * self.multiple

    def _multiply(self, queries: torch.Tensor, database: torch.Tensor) -> torch.Tensor:
        return torch._int_mm(queries, database.T) if self.dtype == torch.int8 else queries @ database.T


FP16 = Products(torch.float16, 2, 1)
INT8 = Products(torch.int8, 4, 8)  # torch._int_mm on a GPU takes more than 16 rows, and multiples of 8


def torch_top_k(products: Products) -> Callable[[Cell, Inputs], Call]:
    def start(cell: Cell, x: Inputs) -> Call:
        blocks = products.prepare(cell, *x)

        def call() -> tuple[torch.Tensor, torch.Tensor]:
            distances, indices = _results(cell, x[0])
            for first, matrix in blocks():
                largest, found = matrix.topk(cell.k)
                rows = slice(first, first + len(matrix))
                distances[rows] = _distance(cell, largest)
                indices[rows] = found
            return distances, indices

        return call

    return start


def _distance(cell: Cell, products: torch.Tensor) -> torch.Tensor:
    """As int32."""
    return ((8 * cell.bytes - products) / 2).to(torch.int32)


def _results(cell: Cell, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    shape = (cell.queries, cell.k)
    return like.new_empty(shape, dtype=torch.int32), like.new_empty(shape, dtype=torch.int64)


def torch_distance(products: Products) -> Callable[[Cell, Inputs], Call]:
    def start(cell: Cell, x: Inputs) -> Call:
        blocks = products.prepare(cell, *x)

        def call() -> torch.Tensor:
            out = x[0].new_empty((cell.queries, cell.codes), dtype=torch.int32)
            for first, matrix in blocks():
                out[first : first + len(matrix)] = _distance(cell, matrix)
            return out

        return call

    return start


def torch_range(cell: Cell, x: Inputs) -> Call:
    *sides, radius = x
    blocks = FP16.prepare(cell, *sides)

    def call() -> tuple[torch.Tensor, ...]:
        counts, distances, indices = [], [], []
        for _, matrix in blocks():
            distance = _distance(cell, matrix)
            rows, columns = (distance <= radius).nonzero(as_tuple=True)
            own = distance[rows, columns]
            order = (rows * (radius + 1) + own).sort(stable=True).indices
            counts.append(torch.bincount(rows, minlength=len(matrix)))
            distances.append(own[order])
            indices.append(columns[order])
        offsets = torch.nn.functional.pad(torch.cat(counts).cumsum(0), (1, 0))
        return offsets, torch.cat(distances), torch.cat(indices)

    return call


def torch_histogram(cell: Cell, x: Inputs) -> Call:
    queries, database, *labels = x
    blocks = FP16.prepare(cell, queries, database)
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


def torch_average_precision(cell: Cell, x: Inputs) -> Call:
    queries, database, query_labels, labels = x
    blocks = FP16.prepare(cell, queries, database)
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


# Packing and rescoring in torch.


def torch_pack(cell: Cell, x: Inputs) -> Call:
    weights = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8, device=x[0].device)
    return lambda: ((x[0] > 0).view(cell.codes, cell.bytes, 8) * weights).sum(2, dtype=torch.uint8)


def torch_unpack(cell: Cell, x: Inputs) -> Call:
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


def torch_rescore(cell: Cell, x: Inputs) -> Call:
    return lambda: _scores(*x)


def torch_topk_rescored(cell: Cell, x: Inputs) -> Call:
    queries, codes = x
    wanted = min(cell.k * OVERSAMPLE, cell.codes)
    blocks = FP16.prepare(cell, fasthash.pack(queries), codes)

    def call() -> tuple[torch.Tensor, torch.Tensor]:
        candidates = torch.cat([matrix.topk(wanted).indices for _, matrix in blocks()])
        scores, order = _scores(queries, codes, candidates).topk(cell.k)
        return scores, candidates.gather(1, order)

    return call


# Kernels of others.


def naive(library: Library | None) -> Callable[[Cell, Inputs], Call]:
    """The matrix of distances, and of it the nearest."""

    def start(cell: Cell, x: Inputs) -> Call:
        assert library is not None
        queries, database = x
        rows = max(1, min(cell.queries, MOST_MATRIX // (4 * cell.codes)))

        def matrix(first: int, last: int, out: torch.Tensor) -> torch.Tensor:
            part = out[: last - first]
            sizes = (cell.codes, cell.bytes)
            library.call("naive_distance", queries[first:last], last - first, database, *sizes, part)
            return part

        def top_k() -> tuple[torch.Tensor, torch.Tensor]:
            distances, indices = _results(cell, queries)
            out = queries.new_empty((rows, cell.codes), dtype=torch.int32)
            for first in range(0, cell.queries, rows):
                block = slice(first, min(first + rows, cell.queries))
                distances[block], indices[block] = matrix(first, block.stop, out).topk(cell.k, largest=False)
            return distances, indices

        def distance() -> torch.Tensor:
            return matrix(0, cell.queries, queries.new_empty((cell.queries, cell.codes), dtype=torch.int32))

        return top_k if cell.op == "hamming_topk" else distance

    return start


def faiss_top_k(cell: Cell, x: Inputs) -> Call:
    import faiss
    from faiss.contrib import torch_utils

    queries, database = x
    resources = faiss.StandardGpuResources()
    stream = faiss.cast_integer_to_cudastream_t(torch.cuda.current_stream().cuda_stream)
    resources.setDefaultStream(torch.cuda.current_device(), stream)
    index = faiss.GpuIndexBinaryFlat(resources, 8 * cell.bytes)
    index.add(database.cpu().numpy())

    def call() -> tuple[torch.Tensor, torch.Tensor]:
        distances, indices = _results(cell, queries)
        index.search_c(
            cell.queries,
            torch_utils.swig_ptr_from_UInt8Tensor(queries),
            cell.k,
            torch_utils.swig_ptr_from_IntTensor(distances),
            torch_utils.swig_ptr_from_IndicesTensor(indices),
        )
        return distances, indices

    return call


def _no_faiss(cell: Cell) -> str:
    if importlib.util.find_spec("faiss") is None:
        return "faiss is not installed"
    import faiss

    if not hasattr(faiss, "GpuIndexBinaryFlat"):
        return "this faiss has no GPU part"
    return f"k above {MOST_FAISS}" if cell.k > MOST_FAISS else ""


def contestants(op: str, library: Library | None) -> list[GpuContestant]:
    """Who does an op, fasthash first."""

    def of_torch(name: str, start: Callable[[Cell, Inputs], Call], products: Products, times: int) -> GpuContestant:
        """times: how many bytes a pair of a block takes beside its product."""

        def memory(cell: Cell) -> int:
            return products.rows(cell) * cell.codes * (products.bytes_of_pair + times) + 2 * result_bytes(cell) + GB

        def prepared(cell: Cell) -> int:
            return cell.codes * 8 * cell.bytes * products.dtype.itemsize

        return GpuContestant(name, start, prepared, memory)

    def by_rows(name: str, start: Callable[[Cell, Inputs], Call], memory: Callable[[Cell], int]) -> GpuContestant:
        return GpuContestant(name, start, lambda cell: 0, memory)

    own_naive = GpuContestant(
        "naive",
        naive(library),
        lambda cell: cell.codes * cell.bytes,
        lambda cell: 3 * MOST_MATRIX + result_bytes(cell),
        lambda cell: "" if library is not None else "nvcc is not installed",
    )
    peers = {
        "hamming_topk": [
            of_torch("torch fp16", torch_top_k(FP16), FP16, 8),
            of_torch("torch int8", torch_top_k(INT8), INT8, 8),
            own_naive,
            GpuContestant(
                "faiss",
                faiss_top_k,
                lambda cell: cell.codes * cell.bytes,
                lambda cell: result_bytes(cell) + 2 * GB,
                _no_faiss,
            ),
        ],
        "hamming_distance": [
            of_torch("torch fp16", torch_distance(FP16), FP16, 12),
            of_torch("torch int8", torch_distance(INT8), INT8, 12),
            own_naive,
        ],
        "hamming_range": [of_torch("torch fp16", torch_range, FP16, 14)],
        "hamming_histogram": [of_torch("torch fp16", torch_histogram, FP16, 30)],
        "relevance_histogram": [of_torch("torch fp16", torch_histogram, FP16, 32)],
        "average_precision_counts": [of_torch("torch fp16", torch_average_precision, FP16, 2)],
        "pack": [by_rows("torch", torch_pack, lambda cell: 3 * cell.codes * cell.bits)],
        "unpack": [by_rows("torch", torch_unpack, lambda cell: 10 * cell.codes * cell.bits)],
        "rescore": [by_rows("torch", torch_rescore, lambda cell: 3 * MOST_MATRIX)],
        "topk_rescored": [of_torch("torch fp16", torch_topk_rescored, FP16, 8)],
    }
    both_paths = searches(Cell("", op, "", 8, 1)) and op not in (*COUNTS, "topk_rescored")
    return [_own("auto"), *(_own(path) for path in PATHS if both_paths), *peers[op]]
