"""Precision against recall: one point for each Hamming radius, or for each number of ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fasthash.evaluation.checks import Array, check_choice, check_integer
from fasthash.evaluation.counts import Counts
from fasthash.evaluation.inputs import Exclude, Relevance, RetrievalInputs, prepare
from fasthash.evaluation.measure import EMPTY, TIES, Empty, Ties, measure, named, rankings
from fasthash.evaluation.precision import check_ranks
from fasthash.evaluation.ties import divide

Average = Literal["macro", "micro"]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PrecisionRecallCurve:
    """Precision and recall at several cuts of the ranking.

    Attributes:
        by: "radius", all items within a Hamming distance, or "rank", the first items.
        points: (m,) int64, the radii 0 .. bits or the numbers of ranks.
        precision: (m,) float64; NaN where ``empty="skip"`` leaves no query.
        recall: (m,) float64, likewise.
        empty_share: (m,) float64, share of the queries whose ball is empty; 0 by rank.
        convention: the choices behind the numbers, in words.
    """

    by: Literal["radius", "rank"]
    points: NDArray[np.int64]
    precision: Values
    recall: Values
    empty_share: Values
    convention: str

    @property
    def area(self) -> float:
        """Area under the curve by the trapezoid rule, from its first to its last point; points of NaN are left out.

        Older hashing code reports this number as mAP. It is another number.
        """
        keep = ~(np.isnan(self.precision) | np.isnan(self.recall))
        precision, width = self.precision[keep], np.diff(self.recall[keep])
        return float(((precision[1:] + precision[:-1]) / 2 * width).sum())


def precision_recall_curve(
    query_codes: Array,
    database_codes: Array,
    query_labels: Array,
    database_labels: Array,
    *,
    by: Literal["radius", "rank"] = "radius",
    points: Sequence[int] | None = None,
    average: Average = "macro",
    bits: int | None = None,
    ties: Ties = "expected",
    empty: Empty = "zero",
    exclude: Exclude = "auto",
    relevance: Relevance = "share",
) -> PrecisionRecallCurve:
    """Precision and recall within each radius 0 .. bits (no tie order is involved), or over the first 1, 2, .. ranks.

    Args:
        query_codes: (q, bytes) uint8 packed, or (q, bits) unpacked; see `mean_average_precision`, also for the next
            three, ``bits``, ``exclude`` and ``relevance``.
        database_codes: (n, bytes) or (n, bits).
        query_labels: (q,) class ids or (q, classes) multi-hot.
        database_labels: (n,) or (n, classes).
        by: "radius" or "rank".
        points: by rank, numbers of ranks, ascending, at most the items that each query may meet; default about ten
            a decade from 1 to all.
        average: "macro" = mean over queries of their precision and recall; "micro" = counts pooled over all queries.
        bits: code width.
        ties: by rank, order among equal distances; see `mean_average_precision`.
        empty: an empty ball has precision 0 and a query without relevant items recall 0 ("zero"), or they leave the
            mean ("skip"). Pooled counts of nothing follow the same rule.
        exclude: self-exclusion.
        relevance: "share" a label or "identical" label sets.

    Raises:
        TypeError: an argument of the wrong kind or dtype.
        ValueError: an unknown option, points out of range, wrong shapes, non-zero spare bits, NaN.

    Example:
        >>> codes = np.array([[False, False], [False, True], [True, True]])
        >>> curve = precision_recall_curve(codes[:1], codes, np.array([0]), np.array([0, 1, 0]))
        >>> curve.precision.round(3).tolist(), curve.recall.tolist(), round(curve.area, 3)
        ([1.0, 0.5, 0.667], [0.5, 0.5, 1.0], 0.292)
    """
    name = "precision_recall_curve"
    check_choice(name, "by", by, ("radius", "rank"))
    check_choice(name, "average", average, ("macro", "micro"))
    check_choice(name, "ties", ties, TIES)
    check_choice(name, "empty", empty, EMPTY)
    inputs = prepare(name, query_codes, database_codes, query_labels, database_labels, bits, exclude, relevance)
    collector: CurveCollector
    if by == "radius":
        if points is not None:
            raise ValueError(f"{name}: points: expected None with by=radius, got {len(points)} points")
        collector = RadiusCurve(inputs)
    else:
        collector = RankCurve(inputs, _checked_points(name, inputs, points), ties)
    measure(inputs, [], ties if by == "rank" else "expected", observers=[collector])
    return collector.curve(average, empty)


def _checked_points(name: str, inputs: RetrievalInputs, points: Sequence[int] | None) -> NDArray[np.int64]:
    if points is None:
        return rank_points(inputs.fewest_items)
    for point in points:
        check_ranks(name, inputs, check_integer(name, "points", point, 1), "points")
    if any(a >= b for a, b in pairwise(points)):
        raise ValueError(f"{name}: points: expected ascending numbers of ranks, got {list(points)}")
    return np.array(points, dtype=np.int64)


def rank_points(items: int) -> NDArray[np.int64]:
    """About ten numbers a decade from 1 to ``items``; none for no items."""
    if items < 1:
        return np.zeros(0, dtype=np.int64)
    points = np.geomspace(1, items, int(10 * np.log10(items)) + 2).round().astype(np.int64)
    return np.unique(points)


class CurveCollector:
    """Adds up, block by block, what the macro and the micro curve are made of."""

    by: Literal["radius", "rank"]

    def __init__(self, inputs: RetrievalInputs, points: NDArray[np.int64]) -> None:
        self.relevance = inputs.relevance
        self.points = points
        self.queries = 0
        # (2, points) sums of numerators and denominators, of pooled counts and of the quotients of single queries.
        self.pooled = {"precision": np.zeros((2, len(points))), "recall": np.zeros((2, len(points)))}
        self.single = {"precision": np.zeros((2, len(points))), "recall": np.zeros((2, len(points)))}

    def add(self, hits: NDArray[Any], items: NDArray[Any], relevant: NDArray[Any], weight: NDArray[np.int64]) -> None:
        """Counts of a block of queries at each point, (q, points), and how many queries each row stands for, (q,)."""
        self.queries += int(weight.sum())
        for name, below in (("precision", items), ("recall", relevant)):
            self.pooled[name] += weight @ hits, weight @ below
            self.single[name] += weight @ divide(hits, below), weight @ (below > 0)

    def curve(self, average: Average, empty: Empty) -> PrecisionRecallCurve:
        """The curve of all blocks so far."""
        sums = self.pooled if average == "micro" else self.single
        precision, recall = (self._quotient(sums[name], average, empty) for name in ("precision", "recall"))
        filled = self.single["precision"][1]
        return PrecisionRecallCurve(
            by=self.by,
            points=self.points,
            precision=precision,
            recall=recall,
            empty_share=1 - filled / self.queries if self.queries else np.full(len(self.points), np.nan),
            convention=self.convention(average, empty),
        )

    def convention(self, average: Average, empty: Empty) -> str:
        """The choices behind the numbers, in words."""
        return named(f"PR by {self.by}", average=average, empty=empty, relevance=self.relevance)

    def _quotient(self, sums: Values, average: Average, empty: Empty) -> Values:
        numerator, denominator = sums
        if average == "macro" and empty == "zero":
            denominator = np.full(len(numerator), float(self.queries))
        quotient = divide(numerator, denominator)
        return np.where(denominator > 0, quotient, np.nan) if empty == "skip" else quotient


class RadiusCurve(CurveCollector):
    """One point for each radius 0 .. bits."""

    by = "radius"

    def __init__(self, inputs: RetrievalInputs) -> None:
        super().__init__(inputs, np.arange(inputs.bits + 1))

    def __call__(self, inputs: RetrievalInputs, counts: Counts) -> None:
        """Add a block."""
        hits, items = np.cumsum(counts.relevant, axis=1), np.cumsum(counts.size, axis=1)
        self.add(hits, items, np.broadcast_to(hits[:, -1:], hits.shape), counts.weight)


class RankCurve(CurveCollector):
    """One point for each of the given numbers of ranks."""

    by = "rank"

    def __init__(self, inputs: RetrievalInputs, points: NDArray[np.int64], ties: Ties = "expected") -> None:
        super().__init__(inputs, points)
        self.ties = ties

    def __call__(self, inputs: RetrievalInputs, counts: Counts) -> None:
        """Add a block."""
        hits = np.zeros((len(self.points), len(counts.size)))
        for part in rankings(inputs, counts, self.ties, int(self.points.max(initial=0))):
            share = part.relevant / part.size
            for row, k in zip(hits, self.points.tolist(), strict=True):
                row += part.sum(share * np.clip(k - part.items_before, 0, part.size))
        shape = hits.T.shape
        items, relevant = np.broadcast_to(self.points, shape), np.broadcast_to(counts.all_relevant[:, None], shape)
        self.add(hits.T, items, relevant, counts.weight)

    def convention(self, average: Average, empty: Empty) -> str:
        """The choices behind the numbers, in words."""
        return named("PR by rank", average=average, ties=self.ties, empty=empty, relevance=self.relevance)
