"""Mean average precision of binary codes, with its convention named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fasthash.evaluation.buckets import Buckets
from fasthash.evaluation.checks import Array, check_choice, check_integer
from fasthash.evaluation.counts import Counts
from fasthash.evaluation.first_hits import first_hits_sum
from fasthash.evaluation.inputs import Exclude, Relevance, prepare
from fasthash.evaluation.measure import EMPTY, TIES, Empty, Metric, Ties, Values, clipped, measure, named
from fasthash.evaluation.ranks import check_rerank
from fasthash.evaluation.score import Score
from fasthash.evaluation.ties import (
    CutBuckets,
    divide,
    expected_over_hits,
    inverse_hits,
    ordered_precision_sum,
    precision_sum,
)

Divisor = Literal["hits", "relevant", "min"]
Window = Literal["ranks", "relevant"]

DIVISORS = ("hits", "relevant", "min")


def mean_average_precision(
    query_codes: Array,
    database_codes: Array,
    query_labels: Array,
    database_labels: Array,
    *,
    k: int | None = None,
    bits: int | None = None,
    ties: Ties = "expected",
    divisor: Divisor = "hits",
    empty: Empty = "zero",
    exclude: Exclude = "auto",
    window: Window = "ranks",
    relevance: Relevance = "share",
    rerank: tuple[Array, Array] | None = None,
) -> Score:
    """Mean average precision of Hamming ranking: mean over queries of AP over the first ``k`` ranks.

    AP adds (relevant among the first i) / i over the relevant ranks i inside the window and divides by ``divisor``.
    Two items are relevant to each other when they share a label; an item without labels is relevant to nothing.

    Args:
        query_codes: (q, bytes) uint8 packed, or (q, bits) bool, float, or signed integers of -1, 0, 1 (bit = x > 0).
        database_codes: (n, bytes) or (n, bits), likewise; tensors or NumPy arrays, not mixed in one call.
        query_labels: (q,) integer class ids (-1 = none) or (q, classes) multi-hot.
        database_labels: (n,) or (n, classes).
        k: ranks of the window; None = the whole ranking, where the three divisors agree. Above n it is clipped, and
            the convention says so.
        bits: code width; default 8 * bytes of packed codes, or the columns of unpacked ones.
        ties: order among equal distances. "expected": the exact mean over all orders (McSherry & Najork, ECIR 2008);
            "index": by database index; "best", "worst": relevant items first or last. Best and worst bound all orders
            for divisors "relevant" and "min"; under "hits" with a cut bucket they do not.
        divisor: "hits" = relevant items inside the window, as published MAP@5000 and MAP@1000 numbers have it;
            "relevant" = R, all relevant items of the query; "min" = min(k, R), the textbook AP@k.
        empty: queries whose divisor is 0 score 0 ("zero") or leave the mean ("skip"). With ties="expected" and
            divisor="hits", skip gives sum of expected AP / sum of P(at least one hit), and a query counts as empty
            when no order gives it a hit.
        exclude: "auto" removes item i from the ranking of query i when both code arguments are the same object;
            None removes nothing; (q,) int64 names a database row for each query (-1 = none).
        window: "ranks", or "relevant": the first min(k, R) relevant items of the whole ranking count, and their number
            is the divisor.
        relevance: "share" a label, or "identical": only equal, non-empty label sets are relevant.
        rerank: (q, d) and (n, d) real-valued features: equal distances are ordered by their inner product, then by
            index, in place of ``ties``. Takes memory in proportion to n.

    Returns:
        `Score` with per_query (q,) float64; for ties="expected" also best and worst.

    Raises:
        TypeError: an argument of the wrong kind or dtype.
        ValueError: k < 1, an unknown option, wrong shapes, non-zero spare bits, NaN.

    Example:
        >>> codes = np.array([[0b00000000], [0b00000001], [0b00000011], [0b00000011]], dtype=np.uint8)
        >>> mean_average_precision(codes[:1], codes, np.array([7]), np.array([7, 1, 7, 1]))
        mAP@all[divisor=hits, ties=expected, empty=zero, relevance=share] = 0.7917 (best 0.8333, worst 0.7500; \
0 of 1 queries empty)
    """
    name = "mean_average_precision"
    check_choice(name, "ties", ties, TIES)
    check_choice(name, "divisor", divisor, DIVISORS)
    check_choice(name, "empty", empty, EMPTY)
    check_choice(name, "window", window, ("ranks", "relevant"))
    if k is not None:
        k = check_integer(name, "k", k, 1)
    if window == "relevant" and divisor == "relevant":
        raise ValueError(f"{name}: divisor: expected hits or min, which agree, with window=relevant, got 'relevant'")
    inputs = prepare(name, query_codes, database_codes, query_labels, database_labels, bits, exclude, relevance)
    features = check_rerank(name, rerank, inputs)
    metric = metric_of(len(inputs.database), k=k, divisor=divisor, empty=empty, window=window)
    return measure(inputs, [metric], ties, rerank=features)[0]


def mean_average_precision_within_radius(
    query_codes: Array,
    database_codes: Array,
    query_labels: Array,
    database_labels: Array,
    radius: int = 2,
    *,
    bits: int | None = None,
    ties: Ties = "expected",
    empty: Empty = "zero",
    exclude: Exclude = "auto",
    relevance: Relevance = "share",
) -> Score:
    """Mean over queries of AP over the items within a Hamming ball (distance <= ``radius``), divided by its hits.

    A ball without a relevant item scores 0 (``empty="zero"``) or leaves the mean ("skip"). Other arguments and errors
    as for `mean_average_precision`; radius >= 0.

    Example:
        >>> codes = np.array([[False, False], [False, True], [True, True]])
        >>> score = mean_average_precision_within_radius(codes[:1], codes, np.array([0]), np.array([1, 0, 0]), 1)
        >>> float(score), score.convention
        (0.5, 'mAP within radius 1[ties=expected, empty=zero, relevance=share]')
    """
    name = "mean_average_precision_within_radius"
    radius = check_integer(name, "radius", radius, 0)
    check_choice(name, "ties", ties, TIES)
    check_choice(name, "empty", empty, EMPTY)
    inputs = prepare(name, query_codes, database_codes, query_labels, database_labels, bits, exclude, relevance)
    return measure(inputs, [BallAveragePrecision(radius, empty)], ties)[0]


def metric_of(
    items: int, *, k: int | None = None, divisor: Divisor = "hits", empty: Empty = "zero", window: Window = "ranks"
) -> Metric:
    """The metric behind these options of `mean_average_precision`, over a database of so many items."""
    if window == "relevant":
        return FirstHits(items if k is None else k, "all" if k is None else str(k), empty)
    return AveragePrecision.within(k, items, divisor, empty)


@dataclass(frozen=True)
class AveragePrecision(Metric):
    """AP over the first k ranks."""

    k: int | None
    divisor: Divisor
    empty: Empty
    note: str = ""
    counted = True
    title: ClassVar[str] = "mAP"

    @classmethod
    def within(cls, k: int | None, items: int, divisor: Divisor, empty: Empty) -> AveragePrecision:
        """With k clipped to the items of the database, and a note that says so."""
        k, note = clipped(k, items)
        return cls(k, divisor, empty, note)

    def convention(self, ties: str, relevance: str) -> str:
        """The metric and every choice behind it, in words."""
        name = f"{self.title}@{'all' if self.k is None else self.k}"
        return named(name, self.note, divisor=self.divisor, ties=ties, empty=self.empty, relevance=relevance)

    def window(self, counts: Counts) -> int:
        """Ranks that the metric looks at."""
        return super().window(counts) if self.k is None else self.k

    def grades(self, buckets: Buckets) -> tuple[NDArray[Any], NDArray[Any]]:
        """What counts at a relevant rank: relevant items in each bucket, and before it."""
        return buckets.relevant, buckets.relevant_before

    def terms(self, buckets: Buckets) -> Values:
        """Sums; for divisor="hits" also hits, and the bucket that the window cuts where its hits are open."""
        b, k = buckets, self.k
        grades, grades_before = self.grades(b)
        places, harmonic = b.places(k), b.harmonic(k)
        if b.uniform:
            each = 1 if grades is b.relevant else grades // b.relevant
            sums = ordered_precision_sum(each, b.items_before, grades_before, places, harmonic)
        else:
            sums = precision_sum(b.size, b.relevant, grades, b.items_before, grades_before, places, harmonic)
        if k is None or self.divisor != "hits":
            return b.sum(sums)[None]
        if b.uniform:
            return np.stack([b.sum(sums), b.sum(places)])
        cut = (places > 0) & (places < b.size) & (b.relevant < b.size)
        settled = [b.sum(np.where(cut, 0, values)) for values in (sums, b.expected_relevant(k))]
        at = np.flatnonzero(cut)
        fields = (b.size, b.relevant, b.items_before, b.relevant_before, places, grades, grades_before)
        return np.stack([*settled, *(np.bincount(b.query[at], field[at], b.queries) for field in fields)])

    def finish(self, terms: Values, counts: Counts) -> tuple[Values, Values]:
        """AP, and the probability that its divisor is not 0."""
        relevant: NDArray[Any] = counts.all_relevant
        if self.k is None or self.divisor != "hits":
            divisor = relevant if self.k is None or self.divisor == "relevant" else np.minimum(relevant, self.k)
            return divide(terms[0], divisor), (divisor > 0).astype(np.float64)
        values, chance = divide(terms[0], terms[1]), (terms[1] > 0).astype(np.float64)
        if len(terms) > 2:
            rows = np.flatnonzero(terms[2])
            *fields, grades, grades_before = terms[2:, rows].astype(np.int64)
            cut = CutBuckets(*fields)
            inverse, no_hit = counts.once(("hits", self.k), lambda: inverse_hits(cut))
            values[rows] = expected_over_hits(cut, grades, grades_before, terms[0, rows], inverse, no_hit)
            chance[rows] = 1 - no_hit
        return values, chance


@dataclass(frozen=True)
class FirstHits(Metric):
    """AP over the first min(m, R) relevant items of the ranking, wherever they rank."""

    m: int
    shown: str
    empty: Empty

    def convention(self, ties: str, relevance: str) -> str:
        """The metric and every choice behind it, in words."""
        choices = {"window": "relevant", "divisor": "min", "ties": ties, "empty": self.empty, "relevance": relevance}
        return named(f"mAP@{self.shown}", **choices)

    def window(self, counts: Counts) -> int:
        """Ranks down to the distance where the last wanted item lies."""
        found = np.cumsum(counts.relevant, axis=1)
        distance = np.argmax(found >= np.minimum(found[:, -1:], self.m), axis=1)[:, None]
        return int(np.take_along_axis(counts.items_before + counts.size, distance, axis=1).max(initial=0))

    def terms(self, buckets: Buckets) -> Values:
        """The sum."""
        return buckets.sum(first_hits_sum(buckets, self.m))[None]

    def finish(self, terms: Values, counts: Counts) -> tuple[Values, Values]:
        """AP, and whether the query has relevant items."""
        divisor = np.minimum(counts.all_relevant, self.m)
        return divide(terms[0], divisor), (divisor > 0).astype(np.float64)


@dataclass(frozen=True)
class BallAveragePrecision(Metric):
    """AP over the items within a radius."""

    radius: int
    empty: Empty

    def convention(self, ties: str, relevance: str) -> str:
        """The metric and every choice behind it, in words."""
        return named(f"mAP within radius {self.radius}", ties=ties, empty=self.empty, relevance=relevance)

    def window(self, counts: Counts) -> int:
        """Ranks of the largest ball."""
        return int(counts.size[:, : self.radius + 1].sum(axis=1).max(initial=0))

    def terms(self, buckets: Buckets) -> Values:
        """Sum and hits."""
        b = buckets.where(buckets.distance <= self.radius)
        sums = precision_sum(
            b.size, b.relevant, b.relevant, b.items_before, b.relevant_before, b.size, b.harmonic(None)
        )
        return np.stack([b.sum(sums), b.sum(b.relevant)])

    def finish(self, terms: Values, counts: Counts) -> tuple[Values, Values]:
        """AP, and whether the ball holds a relevant item."""
        return divide(terms[0], terms[1]), (terms[1] > 0).astype(np.float64)
