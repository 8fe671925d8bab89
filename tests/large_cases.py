"""Inputs large enough for every way in which the CPU kernels cut and scan a database; `op_cases` has the small ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from op_cases import Op, clustered, codes

from fasthash.ops import reference

CODES = 70_003  # more than a sample of the database wants, and no multiple of anything
KINDS = ("random", "clustered", "equal", "falling", "misleading")
# What codes of each width are searched among; wide tables make large files, so one kind each.
SEARCHED = dict.fromkeys((1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 16, 32, 33), KINDS)
SEARCHED |= {64: ("misleading",), 100: ("random",), 128: ("clustered",), 384: ("falling",), 512: ("random",)}

Inputs = tuple[str, str, tuple[Any, ...], dict[str, Any]]  # op, kind, arguments


def table(rng: np.random.Generator, kind: str, rows: int, search: np.ndarray) -> np.ndarray:
    """A database for some queries."""
    bytes_ = search.shape[1]
    database = clustered(rng, rows, bytes_) if kind == "clustered" else codes(rng, rows, bytes_)
    if kind == "equal":
        database[:] = database[0]
    if kind == "falling":  # every code is nearer to the first query than those before: the most work for a threshold
        distance = reference.hamming_distance(search[:1], database)[0]
        database = database[np.argsort(-distance, kind="stable")]
    if kind == "misleading":  # a sample at equal steps meets only codes that are near
        database |= 0xF0
        database[::16] = search[0]
    return database


def _searches(rng: np.random.Generator) -> Iterator[Inputs]:
    for bytes_, kinds in SEARCHED.items():
        for kind in kinds:
            search = codes(rng, 9, bytes_)
            database = table(rng, kind, CODES, search)
            some = {"mask": rng.random(CODES) < 0.8, "exclude": rng.integers(-1, CODES, 9)}
            yield "hamming_topk", kind, (search, database, 10), {}
            yield "hamming_topk", kind, (search, database, 3_000), some
            near = np.sort(reference.hamming_distance(search[:1], database)[0])[CODES // 200]
            yield "hamming_range", kind, (search[:2], database, int(near)), {}
            yield "hamming_range_padded", kind, (search, database, int(near), 100), some
            yield "hamming_histogram", kind, (search, database), some
        yield "hamming_topk", kind, (search[:1], database, CODES + 3), {}
        yield "hamming_topk", kind, (search[:2], database[: CODES // 2], 100), {"mask": some["mask"][: CODES // 2]}


def _batches(rng: np.random.Generator) -> Iterator[Inputs]:
    """Many queries, in several batches."""
    for bytes_ in (1, 3, 8, 13, 20, 32, 33, 128):
        search = codes(rng, 300, bytes_)
        database = table(rng, "clustered", 700, search)
        yield "hamming_topk", "batches", (search, database, 10), {}
        yield "hamming_topk", "batches", (search, database, 700), {"exclude": rng.integers(-1, 700, 300)}
        yield "hamming_range", "batches", (search, database, 4 * bytes_ - 1), {"mask": rng.random(700) < 0.5}
        yield "hamming_histogram", "batches", (search, database), {}
    for bytes_ in (1, 2, 5, 8, 9, 33):  # so many queries that equal rows are grouped first
        search = codes(rng, 520, bytes_)
        database = codes(rng, 200, bytes_)[(200 * rng.random(4_500) ** 4).astype(int)]
        some = {"mask": rng.random(4_500) < 0.7, "exclude": rng.integers(-1, 4_500, 520)}
        yield "hamming_topk", "few distinct", (search, database, 1), {}
        yield "hamming_topk", "few distinct", (search, database, 300), some
    search = codes(rng, 40, 3)
    database = table(rng, "random", CODES, search)
    yield "hamming_topk", "batches", (search, database, 100), {}
    yield "hamming_topk", "batches", (search, table(rng, "misleading", CODES, search), 4_500), {}


def _matrices(rng: np.random.Generator) -> Iterator[Inputs]:
    for op in ("hamming_distance", "label_overlap"):
        yield op, "tiles", (codes(rng, 2, 3), codes(rng, CODES, 3)), {}
        yield op, "tiles", (codes(rng, 130, 32), codes(rng, 301, 32)), {}
        for bytes_ in (248, 249, 512, 8_191):  # one word more than bytes can sum, and the widest there is
            a, b = codes(rng, 3, bytes_), codes(rng, 19, bytes_)
            b[3] = ~a[0] if op == "hamming_distance" else 0xFF
            a[1] = 0xFF
            yield op, "wide", (a, b), {}


def _counts(rng: np.random.Generator) -> Iterator[Inputs]:
    """Counts by distance with labels, of parts of the database and of several batches."""
    for q, m, bytes_ in ((3, CODES, 2), (12, CODES, 8), (70, 900, 16)):
        search = codes(rng, q, bytes_)
        database = table(rng, "clustered", m, search)
        ids = rng.integers(-1, 5, q), rng.integers(-1, 5, m)
        sets = rng.random((q, 70)) < 0.05, rng.random((m, 70)) < 0.05
        some = {"mask": rng.random(m) < 0.8, "exclude": rng.integers(-1, m, q)}
        for op in ("relevance_histogram", "overlap_histogram", "average_precision_counts"):
            yield op, "ids", (search, database, *ids), {}
            yield op, "sets", (search, database, *sets), some
        yield "average_precision_counts", "ids", (search, database, *ids), {"k": m // 3}
    # More queries than average precision keeps counts for at a time.
    search, database = codes(rng, 600, 512), codes(rng, 50, 512)
    ids = rng.integers(-1, 5, 600), rng.integers(-1, 5, 50)
    yield "average_precision_counts", "groups", (search, database, *ids), {"exclude": rng.integers(-1, 50, 600)}


def _packing(rng: np.random.Generator) -> Iterator[Inputs]:
    for dtype in (np.float16, np.float32, np.float64, np.int8, np.int16, np.int32, np.int64, np.bool_):
        for rows, bits in ((9, 1), (9, 63), (9, 64), (9, 65), (5, 4_171), (700, 1_000)):
            x = rng.standard_normal((rows, bits)) * 3
            yield "pack", "random", (x > 0 if dtype == np.bool_ else x.astype(dtype),), {}
        yield "pack", "special", (np.resize(_special(np.dtype(dtype)), (3, 143)),), {}
    for bits in (7, 12, 100, 513):  # rows close together, more than a thread takes at a time
        yield "pack", "many rows", (rng.standard_normal((600_000 // bits, bits)).astype(np.float32),), {}
        yield "pack", "many rows", (rng.integers(-1, 2, (600_000 // bits, bits)).astype(np.int8),), {}
    special = [0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1e-40, -1e-40, 3e38, -3e38]
    yield "pack", "special", (torch.tensor(special * 20).to(torch.bfloat16),), {}
    yield "unpack", "random", (codes(rng, 5_000, 13), 8 * 13), {}
    yield "unpack", "random", (codes(rng, 5_000, 13) & 0xE0, 8 * 12 + 3), {}


def _special(dtype: np.dtype[Any]) -> np.ndarray:
    """Values around the edges of `x > 0`."""
    if dtype.kind == "b":
        return np.array([255, 0, 128, 1, 0, 2], dtype=np.uint8).view(bool)
    if dtype.kind == "i":
        return np.array([np.iinfo(dtype).min, -1, 0, 1, np.iinfo(dtype).max], dtype=dtype)
    tiny, most = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    nan = np.array([np.nan], dtype=dtype)
    values = np.array([0.0, -0.0, np.inf, -np.inf, tiny, -tiny, most, -most], dtype=dtype)
    return np.concatenate([values, nan, -nan])


def _scores(rng: np.random.Generator) -> Iterator[Inputs]:
    """More candidates of a query, and more queries, than one thread takes at a time; every kind of document."""
    for q, count, dim in ((3, 900, 1_021), (600, 40, 96)):
        queries, candidates = rng.standard_normal((q, dim), np.float32), rng.integers(-1, 500, (q, count))
        values = rng.standard_normal((500, dim), np.float32) * 3
        yield "rescore", "codes", (queries, reference.pack(values), candidates), {}
        scale = rng.standard_normal((500, 1), np.float32)
        yield "rescore", "scaled", (queries, values.astype(np.int8), candidates), {"scale": scale}
        for dtype in (np.float16, np.float32, np.float64):
            yield "rescore", "values", (queries, values.astype(dtype), candidates), {}
        tensors = torch.from_numpy(queries), torch.from_numpy(values).to(torch.bfloat16), torch.from_numpy(candidates)
        yield "rescore", "values", tensors, {}
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(64, 1_024)  # all there are
    halves = np.where(np.isfinite(halves), halves, np.float16(0))
    candidates = np.arange(64)[None]
    yield "rescore", "halves", (rng.standard_normal((1, 1_024), np.float32), halves, candidates), {}
    queries, database = rng.integers(-1, 2, (9, 96)).astype(np.float32), codes(rng, CODES, 12)
    some = {"mask": rng.random(CODES) < 0.8, "exclude": rng.integers(-1, CODES, 9)}
    yield "topk_rescored", "random", (queries, database, 10), {}
    yield "topk_rescored", "random", (queries, database, 1_000), some


def large_cases(ops: Iterable[Op]) -> Iterator[tuple[Op, str, tuple[Any, ...], dict[str, Any]]]:
    """Op, kind, arguments, for those of the ops that have large cases."""
    rng = np.random.default_rng(1)
    named = {op.name: op for op in ops}
    for make in (_searches, _batches, _matrices, _counts, _packing, _scores):
        for name, kind, args, kwargs in make(rng):
            if name in named:
                yield named[name], kind, args, kwargs
