"""One list of ops and of inputs to try them on; every test over "all ops" reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import fasthash
from fasthash.ops import reference

BYTES = (1, 2, 3, 8, 16, 20, 32, 33, 128)
CODES = (0, 1, 7, 97)
# What the compiler had in hand for the source of each CPU level, so that none can be a copy of another.
COMPILED_FOR = {"scalar": "base", "avx2": "AVX2", "avx512": "AVX-512", "neon": "NEON"}


def codes(rng: np.random.Generator, rows: int, bytes_: int) -> np.ndarray:
    return rng.integers(0, 256, (rows, bytes_), dtype=np.uint8)


def clustered(rng: np.random.Generator, rows: int, bytes_: int) -> np.ndarray:
    """Few distinct codes, some a bit apart: ties everywhere."""
    centres = codes(rng, 3, bytes_)
    picked = centres[rng.integers(0, 3, rows)]
    picked[rng.random(rows) < 0.3, 0] ^= 1
    return picked


@dataclass(frozen=True)
class Op:
    """An op of the public list: how to make inputs of a size, and what a test may do with them."""

    name: str
    inputs: Callable[[np.random.Generator, int, int, int], Iterator[tuple[tuple[Any, ...], dict[str, Any]]]]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(fasthash, self.name)(*args, **kwargs)

    def expected(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(reference, self.name)(*args, **kwargs)


def _filters(rng: np.random.Generator, q: int, m: int) -> list[dict[str, Any]]:
    exclude = rng.integers(-1, max(m, 1), q) if m else np.full(q, -1)
    return [{}, {"mask": rng.random(m) < 0.6}, {"exclude": exclude}, {"mask": rng.random(m) < 0.6, "exclude": exclude}]


def _tables(rng: np.random.Generator, q: int, m: int, b: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    yield codes(rng, q, b), codes(rng, m, b)
    both = clustered(rng, q + m, b)
    yield both[:q], both[q:]


def _pack(rng: np.random.Generator, q: int, m: int, b: int) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    yield (rng.standard_normal((m, 8 * b)).astype(np.float32),), {}
    yield (rng.integers(-1, 2, (q, m, 8 * b - 3)).astype(np.int8),), {}


def _unpack(rng: np.random.Generator, q: int, m: int, b: int) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    yield (codes(rng, m, b), 8 * b), {}
    yield (_spare(codes(rng, m, b)), 8 * b - 3), {}


def _spare(x: np.ndarray) -> np.ndarray:
    x[:, -1] &= 0xF8
    return x


def _matrix(rng: np.random.Generator, q: int, m: int, b: int) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    for tables in _tables(rng, q, m, b):
        yield tables, {}


def _with(*arguments: Any) -> Any:
    def inputs(rng: np.random.Generator, q: int, m: int, b: int) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
        for tables in _tables(rng, q, m, b):
            for filters in _filters(rng, q, m):
                for argument in arguments or ((),):
                    yield (*tables, *argument), filters

    return inputs


def _labelled(*options: dict[str, Any]) -> Any:
    def inputs(rng: np.random.Generator, q: int, m: int, b: int) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
        for tables in _tables(rng, q, m, b):
            for labels in (
                (rng.integers(-1, 3, q), rng.integers(-1, 3, m)),
                (rng.random((q, 70)) < 0.05, rng.random((m, 70)) < 0.05),
            ):
                for filters in _filters(rng, q, m):
                    for option in options or ({},):
                        yield (*tables, *labels), {**filters, **option}

    return inputs


def _documents(rng: np.random.Generator, m: int, dim: int) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """Documents of every dtype that NumPy has, with every form of scale."""
    yield fasthash.pack(rng.standard_normal((m, dim))), {}
    values = rng.integers(-128, 128, (m, dim)).astype(np.int8)
    for scale in (None, 0.3, rng.random(dim, np.float32), rng.standard_normal((m, 1)).astype(np.float32)):
        yield values, {} if scale is None else {"scale": scale}
    for dtype in (np.float16, np.float64, np.float32):
        yield rng.standard_normal((m, dim)).astype(dtype), {}


def _rescore(rng: np.random.Generator, q: int, m: int, b: int) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    for dim in (8 * b, 8 * b - 3):
        queries = rng.standard_normal((q, dim)).astype(np.float32)
        candidates = rng.integers(-1, m, (q, 11))
        for documents, scale in _documents(rng, m, dim):
            yield (queries, documents, candidates), scale


def _topk_rescored(
    rng: np.random.Generator, q: int, m: int, b: int
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Queries of whole numbers: many documents score the same."""
    for dim in (8 * b, 8 * b - 3):
        queries = rng.integers(-1, 2, (q, dim)).astype(np.float32)
        codes = fasthash.pack(clustered(rng, m, 8 * b)[:, :dim].astype(np.int8))
        for filters in _filters(rng, q, m):
            yield (queries, codes, 3), filters
            yield (queries, codes, 60), {**filters, "oversample": 1}
        for documents, scale in _documents(rng, m, dim):
            yield (queries, codes, 7), {"documents": documents, **scale}


OPS = [
    Op("pack", _pack),
    Op("unpack", _unpack),
    Op("hamming_distance", _matrix),
    Op("label_overlap", _matrix),
    Op("hamming_topk", _with((1,), (10,), (120,))),
    Op("hamming_range", _with((0,), (9,), (10_000,))),
    Op("hamming_range_padded", _with((0, 3), (9, 1), (9, 50), (10_000, 120))),
    Op("hamming_histogram", _with()),
    Op("relevance_histogram", _labelled()),
    Op("overlap_histogram", _labelled()),
    Op("average_precision_counts", _labelled({}, {"k": 1}, {"k": 13})),
    Op("rescore", _rescore),
    Op("topk_rescored", _topk_rescored),
]


def as_tuple(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def assert_equal(got: Any, expected: Any, where: object = "") -> None:
    """Same dtypes, shapes and values, bit for bit; float sums may differ by the order of addition in the reference."""
    got, expected = as_tuple(got), as_tuple(expected)
    assert len(got) == len(expected)
    for x, y in zip(got, expected, strict=True):
        x, y = np.asarray(x), np.asarray(y)
        assert x.dtype == y.dtype, where
        assert x.shape == y.shape, where
        if x.dtype == np.float64:
            np.testing.assert_allclose(x, y, rtol=1e-12, atol=0, err_msg=str(where))
        else:
            np.testing.assert_array_equal(x, y, err_msg=str(where))
