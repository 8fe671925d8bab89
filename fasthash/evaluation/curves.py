"""Precision against recall, one point for each Hamming radius."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fasthash.evaluation.inputs import Array, Exclude, check_choice, prepare
from fasthash.evaluation.ties import divide


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """Precision and recall within each radius 0 .. bits.

    Attributes:
        radius: (bits + 1,) int64.
        precision: (bits + 1,) float64; NaN where ``empty="skip"`` leaves no query.
        recall: (bits + 1,) float64, likewise.
        empty_share: (bits + 1,) float64, share of the queries whose ball is empty.
        convention: the choices behind the numbers, in words.
    """

    radius: NDArray[np.int64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    empty_share: NDArray[np.float64]
    convention: str


def precision_recall_curve(
    query_codes: Array,
    database_codes: Array,
    query_labels: Array,
    database_labels: Array,
    *,
    average: Literal["macro", "micro"] = "macro",
    bits: int | None = None,
    empty: Literal["zero", "skip"] = "zero",
    exclude: Exclude = "auto",
) -> PrecisionRecallCurve:
    """Precision and recall within radius p for p = 0 .. bits. No tie order is involved.

    Args:
        query_codes: (q, bytes) uint8 packed, or (q, bits) unpacked; see `mean_average_precision`, also for the next
            three, ``bits`` and ``exclude``.
        database_codes: (n, bytes) or (n, bits).
        query_labels: (q,) class ids or (q, classes) multi-hot.
        database_labels: (n,) or (n, classes).
        average: "macro" = mean over queries of their precision and recall; "micro" = counts pooled over all queries.
        bits: code width.
        empty: an empty ball has precision 0 and a query without relevant items recall 0 ("zero"), or they leave the
            mean ("skip"). Pooled counts of nothing follow the same rule.
        exclude: self-exclusion.

    Raises:
        TypeError: an argument of the wrong kind or dtype.
        ValueError: an unknown option, wrong shapes, non-zero spare bits, NaN.

    Example:
        >>> codes = np.array([[False, False], [False, True], [True, True]])
        >>> curve = precision_recall_curve(codes[:1], codes, np.array([0]), np.array([0, 1, 0]))
        >>> curve.precision.round(3).tolist(), curve.recall.tolist()
        ([1.0, 0.5, 0.667], [0.5, 0.5, 1.0])
    """
    name = "precision_recall_curve"
    check_choice(name, "average", average, ("macro", "micro"))
    check_choice(name, "empty", empty, ("zero", "skip"))
    inputs = prepare(name, query_codes, database_codes, query_labels, database_labels, bits, exclude)
    queries, points = len(inputs.queries), inputs.bits + 1

    # Numerators and denominators of the two means, added block by block.
    precision, recall = np.zeros((2, points)), np.zeros((2, points))
    filled = np.zeros(points)
    for _, histogram in inputs.histograms():
        items, hits = np.moveaxis(histogram.cumsum(axis=1), -1, 0)
        relevant = np.broadcast_to(hits[:, -1:], hits.shape)
        filled += (items > 0).sum(axis=0)
        if average == "micro":
            precision += hits.sum(axis=0), items.sum(axis=0)
            recall += hits.sum(axis=0), relevant.sum(axis=0)
        else:
            precision += divide(hits, items).sum(axis=0), (items > 0).sum(axis=0)
            recall += divide(hits, relevant).sum(axis=0), (relevant > 0).sum(axis=0)
    if average == "macro" and empty == "zero":
        precision[1] = recall[1] = queries
    return PrecisionRecallCurve(
        radius=np.arange(points),
        precision=_quotient(precision, empty),
        recall=_quotient(recall, empty),
        empty_share=1 - filled / queries if queries else np.full(points, np.nan),
        convention=f"PR by radius[average={average}, empty={empty}, relevance=share]",
    )


def _quotient(sums: NDArray[Any], empty: str) -> NDArray[np.float64]:
    quotient = divide(sums[0], sums[1])
    return np.where(sums[1] > 0, quotient, np.nan) if empty == "skip" else quotient
