"""Metrics of graded relevance: NDCG, ACG, WAP. The grade of an item is the number of labels it shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasthash.evaluation.average_precision import DIVISORS, AveragePrecision, Divisor
from fasthash.evaluation.buckets import Buckets
from fasthash.evaluation.checks import Array, check_choice, check_integer
from fasthash.evaluation.counts import Counts
from fasthash.evaluation.discount import discount_sum
from fasthash.evaluation.inputs import Exclude, RetrievalInputs, prepare
from fasthash.evaluation.measure import EMPTY, TIES, Empty, Gain, Metric, Ties, Values, clipped, measure, named
from fasthash.evaluation.precision import check_ranks
from fasthash.evaluation.score import Score
from fasthash.evaluation.ties import divide

GAINS = ("exponential", "linear")


def ndcg_at(
    query_codes: Array,
    database_codes: Array,
    query_labels: Array | None,
    database_labels: Array | None,
    k: int | None = None,
    *,
    bits: int | None = None,
    ties: Ties = "expected",
    gain: Gain = "exponential",
    empty: Empty = "zero",
    exclude: Exclude = "auto",
    grades: Array | None = None,
) -> Score:
    """NDCG@k: DCG over the first ``k`` ranks, divided by that of the ideal order of the whole database.

    DCG adds gain / log2(1 + i) over the ranks i (Järvelin & Kekäläinen, TOIS 2002). An item's grade g is the number of
    labels it shares with the query, its gain 2^g - 1 or g.

    Args:
        query_codes: (q, bytes) uint8 packed, or (q, bits) unpacked; see `mean_average_precision`, also for the next
            one, ``bits`` and ``exclude``.
        database_codes: (n, bytes) or (n, bits).
        query_labels: (q, classes) multi-hot, or (q,) class ids (grades 0 and 1); None with ``grades``.
        database_labels: (n, classes) or (n,); None with ``grades``.
        k: ranks; None = all. Above n it is clipped, and the convention says so.
        bits: code width.
        ties: order among equal distances: "expected" = the exact mean over all orders, "index" = by database index,
            "best" = the highest grades first, "worst" = the lowest first.
        gain: "exponential" = 2^g - 1, "linear" = g.
        empty: a query to which nothing is relevant scores 0 ("zero") or leaves the mean ("skip").
        exclude: self-exclusion.
        grades: (q, n) whole numbers from 0 to 255, in place of labels; an item with grade 0 is irrelevant.

    Returns:
        `Score` with per_query (q,) float64; for ties="expected" also best and worst.

    Raises:
        TypeError: an argument of the wrong kind or dtype.
        ValueError: k < 1, an unknown option, wrong shapes, non-zero spare bits, NaN.

    Example:
        >>> codes = np.array([[False, False], [False, True], [True, True]])
        >>> labels = np.array([[1, 1, 0], [0, 1, 0], [1, 1, 0]])
        >>> ndcg_at(codes[:1], codes, labels[:1], labels, 2, exclude=None)
        NDCG@2[gain=exponential, ties=expected, empty=zero, relevance=graded] = 0.7421 (best 0.7421, worst 0.7421; \
0 of 1 queries empty)
    """
    inputs = _prepare(
        "ndcg_at",
        (query_codes, database_codes, query_labels, database_labels),
        k,
        bits,
        ties,
        gain,
        empty,
        exclude,
        grades,
    )
    return measure(inputs, [DiscountedGain.within(k, len(inputs.database), gain, empty)], ties, gain=gain)[0]


def dcg_at(
    query_codes: Array,
    database_codes: Array,
    query_labels: Array | None,
    database_labels: Array | None,
    k: int | None = None,
    *,
    bits: int | None = None,
    ties: Ties = "expected",
    gain: Gain = "exponential",
    exclude: Exclude = "auto",
    grades: Array | None = None,
) -> Score:
    """DCG@k: the numerator of `ndcg_at`, arguments and errors as there.

    Example:
        >>> codes = np.array([[False, False], [False, True], [True, True]])
        >>> labels = np.array([[1, 1, 0], [0, 1, 0], [1, 1, 0]])
        >>> float(dcg_at(codes[:1], codes, labels[:1], labels, 1, exclude=None))
        3.0
    """
    inputs = _prepare(
        "dcg_at",
        (query_codes, database_codes, query_labels, database_labels),
        k,
        bits,
        ties,
        gain,
        "zero",
        exclude,
        grades,
    )
    metric = DiscountedGain.within(k, len(inputs.database), gain, "zero", ideal=False)
    return measure(inputs, [metric], ties, gain=gain)[0]


def acg_at(
    query_codes: Array,
    database_codes: Array,
    query_labels: Array | None,
    database_labels: Array | None,
    k: int,
    *,
    bits: int | None = None,
    ties: Ties = "expected",
    exclude: Exclude = "auto",
    grades: Array | None = None,
) -> Score:
    """ACG@k, average cumulative gain: the mean grade of the first ``k`` ranks.

    Arguments and errors as for `ndcg_at`; k at most the database items that each query may meet.

    Example:
        >>> codes = np.array([[False, False], [False, True], [True, True]])
        >>> labels = np.array([[1, 1, 0], [0, 1, 0], [1, 1, 0]])
        >>> acg_at(codes[:1], codes, labels[:1], labels, 2, ties="index", exclude=None)
        ACG@2[ties=index, relevance=graded] = 1.5000 (0 of 1 queries empty)
    """
    name = "acg_at"
    k = check_integer(name, "k", k, 1)
    inputs = _prepare(
        name,
        (query_codes, database_codes, query_labels, database_labels),
        k,
        bits,
        ties,
        "linear",
        "zero",
        exclude,
        grades,
    )
    check_ranks(name, inputs, k)
    return measure(inputs, [CumulativeGain(k)], ties, gain="linear")[0]


def weighted_average_precision(
    query_codes: Array,
    database_codes: Array,
    query_labels: Array | None,
    database_labels: Array | None,
    k: int | None = None,
    *,
    bits: int | None = None,
    ties: Ties = "expected",
    divisor: Divisor = "hits",
    empty: Empty = "zero",
    exclude: Exclude = "auto",
    grades: Array | None = None,
) -> Score:
    """WAP@k: average precision with grades, the sum over relevant ranks i of (sum of the first i grades) / i.

    With grades 0 and 1 it is AP. Arguments and errors as for `ndcg_at`; ``divisor`` as for `mean_average_precision`
    (published code: "hits").

    Example:
        >>> codes = np.array([[False, False], [False, True], [True, True]])
        >>> labels = np.array([[1, 1, 0], [0, 1, 0], [1, 1, 0]])
        >>> float(weighted_average_precision(codes[:1], codes, labels[:1], labels, 2, exclude=None))  # (2/1 + 3/2) / 2
        1.75
    """
    name = "weighted_average_precision"
    check_choice(name, "divisor", divisor, DIVISORS)
    inputs = _prepare(
        name,
        (query_codes, database_codes, query_labels, database_labels),
        k,
        bits,
        ties,
        "linear",
        empty,
        exclude,
        grades,
    )
    metric = WeightedAveragePrecision.within(k, len(inputs.database), divisor, empty)
    return measure(inputs, [metric], ties, gain="linear")[0]


def _prepare(
    name: str,
    arrays: tuple[Array, Array, Array | None, Array | None],
    k: int | None,
    bits: int | None,
    ties: Ties,
    gain: Gain,
    empty: Empty,
    exclude: Exclude,
    grades: Array | None,
) -> RetrievalInputs:
    check_choice(name, "ties", ties, TIES)
    check_choice(name, "gain", gain, GAINS)
    check_choice(name, "empty", empty, EMPTY)
    if k is not None:
        check_integer(name, "k", k, 1)
    return prepare(name, *arrays, bits, exclude, grades=grades)


class WeightedAveragePrecision(AveragePrecision):
    """AP where sums of grades take the place of relevant counts."""

    counted = False
    title = "WAP"

    def convention(self, ties: str, relevance: str) -> str:
        """The metric and every choice behind it, in words."""
        return super().convention(ties, _shown(relevance))

    def grades(self, buckets: Buckets) -> tuple[NDArray[Any], NDArray[Any]]:
        """Sums of grades in each bucket, and before it."""
        return buckets.grades, buckets.grades_before


@dataclass(frozen=True)
class DiscountedGain(Metric):
    """DCG over the first k ranks, / that of the ideal order unless ``ideal`` is False."""

    k: int | None
    gain: Gain
    empty: Empty
    ideal: bool = True
    note: str = ""

    @classmethod
    def within(cls, k: int | None, items: int, gain: Gain, empty: Empty, ideal: bool = True) -> DiscountedGain:
        """With k clipped to the items of the database, and a note that says so."""
        k, note = clipped(k, items)
        return cls(k, gain, empty, ideal, note)

    def convention(self, ties: str, relevance: str) -> str:
        """The metric and every choice behind it, in words."""
        name = f"{'NDCG' if self.ideal else 'DCG'}@{'all' if self.k is None else self.k}"
        empty = self.empty if self.ideal else ""
        return named(name, self.note, gain=self.gain, ties=ties, empty=empty, relevance=_shown(relevance))

    def window(self, counts: Counts) -> int:
        """Ranks that the metric looks at."""
        return super().window(counts) if self.k is None else self.k

    def terms(self, buckets: Buckets) -> Values:
        """DCG."""
        assert buckets.gains is not None
        before = buckets.items_before
        discount = discount_sum(before + buckets.places(self.k)) - discount_sum(before)
        return buckets.sum(buckets.gains / buckets.size * discount)[None]

    def finish(self, terms: Values, counts: Counts) -> tuple[Values, Values]:
        """NDCG, and whether the query has relevant items."""
        if not self.ideal:
            return terms[0], np.ones(terms.shape[1])
        assert counts.gains is not None
        downwards = counts.items_of_grade[:, :0:-1]  # (q, G - 1), the highest grade first
        ranks = np.cumsum(downwards, axis=1)
        if self.k is not None:
            ranks = np.minimum(ranks, self.k)
        discount = np.diff(discount_sum(ranks), axis=1, prepend=0.0)
        best = discount @ counts.gains[:0:-1]
        return divide(terms[0], best), (best > 0).astype(np.float64)


@dataclass(frozen=True)
class CumulativeGain(Metric):
    """Sum of the grades of the first k ranks, / k."""

    k: int

    def convention(self, ties: str, relevance: str) -> str:
        """The metric and every choice behind it, in words."""
        return named(f"ACG@{self.k}", ties=ties, relevance=_shown(relevance))

    def window(self, counts: Counts) -> int:
        """Ranks that the metric looks at."""
        return self.k

    def terms(self, buckets: Buckets) -> Values:
        """Sum of grades."""
        return buckets.sum(buckets.grades * (buckets.places(self.k) / buckets.size))[None]

    def finish(self, terms: Values, counts: Counts) -> tuple[Values, Values]:
        """Mean grade; no query is empty."""
        return terms[0] / self.k, np.ones(terms.shape[1])


def _shown(relevance: str) -> str:
    return "graded" if relevance == "share" else relevance
