"""The plain NumPy twin of each op: the definition that every kernel is tested against.

Written to be read, not to be fast: full matrices, stable sorts, no blocks. Takes and returns NumPy arrays and imports
nothing of the package. Unlike the ops it checks nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

NO_DISTANCE = np.iinfo(np.int32).max
NO_INDEX = -1


def pack(x: Array) -> Array:
    """(..., bits) -> uint8 (..., ceil(bits / 8)): bit = x > 0, most significant bit first."""
    return np.packbits(x > 0, axis=-1)


def unpack(codes: Array, bits: int) -> Array:
    """uint8 (..., bytes) -> float32 (..., bits) of -1 and +1."""
    return np.unpackbits(codes, axis=-1, count=bits).astype(np.float32) * 2 - 1


def hamming_distance(a: Array, b: Array) -> Array:
    """uint8 (n, bytes), (m, bytes) -> int32 (n, m), in bits."""
    return np.bitwise_count(a[:, None, :] ^ b[None, :, :]).sum(axis=-1, dtype=np.int32)


def label_overlap(a: Array, b: Array) -> Array:
    """Packed label sets uint8 (n, bytes), (m, bytes) -> int32 (n, m): shared labels."""
    return np.bitwise_count(a[:, None, :] & b[None, :, :]).sum(axis=-1, dtype=np.int32)


def allowed(queries: int, database: int, mask: Array | None, exclude: Array | None) -> Array:
    """bool (q, m): the database rows that each query may meet."""
    result = np.ones((queries, database), dtype=bool)
    if mask is not None:
        result &= mask[None, :]
    if exclude is not None:
        rows = np.flatnonzero(exclude >= 0)
        result[rows, exclude[rows]] = False
    return result


def hamming_topk(
    queries: Array, database: Array, k: int, *, mask: Array | None = None, exclude: Array | None = None
) -> tuple[Array, Array]:
    """(distances (q, k) int32, indices (q, k) int64) by distance, then index; empty: NO_DISTANCE, NO_INDEX."""
    distance = hamming_distance(queries, database)
    distance[~allowed(len(queries), len(database), mask, exclude)] = NO_DISTANCE
    order = np.argsort(distance, axis=1, kind="stable")[:, :k]
    distances = np.full((len(queries), k), NO_DISTANCE, dtype=np.int32)
    indices = np.full((len(queries), k), NO_INDEX, dtype=np.int64)
    distances[:, : order.shape[1]] = np.take_along_axis(distance, order, axis=1)
    indices[:, : order.shape[1]] = order
    indices[distances == NO_DISTANCE] = NO_INDEX
    return distances, indices


def multi_index_topk(queries: Array, database: Array, bits: int, parts: int, k: int) -> tuple[Array, Array]:
    """hamming_topk by multi-index hashing (fasthash/ops/multi_index.py): which rows are visited, and when it stops."""
    distances = np.full((len(queries), k), NO_DISTANCE, dtype=np.int32)
    indices = np.full((len(queries), k), NO_INDEX, dtype=np.int64)
    cuts = np.array_split(np.arange(bits), parts)
    rows = np.unpackbits(database, axis=1, count=bits)
    for i, query in enumerate(np.unpackbits(queries, axis=1, count=bits)):
        flips = np.stack([(rows[:, cut] != query[cut]).sum(axis=1) for cut in cuts])
        first_step = (flips * parts + np.arange(parts)[:, None]).min(axis=0)
        distance = flips.sum(axis=0)
        for radius in range(bits + 1):
            visited = np.flatnonzero(first_step <= radius)
            if np.count_nonzero(distance[visited] <= radius) >= k:
                break
        order = visited[np.argsort(distance[visited], kind="stable")][:k]
        distances[i, : len(order)], indices[i, : len(order)] = distance[order], order
    return distances, indices


def hamming_range(
    queries: Array, database: Array, radius: int, *, mask: Array | None = None, exclude: Array | None = None
) -> tuple[Array, Array, Array]:
    """(offsets (q+1,) int64, distances int32, indices int64): all codes with distance <= radius, query after query."""
    distance = hamming_distance(queries, database)
    inside = (distance <= radius) & allowed(len(queries), len(database), mask, exclude)
    offsets = np.concatenate([[0], np.cumsum(inside.sum(axis=1))]).astype(np.int64)
    distances: list[Array] = [np.empty(0, np.int32)]
    indices: list[Array] = [np.empty(0, np.int64)]
    for row, keep in zip(distance, inside, strict=True):
        index = np.flatnonzero(keep)
        index = index[np.argsort(row[index], kind="stable")]
        distances.append(row[index])
        indices.append(index)
    return offsets, np.concatenate(distances), np.concatenate(indices)


def hamming_range_padded(
    queries: Array,
    database: Array,
    radius: int,
    capacity: int,
    *,
    mask: Array | None = None,
    exclude: Array | None = None,
) -> tuple[Array, Array, Array]:
    """(counts (q,) int64, distances (q, capacity) int32, indices (q, capacity) int64): the first of hamming_range."""
    offsets, *found = hamming_range(queries, database, radius, mask=mask, exclude=exclude)
    counts = np.diff(offsets)
    distances = np.full((len(queries), capacity), NO_DISTANCE, dtype=np.int32)
    indices = np.full((len(queries), capacity), NO_INDEX, dtype=np.int64)
    for i, count in enumerate(np.minimum(counts, capacity)):
        own = slice(offsets[i], offsets[i] + count)
        distances[i, :count], indices[i, :count] = found[0][own], found[1][own]
    return counts, distances, indices


def hamming_histogram(
    queries: Array, database: Array, *, mask: Array | None = None, exclude: Array | None = None
) -> Array:
    """int64 (q, D + 1), D = 8 * bytes: the codes at each distance."""
    distance = hamming_distance(queries, database)
    keep = allowed(len(queries), len(database), mask, exclude)
    result = np.zeros((len(queries), 8 * queries.shape[1] + 1), dtype=np.int64)
    for out, row, kept in zip(result, distance, keep, strict=True):
        np.add.at(out, row[kept], 1)
    return result


def shared_labels(query_labels: Array, database_labels: Array) -> Array:
    """int64 (q, m): 1 for equal class ids (n,) that are not -1, else 0; or the labels that multi-hot rows share."""
    if query_labels.ndim == 1:
        equal = (query_labels[:, None] == database_labels[None, :]) & (query_labels[:, None] >= 0)
        return equal.astype(np.int64)
    shared: Array = (query_labels > 0).astype(np.int64) @ (database_labels > 0).astype(np.int64).T
    return shared


def relevant(query_labels: Array, database_labels: Array) -> Array:
    """bool (q, m): a shared label."""
    return shared_labels(query_labels, database_labels) > 0


def relevance_histogram(
    queries: Array,
    database: Array,
    query_labels: Array,
    database_labels: Array,
    *,
    mask: Array | None = None,
    exclude: Array | None = None,
) -> Array:
    """int64 (q, D + 1, 2): [all, relevant] codes at each distance."""
    distance = hamming_distance(queries, database)
    keep = allowed(len(queries), len(database), mask, exclude)
    match = relevant(query_labels, database_labels)
    result = np.zeros((len(queries), 8 * queries.shape[1] + 1, 2), dtype=np.int64)
    for i in range(len(queries)):
        np.add.at(result[i, :, 0], distance[i, keep[i]], 1)
        np.add.at(result[i, :, 1], distance[i, keep[i] & match[i]], 1)
    return result


def overlap_histogram(
    queries: Array,
    database: Array,
    query_labels: Array,
    database_labels: Array,
    *,
    mask: Array | None = None,
    exclude: Array | None = None,
) -> Array:
    """int64 (q, D + 1, C + 1): codes by distance and number of shared labels; C = classes, or 1 for class ids."""
    distance = hamming_distance(queries, database)
    keep = allowed(len(queries), len(database), mask, exclude)
    shared = shared_labels(query_labels, database_labels)
    classes = query_labels.shape[1] if query_labels.ndim == 2 else 1
    result = np.zeros((len(queries), 8 * queries.shape[1] + 1, classes + 1), dtype=np.int64)
    for i in range(len(queries)):
        np.add.at(result[i], (distance[i, keep[i]], shared[i, keep[i]]), 1)
    return result


def average_precision_counts(
    queries: Array,
    database: Array,
    query_labels: Array,
    database_labels: Array,
    *,
    k: int | None = None,
    mask: Array | None = None,
    exclude: Array | None = None,
) -> tuple[Array, Array, Array]:
    """(precision_sum (q,) float64, hits (q,) int64, relevant (q,) int64) over the first k ranks by (distance, index).

    precision_sum adds (relevant so far) / rank at each relevant rank of the window.
    """
    distance = hamming_distance(queries, database).astype(np.int64)
    keep = allowed(len(queries), len(database), mask, exclude)
    match = relevant(query_labels, database_labels)
    precision_sum = np.zeros(len(queries))
    hits = np.zeros(len(queries), dtype=np.int64)
    for i in range(len(queries)):
        index = np.flatnonzero(keep[i])
        order = index[np.argsort(distance[i, index], kind="stable")][:k]
        ranks = np.flatnonzero(match[i, order]) + 1
        hits[i] = len(ranks)
        precision_sum[i] = (np.arange(1, len(ranks) + 1) / ranks).sum()
    return precision_sum, hits, (match & keep).sum(axis=1).astype(np.int64)


def rescore(queries: Array, documents: Array, candidates: Array, *, scale: Array | float | None = None) -> Array:
    """float32 (q, c): inner products of float queries (q, dim) with rows of packed codes or values; candidate -1: -inf.

    Sixteen partial sums, number j of elements j, j + 16, ..., then halved by adding the upper ones to the lower ones.
    """
    queries = queries.astype(np.float32)
    dim, factors = queries.shape[1], np.float32(1)
    if scale is not None:
        scale = np.asarray(scale, dtype=np.float32)
        if scale.shape == (len(documents), 1):
            factors = scale[np.maximum(candidates, 0), 0] if len(documents) else factors
        else:
            queries = queries * scale
    scores = np.full(candidates.shape, -np.inf, dtype=np.float32)
    if len(documents) == 0:
        return scores
    rows = documents[np.maximum(candidates, 0)]
    rows = unpack(rows, dim) if rows.dtype == np.uint8 else rows.astype(np.float32)
    products = np.pad(queries[:, None, :] * rows, [(0, 0), (0, 0), (0, -dim % 16)])
    sums = np.zeros((*candidates.shape, 16), dtype=np.float32)
    for first in range(0, dim, 16):
        sums = sums + products[..., first : first + 16]
    for half in (8, 4, 2, 1):
        sums = sums[..., :half] + sums[..., half:]
    return np.where(candidates >= 0, sums[..., 0] * factors, scores)


def topk_rescored(
    queries: Array,
    codes: Array,
    k: int,
    *,
    oversample: int = 4,
    documents: Array | None = None,
    mask: Array | None = None,
    exclude: Array | None = None,
    scale: Array | float | None = None,
) -> tuple[Array, Array]:
    """(scores (q, k) float32, indices (q, k) int64) by higher score, NaN = -inf, then index; empty: -inf, NO_INDEX."""
    count = max(k, min(k * oversample, len(codes)))
    _, candidates = hamming_topk(pack(queries), codes, count, mask=mask, exclude=exclude)
    scores = rescore(queries, codes if documents is None else documents, candidates, scale=scale)
    keys = np.where(np.isnan(scores), -np.inf, scores)
    order = np.lexsort((candidates, -keys, candidates < 0), axis=-1)[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(candidates, order, axis=1)
