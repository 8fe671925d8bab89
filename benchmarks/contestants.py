"""Who takes part: fasthash and what users would pick instead, each called the way its documentation shows.

A contestant prepares itself (an index, a packed matrix, floats of -1 and +1) outside of the timing; fasthash prepares
nothing. Peers without a thread pool of their own get threads over blocks of queries.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from cells import Cell

import fasthash

Call = Callable[[], Any]
GB = 10**9
MOST_MATRIX = GB // 2  # bytes of a block of a full matrix


@dataclass(frozen=True)
class Contestant:
    """How an op is done by one library."""

    name: str
    start: Callable[[Cell, tuple[Any, ...], int], Call]  # cell, inputs, threads -> the call that is timed
    memory: Callable[[Cell], int]  # bytes beside the inputs, an estimate
    package: str = ""  # that has to be installed
    module: str = ""
    ordered: bool = False  # promises the order (distance, lower index), or the same bytes

    def missing(self) -> str:
        """Why it cannot take part at all, or nothing."""
        if self.module and importlib.util.find_spec(self.module) is None:
            return f"{self.package} is not installed"
        return ""


def versions() -> list[str]:
    """The packages of the contestants that are installed."""
    names = {c.package for of_op in CONTESTANTS.values() for c in of_op if c.package and not c.missing()}
    return sorted(names)


def _rows_of_block(cell: Cell, bytes_of_pair: int, threads: int = 1) -> int:
    """Queries of a block, so that the blocks of all threads fit MOST_MATRIX."""
    return max(1, min(-(-cell.queries // threads), MOST_MATRIX // (threads * bytes_of_pair * cell.codes)))


def _matrix_bytes(cell: Cell, bytes_of_pair: int) -> int:
    return min(cell.queries * cell.codes * bytes_of_pair, max(MOST_MATRIX, cell.codes * bytes_of_pair))


def _over_queries(cell: Cell, threads: int, rows: int, body: Callable[[int, int], None]) -> None:
    """body(first, last) over blocks of queries, on threads."""
    starts = range(0, cell.queries, rows)
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda first: body(first, min(first + rows, cell.queries)), starts):
            pass


def _nearest(distances: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k smallest of a row in order (distance, index), and their indices."""
    furthest = np.partition(distances, k - 1)[k - 1]
    indices = np.flatnonzero(distances <= furthest)
    indices = indices[np.argsort(distances[indices], kind="stable")[:k]]
    return distances[indices], indices


def _results(cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    shape = (cell.queries, cell.k)
    return np.empty(shape, np.int32), np.empty(shape, np.int64)


def _words(codes: np.ndarray) -> np.ndarray:
    """(words, rows) uint64: word by word, so that NumPy runs along the rows."""
    padded = np.zeros((len(codes), -(-codes.shape[1] // 8) * 8), np.uint8)
    padded[:, : codes.shape[1]] = codes
    return np.ascontiguousarray(padded.view(np.uint64).T)


def _signs(codes: np.ndarray) -> torch.Tensor:
    return fasthash.unpack(torch.from_numpy(codes), 8 * codes.shape[1])


# Top-k: a call gives distances and indices, both (queries, k).


def fasthash_top_k(cell: Cell, inputs: tuple[Any, ...], threads: int) -> Call:
    return lambda: fasthash.hamming_topk(*inputs, cell.k)


def faiss_top_k(use_heap: bool) -> Callable[[Cell, tuple[Any, ...], int], Call]:
    def start(cell: Cell, inputs: tuple[Any, ...], threads: int) -> Call:
        import faiss

        queries, database = inputs
        faiss.omp_set_num_threads(threads)
        index = faiss.IndexBinaryFlat(8 * cell.bytes)
        index.add(database)
        index.use_heap = use_heap
        return lambda: index.search(queries, cell.k)

    return start


def usearch_top_k(cell: Cell, inputs: tuple[Any, ...], threads: int) -> Call:
    from usearch.index import MetricKind, search

    queries, database = inputs
    rows = _rows_of_block(cell, 16)

    def call() -> tuple[np.ndarray, np.ndarray]:
        distances, indices = _results(cell)
        for first in range(0, cell.queries, rows):
            block = slice(first, first + rows)
            options = {"exact": True, "threads": threads, "dtype": "b1"}
            found = search(database, queries[block], cell.k, MetricKind.Hamming, **options)
            shape = distances[block].shape
            distances[block], indices[block] = found.distances.reshape(shape), found.keys.reshape(shape)
        return distances, indices

    return call


def numkong_top_k(cell: Cell, inputs: tuple[Any, ...], threads: int) -> Call:
    import numkong

    queries, database = inputs
    packed = numkong.hammings_pack(database, dtype="uint1")
    rows = _rows_of_block(cell, 4, threads)
    matrices: SimpleQueue[np.ndarray] = SimpleQueue()  # one a thread, kept between calls
    for _ in range(threads):
        matrices.put(np.empty((rows, cell.codes), np.uint32))

    def call() -> tuple[np.ndarray, np.ndarray]:
        distances, indices = _results(cell)

        def block(first: int, last: int) -> None:
            matrix = matrices.get()
            numkong.hammings_packed(queries[first:last], packed, out=numkong.from_dlpack(matrix[: last - first]))
            for row in range(first, last):
                distances[row], indices[row] = _nearest(matrix[row - first], cell.k)
            matrices.put(matrix)

        _over_queries(cell, threads, rows, block)
        return distances, indices

    return call


def numpy_top_k(cell: Cell, inputs: tuple[Any, ...], threads: int) -> Call:
    queries, database = (_words(codes) for codes in inputs)

    def call() -> tuple[np.ndarray, np.ndarray]:
        distances, indices = _results(cell)

        def block(first: int, last: int) -> None:
            total = np.empty(cell.codes, np.uint16)
            for row in range(first, last):
                _distances_of_one(queries[:, row], database, total)
                distances[row], indices[row] = _nearest(total, cell.k)

        _over_queries(cell, threads, -(-cell.queries // threads), block)
        return distances, indices

    return call


def _distances_of_one(query: np.ndarray, database: np.ndarray, out: np.ndarray) -> None:
    """In runs that stay in the cache."""
    for first in range(0, len(out), 1 << 15):
        run = slice(first, first + (1 << 15))
        out[run] = np.bitwise_count(database[0, run] ^ query[0])
        for word in range(1, len(query)):
            out[run] += np.bitwise_count(database[word, run] ^ query[word])


def torch_top_k(cell: Cell, inputs: tuple[Any, ...], threads: int) -> Call:
    queries, database = (_signs(codes) for codes in inputs)
    rows = _rows_of_block(cell, 8)

    def call() -> tuple[np.ndarray, np.ndarray]:
        distances, indices = _results(cell)
        for first in range(0, cell.queries, rows):
            block = slice(first, first + rows)
            products, found = torch.topk(queries[block] @ database.T, cell.k)
            distances[block], indices[block] = ((8 * cell.bytes - products) / 2).numpy(), found.numpy()
        return distances, indices

    return call


# The matrix of distances (queries, codes), int32 or uint32, in memory of its own.


def faiss_distance(cell: Cell, inputs: tuple[Any, ...], threads: int) -> Call:
    import faiss

    queries, database = inputs
    faiss.omp_set_num_threads(threads)

    def call() -> np.ndarray:
        out = np.empty((cell.queries, cell.codes), np.int32)
        arrays = (faiss.swig_ptr(queries), faiss.swig_ptr(database))
        faiss.hammings(*arrays, cell.queries, cell.codes, cell.bytes, faiss.swig_ptr(out))
        return out

    return call


def numkong_distance(cell: Cell, inputs: tuple[Any, ...], threads: int) -> Call:
    import numkong

    queries, database = inputs
    packed = numkong.hammings_pack(database, dtype="uint1")

    def call() -> np.ndarray:
        out = np.empty((cell.queries, cell.codes), np.uint32)
        tensor = numkong.from_dlpack(out)

        def block(first: int, last: int) -> None:
            numkong.hammings_packed(queries, packed, out=tensor, start_row=first, end_row=last)

        _over_queries(cell, threads, -(-cell.queries // threads), block)
        return out

    return call


def numpy_distance(cell: Cell, inputs: tuple[Any, ...], threads: int) -> Call:
    queries, database = (_words(codes) for codes in inputs)

    def call() -> np.ndarray:
        out = np.empty((cell.queries, cell.codes), np.int32)

        def block(first: int, last: int) -> None:
            for row in range(first, last):
                _distances_of_one(queries[:, row], database, out[row])

        _over_queries(cell, threads, -(-cell.queries // threads), block)
        return out

    return call


# Packing: x (rows, bits) -> codes (rows, bytes), and back.


def numpy_pack(cell: Cell, inputs: tuple[Any, ...], threads: int) -> Call:
    (x,) = inputs
    if isinstance(x, torch.Tensor):
        x = x.view(torch.int16).numpy()  # of bfloat16 numbers, NaN apart, those above zero are above zero as integers
    return lambda: np.packbits(x > 0, axis=-1)


def numpy_unpack(cell: Cell, inputs: tuple[Any, ...], threads: int) -> Call:
    (codes,) = inputs
    return lambda: np.unpackbits(codes, axis=-1, count=cell.bits).astype(np.float32) * 2 - 1


def _faiss_selection(cell: Cell, use_heap: bool) -> int:
    """Of a batch of 32 queries: k keys each, or by counting k ids for every distance."""
    return cell.codes * cell.bytes + 32 * cell.k * (12 if use_heap else 8 * (cell.bits + 1))


def _result_bytes(cell: Cell) -> int:
    """Of the matrix, the codes or the floats, in memory of its own."""
    if cell.op == "hamming_distance":
        return 4 * cell.size
    return cell.codes * (cell.bytes if cell.op == "pack" else 4 * cell.bits)


FAISS = {"package": "faiss-cpu", "module": "faiss"}
CONTESTANTS: dict[str, list[Contestant]] = {
    "hamming_topk": [
        Contestant("fasthash", fasthash_top_k, lambda cell: 24 * cell.queries * cell.k, ordered=True),
        Contestant("faiss heap", faiss_top_k(True), lambda cell: _faiss_selection(cell, True), **FAISS),
        Contestant("faiss counting", faiss_top_k(False), lambda cell: _faiss_selection(cell, False), **FAISS),
        Contestant("usearch", usearch_top_k, lambda cell: _matrix_bytes(cell, 16), "usearch", "usearch"),
        Contestant(
            "numkong",
            numkong_top_k,
            lambda cell: _matrix_bytes(cell, 4) + cell.codes * max(cell.bytes, 64),
            "numkong",
            "numkong",
            ordered=True,
        ),
        Contestant("numpy", numpy_top_k, lambda cell: cell.codes * (cell.bytes + 24), ordered=True),
        Contestant("torch", torch_top_k, lambda cell: _matrix_bytes(cell, 8) + 4 * cell.codes * 8 * cell.bytes),
    ],
    "hamming_distance": [
        Contestant("fasthash", lambda cell, x, threads: lambda: fasthash.hamming_distance(*x), _result_bytes),
        Contestant("faiss", faiss_distance, _result_bytes, **FAISS),
        Contestant("numkong", numkong_distance, _result_bytes, "numkong", "numkong"),
        Contestant("numpy", numpy_distance, _result_bytes),
    ],
    "pack": [
        Contestant("fasthash", lambda cell, x, threads: lambda: fasthash.pack(*x), _result_bytes),
        Contestant("numpy", numpy_pack, lambda cell: _result_bytes(cell) + cell.codes * cell.bits),
    ],
    "unpack": [
        Contestant("fasthash", lambda cell, x, threads: lambda: fasthash.unpack(*x, cell.bits), _result_bytes),
        Contestant("numpy", numpy_unpack, lambda cell: 3 * _result_bytes(cell)),
    ],
}
