"""Who takes part in gpu.py: fasthash on each path, and what users of a GPU would pick instead.

    torch fp16, torch int8   products of -1 and +1 on the tensor cores, then topk or what the op needs (with_torch.py)
    naive                    one thread a code with __popc (ceilings.cu), the matrix in blocks, then torch.topk
    faiss                    GpuIndexBinaryFlat, from device memory to device memory

What a peer may prepare lies outside of the timing: floats of -1 and +1, the FAISS index. fasthash prepares nothing.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from cells import Cell
from contestants import Call
from on_gpu import with_torch
from on_gpu.cells import FILTERED
from on_gpu.loops import Library
from on_gpu.paths import PATHS, native, taken_path
from on_gpu.with_torch import FP16, GB, INT8, LARGER, MOST_MATRIX, OVERSAMPLE, Inputs, Products, filtered, results

import fasthash

MOST_FAISS = 2048


@dataclass(frozen=True)
class GpuContestant:
    """How an op is done by one library."""

    name: str
    start: Callable[[Cell, Inputs], Call]  # -> the call that is timed
    prepared: Callable[[Cell], int]  # bytes that it keeps for each database
    memory: Callable[[Cell], int]  # bytes beside inputs and what is prepared, an estimate
    missing: Callable[[Cell], str] = lambda cell: ""  # why it cannot take part, or nothing
    path: str = ""  # of fasthash
    block: int = 0  # bytes of a block of the full matrix, for who works in blocks
    larger: GpuContestant | None = None  # the same with larger blocks

    @property
    def own(self) -> bool:
        """Whether it is fasthash, whose results are the same bytes on every path."""
        return bool(self.path)


def _top_k(cell: Cell, x: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
    queries, database, mask, exclude = filtered(x)
    return fasthash.hamming_topk(queries, database, cell.k, mask=mask, exclude=exclude)


OPS: dict[str, Callable[[Cell, Inputs], Any]] = {
    "hamming_topk": _top_k,
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


def _own(path: str) -> GpuContestant:
    def start(cell: Cell, x: Inputs) -> Call:
        kernels = native()

        def call() -> Any:
            if kernels is not None:
                kernels.set_path(path)
            return OPS[cell.op](cell, x)

        return call

    def missing(cell: Cell) -> str:
        if path == "auto":
            return ""
        if (kernels := native()) is None:
            return "this build has no choice of path"
        try:
            kernels.set_path(path)
            taken = taken_path(kernels, cell)
        except ValueError as error:
            return str(error)
        finally:
            kernels.set_path("auto")
        if taken not in (None, path):
            return f"these sizes go by {taken}"
        if path == "tensor" and not (8 <= torch.cuda.get_device_capability()[0] <= 9):
            return "no binary products on this GPU"
        return ""

    name = "fasthash" if path == "auto" else f"fasthash {path}"
    return GpuContestant(name, start, _code_bytes, lambda cell: 2 * result_bytes(cell) + GB, missing, path)


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


def _code_bytes(cell: Cell) -> int:
    return cell.codes * cell.bytes


def naive(library: Library | None, most: int) -> Callable[[Cell, Inputs], Call]:
    """The matrix of distances, and of it the nearest."""

    def start(cell: Cell, x: Inputs) -> Call:
        assert library is not None
        queries, database = x
        rows = _rows(cell, most)

        def matrix(first: int, last: int, out: torch.Tensor) -> torch.Tensor:
            part = out[: last - first]
            sizes = (cell.codes, cell.bytes)
            library.call("naive_distance", queries[first:last], last - first, database, *sizes, part)
            return part

        def top_k() -> tuple[torch.Tensor, torch.Tensor]:
            distances, indices = results(cell, queries)
            out = queries.new_empty((rows, cell.codes), dtype=torch.int32)
            for first in range(0, cell.queries, rows):
                block = slice(first, min(first + rows, cell.queries))
                distances[block], indices[block] = matrix(first, block.stop, out).topk(cell.k, largest=False)
            return distances, indices

        def distance() -> torch.Tensor:
            return matrix(0, cell.queries, queries.new_empty((cell.queries, cell.codes), dtype=torch.int32))

        return top_k if cell.op == "hamming_topk" else distance

    return start


@cache
def _faiss_resources() -> Any:
    """One for all indexes: it reserves memory. On torch's stream."""
    import faiss

    resources = faiss.StandardGpuResources()
    stream = faiss.cast_integer_to_cudastream_t(torch.cuda.current_stream().cuda_stream)
    resources.setDefaultStream(torch.cuda.current_device(), stream)
    return resources


def faiss_top_k(cell: Cell, x: Inputs) -> Call:
    import faiss
    from faiss.contrib import torch_utils

    queries, database = x
    index = faiss.GpuIndexBinaryFlat(_faiss_resources(), 8 * cell.bytes)
    index.add(database.cpu().numpy())

    def call() -> tuple[torch.Tensor, torch.Tensor]:
        distances, indices = results(cell, queries)
        index.search_c(
            cell.queries,
            torch_utils.swig_ptr_from_UInt8Tensor(queries),
            cell.k,
            torch_utils.swig_ptr_from_IntTensor(distances),
            torch_utils.swig_ptr_from_IndicesTensor(indices),
        )
        return distances, indices

    return call


def _no_filter(cell: Cell) -> str:
    return "takes no mask" if cell.data in FILTERED else ""


def _no_faiss(cell: Cell) -> str:
    if importlib.util.find_spec("faiss") is None:
        return "faiss is not installed"
    import faiss

    if not hasattr(faiss, "GpuIndexBinaryFlat"):
        return "this faiss has no GPU part"
    return f"k above {MOST_FAISS}" if cell.k > MOST_FAISS else _no_filter(cell)


def _rows(cell: Cell, most: int) -> int:
    """Queries of a block of int32."""
    return max(1, min(cell.queries, most // (4 * cell.codes)))


def _naive(library: Library | None, most: int, larger: GpuContestant | None = None) -> GpuContestant:
    return GpuContestant(
        "naive",
        naive(library, most),
        _code_bytes,
        lambda cell: 12 * _rows(cell, most) * cell.codes + result_bytes(cell),
        lambda cell: _no_filter(cell) if library is not None else "nvcc is not installed",
        block=most,
        larger=larger,
    )


def _of_torch(
    name: str, start: Callable[[Products], Callable[[Cell, Inputs], Call]], products: Products = FP16, extra: int = 8
) -> GpuContestant:
    """extra: bytes that a pair of a block takes beside its product."""

    def with_blocks(products: Products, larger: GpuContestant | None = None) -> GpuContestant:
        pair = products.bytes_of_pair + extra
        return GpuContestant(
            name,
            start(products),
            lambda cell: cell.codes * 8 * cell.bytes * products.dtype.itemsize,
            lambda cell: products.rows(cell) * cell.codes * pair + 2 * result_bytes(cell) + GB,
            block=products.most,
            larger=larger,
        )

    return with_blocks(products, with_blocks(replace(products, most=LARGER * products.most)))


def contestants(op: str, library: Library | None) -> list[GpuContestant]:
    """Who does an op, fasthash first."""
    naive_kernel = _naive(library, MOST_MATRIX, _naive(library, LARGER * MOST_MATRIX))
    faiss = GpuContestant("faiss", faiss_top_k, _code_bytes, lambda cell: result_bytes(cell) + 2 * GB, _no_faiss)
    peers = {
        "hamming_topk": [
            _of_torch("torch fp16", with_torch.top_k),
            _of_torch("torch int8", with_torch.top_k, INT8),
            naive_kernel,
            faiss,
        ],
        "hamming_distance": [
            _of_torch("torch fp16", with_torch.distance),
            _of_torch("torch int8", with_torch.distance, INT8, 12),
            naive_kernel,
        ],
        "hamming_range": [_of_torch("torch fp16", with_torch.within_radius, with_torch.SMALL, 14)],
        "hamming_histogram": [_of_torch("torch fp16", with_torch.histogram, with_torch.SMALL, 32)],
        "relevance_histogram": [_of_torch("torch fp16", with_torch.histogram, with_torch.SMALL, 32)],
        "average_precision_counts": [_of_torch("torch fp16", with_torch.average_precision)],
        "pack": [GpuContestant("torch", with_torch.pack, lambda cell: 0, lambda cell: 3 * cell.codes * cell.bits)],
        "unpack": [GpuContestant("torch", with_torch.unpack, lambda cell: 0, lambda cell: 10 * cell.codes * cell.bits)],
        "rescore": [GpuContestant("torch", with_torch.rescore, lambda cell: 0, lambda cell: 3 * MOST_MATRIX)],
        "topk_rescored": [_of_torch("torch fp16", with_torch.topk_rescored)],
    }
    return [_own("auto"), *map(_own, PATHS.get(op, ())), *peers[op]]
