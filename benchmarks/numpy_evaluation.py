"""Evaluation as it is usually written with NumPy: the loop of public hashing code, and the best that whole blocks give.

Both rank by a stable sort, that is in index order, unless told otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


def signs(codes: np.ndarray) -> np.ndarray:
    """Packed uint8 (n, bytes) -> float32 (n, bits) of -1 and +1."""
    return np.unpackbits(codes, axis=1).astype(np.float32) * 2 - 1


def average_precision_loop(
    queries: np.ndarray, database: np.ndarray, query_labels: np.ndarray, labels: np.ndarray, kind: str | None
) -> np.ndarray:
    """AP of each query over the whole ranking: dot product of -1/+1 codes, argsort, cumulative hits.

    Args:
        queries: float32 (q, bits) of -1 and +1.
        database: (n, bits).
        query_labels: one-hot float32 (q, classes).
        labels: (n, classes).
        kind: of sort; None is NumPy's default, which breaks ties as it likes.
    """
    result = np.zeros(len(queries))
    for i in range(len(queries)):
        relevant = (query_labels[i] @ labels.T > 0).astype(np.float32)
        hits = int(relevant.sum())
        if hits == 0:
            continue
        distance = 0.5 * (queries.shape[1] - queries[i] @ database.T)
        order = np.argsort(distance, kind=kind)
        ranks = np.flatnonzero(relevant[order]) + 1.0
        result[i] = np.mean(np.arange(1, hits + 1) / ranks)
    return result


def expected_average_precision(distance: np.ndarray, relevant: np.ndarray) -> float:
    """Expected AP of one query, place by place: the definition that the closed form is checked against."""
    order = np.argsort(distance, kind="stable")
    _, start, size = np.unique(distance[order], return_index=True, return_counts=True)
    hits = np.add.reduceat(relevant[order].astype(np.int64), start)
    before = np.cumsum(hits) - hits
    bucket = np.repeat(np.arange(len(size)), size)
    place = np.arange(len(order)) - start[bucket]
    n, r = size[bucket], hits[bucket]
    precision = (before[bucket] + 1 + place * (r - 1) / np.maximum(n - 1, 1)) / np.arange(1, len(order) + 1)
    return float((r / n * precision).sum() / max(1, hits.sum()))


def report(
    queries: np.ndarray, database: np.ndarray, query_labels: np.ndarray, labels: np.ndarray, ks: list[int], radius: int
) -> Arrays:
    """Every metric of `fasthash.evaluation.evaluate` for a block of queries, from one sort: name -> (q,) values.

    Args:
        queries: float32 (q, bits) of -1 and +1.
        database: (n, bits).
        query_labels: multi-hot float32 (q, classes).
        labels: (n, classes).
        ks: windows.
        radius: of the ball.
    """
    n, bits = database.shape
    distance = ((bits - queries @ database.T) / 2).astype(np.uint16)  # 16 bits, so that NumPy sorts by radix
    order = np.argsort(distance, axis=1, kind="stable")
    grade = np.take_along_axis(query_labels @ labels.T, order, axis=1).astype(np.float64)
    ranked = np.take_along_axis(distance, order, axis=1)
    relevant = grade > 0
    rank = np.arange(1, n + 1)
    hits, grades = np.cumsum(relevant, axis=1), np.cumsum(grade, axis=1)
    total = hits[:, -1]
    precision_sum = np.cumsum(np.where(relevant, hits / rank, 0), axis=1)
    weighted_sum = np.cumsum(np.where(relevant, grades / rank, 0), axis=1)
    discount = 1 / np.log2(rank + 1)
    dcg = np.cumsum((np.exp2(grade) - 1) * discount, axis=1)
    ideal = np.cumsum((np.exp2(-np.sort(-grade, axis=1)) - 1) * discount, axis=1)
    result: Arrays = {"mAP@all": _ratio(precision_sum[:, -1], total)}
    result["NDCG@all"] = _ratio(dcg[:, -1], ideal[:, -1])
    result["WAP@all"] = _ratio(weighted_sum[:, -1], total)
    for k in ks:
        result[f"mAP@{k}"] = _ratio(precision_sum[:, k - 1], hits[:, k - 1])
        result[f"mAP@{k}[min]"] = _ratio(precision_sum[:, k - 1], np.minimum(total, k))
        result[f"P@{k}"] = hits[:, k - 1] / k
        result[f"R@{k}"] = _ratio(hits[:, k - 1], total)
        result[f"NDCG@{k}"] = _ratio(dcg[:, k - 1], ideal[:, k - 1])
        result[f"ACG@{k}"] = grades[:, k - 1] / k
        result[f"WAP@{k}"] = _ratio(weighted_sum[:, k - 1], hits[:, k - 1])
    # Ball and curves: how many items, and relevant ones, lie within each radius; precision and recall at many ranks.
    row = np.arange(len(queries))[:, None] * (bits + 1)
    items = np.bincount((row + ranked).ravel(), minlength=row.size * (bits + 1)).reshape(-1, bits + 1)
    good = np.bincount((row + ranked)[relevant], minlength=row.size * (bits + 1)).reshape(-1, bits + 1)
    items, good = np.cumsum(items, axis=1), np.cumsum(good, axis=1)
    result[f"precision within radius {radius}"] = _ratio(good[:, radius], items[:, radius])
    result[f"recall within radius {radius}"] = _ratio(good[:, radius], total)
    inside = np.take_along_axis(precision_sum, np.maximum(items[:, radius : radius + 1] - 1, 0), axis=1)[:, 0]
    result[f"mAP within radius {radius}"] = _ratio(np.where(items[:, radius] > 0, inside, 0), good[:, radius])
    result["curve by radius"] = _ratio(good, items)
    points = np.unique(np.geomspace(1, n, int(10 * np.log10(n)) + 2).round().astype(np.int64)) - 1
    result["curve by rank"] = hits[:, points] / (points + 1)
    return result


def _ratio(a: Any, b: Any) -> np.ndarray:
    return np.divide(a, b, out=np.zeros(np.shape(a)), where=np.asarray(b) > 0)
