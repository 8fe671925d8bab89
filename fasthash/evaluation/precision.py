"""Precision and recall of binary codes: over the first k ranks, and inside a Hamming ball."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fasthash.evaluation.buckets import Buckets
from fasthash.evaluation.checks import Array, check_choice, check_integer
from fasthash.evaluation.counts import Counts
from fasthash.evaluation.inputs import Exclude, Relevance, RetrievalInputs, prepare
from fasthash.evaluation.measure import EMPTY, TIES, Empty, Metric, Ties, Values, measure, named
from fasthash.evaluation.score import Score
from fasthash.evaluation.ties import divide


def precision_at(
    query_codes: Array,
    database_codes: Array,
    query_labels: Array,
    database_labels: Array,
    k: int,
    *,
    bits: int | None = None,
    ties: Ties = "expected",
    exclude: Exclude = "auto",
    relevance: Relevance = "share",
) -> Score:
    """P@k: share of relevant items among the first ``k`` ranks, mean over queries.

    A tie that the window cuts gives each of its items the same chance: sum over buckets of relevant * places / size,
    the exact mean over all orders.

    Args:
        query_codes: (q, bytes) uint8 packed, or (q, bits) unpacked; see `mean_average_precision`, also for the next
            three, ``bits``, ``ties``, ``exclude`` and ``relevance``.
        database_codes: (n, bytes) or (n, bits).
        query_labels: (q,) class ids or (q, classes) multi-hot.
        database_labels: (n,) or (n, classes).
        k: ranks, at most the database items that each query may meet.
        bits: code width.
        ties: order among equal distances.
        exclude: self-exclusion.
        relevance: "share" a label or "identical" label sets.

    Raises:
        TypeError: an argument of the wrong kind or dtype.
        ValueError: k < 1 or more than the items; an unknown option, wrong shapes, non-zero spare bits, NaN.

    Example:
        >>> codes = np.array([[False, False], [False, True], [True, False]])
        >>> precision_at(codes[:1], codes, np.array([0]), np.array([0, 0, 1]), 2)
        P@2[ties=expected, relevance=share] = 0.7500 (best 1.0000, worst 0.5000; 0 of 1 queries empty)
    """
    name = "precision_at"
    check_choice(name, "ties", ties, TIES)
    k = check_integer(name, "k", k, 1)
    inputs = prepare(name, query_codes, database_codes, query_labels, database_labels, bits, exclude, relevance)
    check_ranks(name, inputs, k)
    return measure(inputs, [PrecisionAt(k)], ties)[0]


def recall_at(
    query_codes: Array,
    database_codes: Array,
    query_labels: Array,
    database_labels: Array,
    k: int,
    *,
    bits: int | None = None,
    ties: Ties = "expected",
    empty: Empty = "zero",
    exclude: Exclude = "auto",
    relevance: Relevance = "share",
) -> Score:
    """R@k: share of the query's relevant items that the first ``k`` ranks hold.

    Arguments and errors as for `precision_at`; a query without any relevant item scores 0 (``empty="zero"``) or leaves
    the mean ("skip").

    Example:
        >>> codes = np.array([[False, False], [False, True], [True, False]])
        >>> recall_at(codes[:1], codes, np.array([0]), np.array([0, 0, 1]), 1, ties="index")
        R@1[ties=index, empty=zero, relevance=share] = 0.5000 (0 of 1 queries empty)
    """
    name = "recall_at"
    check_choice(name, "ties", ties, TIES)
    check_choice(name, "empty", empty, EMPTY)
    k = check_integer(name, "k", k, 1)
    inputs = prepare(name, query_codes, database_codes, query_labels, database_labels, bits, exclude, relevance)
    check_ranks(name, inputs, k)
    return measure(inputs, [RecallAt(k, empty)], ties)[0]


def precision_within_radius(
    query_codes: Array,
    database_codes: Array,
    query_labels: Array,
    database_labels: Array,
    radius: int = 2,
    *,
    bits: int | None = None,
    empty: Empty = "zero",
    exclude: Exclude = "auto",
    relevance: Relevance = "share",
) -> Score:
    """Share of relevant items among those within the Hamming ball (distance <= ``radius``), mean over queries.

    A query with an empty ball scores 0 (``empty="zero"``) or leaves the mean ("skip"); ``Score.empty`` counts the empty
    balls and ``Score.empty_share`` is their share. Other arguments and errors as for `precision_at`; radius >= 0.

    Example:
        >>> codes = np.array([[False, False], [False, True], [True, True]])
        >>> precision_within_radius(codes[:1], codes, np.array([0]), np.array([0, 1, 1]), 1)
        precision within radius 1[empty=zero, relevance=share] = 0.5000 (0 of 1 queries empty)
    """
    name = "precision_within_radius"
    radius = check_integer(name, "radius", radius, 0)
    check_choice(name, "empty", empty, EMPTY)
    inputs = prepare(name, query_codes, database_codes, query_labels, database_labels, bits, exclude, relevance)
    return measure(inputs, [PrecisionWithin(radius, empty)])[0]


def recall_within_radius(
    query_codes: Array,
    database_codes: Array,
    query_labels: Array,
    database_labels: Array,
    radius: int = 2,
    *,
    bits: int | None = None,
    empty: Empty = "zero",
    exclude: Exclude = "auto",
    relevance: Relevance = "share",
) -> Score:
    """Share of the query's relevant items that lie inside the Hamming ball (distance <= ``radius``), mean over queries.

    A query without any relevant item scores 0 (``empty="zero"``) or leaves the mean ("skip"). Other arguments and
    errors as for `precision_at`; radius >= 0.

    Example:
        >>> codes = np.array([[False, False], [False, True], [True, True]])
        >>> recall_within_radius(codes[:1], codes, np.array([0]), np.array([1, 0, 0]), 1)
        recall within radius 1[empty=zero, relevance=share] = 0.5000 (0 of 1 queries empty)
    """
    name = "recall_within_radius"
    radius = check_integer(name, "radius", radius, 0)
    check_choice(name, "empty", empty, EMPTY)
    inputs = prepare(name, query_codes, database_codes, query_labels, database_labels, bits, exclude, relevance)
    return measure(inputs, [RecallWithin(radius, empty)])[0]


def check_ranks(function: str, inputs: RetrievalInputs, k: int, argument: str = "k") -> None:
    """Raise ValueError unless every query meets k items."""
    if k > inputs.fewest_items:
        raise ValueError(
            f"{function}: {argument}: expected at most {inputs.fewest_items}, the items that a query may meet, got {k}"
        )


@dataclass(frozen=True)
class PrecisionAt(Metric):
    """Relevant items among the first k, / k."""

    k: int
    counted = True

    def convention(self, ties: str, relevance: str) -> str:
        """The metric and every choice behind it, in words."""
        return named(f"P@{self.k}", ties=ties, relevance=relevance)

    def window(self, counts: Counts) -> int:
        """Ranks that the metric looks at."""
        return self.k

    def terms(self, buckets: Buckets) -> Values:
        """Hits."""
        return buckets.sum(buckets.expected_relevant(self.k))[None]

    def finish(self, terms: Values, counts: Counts) -> tuple[Values, Values]:
        """Precision; no query is empty."""
        return terms[-1] / self.k, np.ones(terms.shape[1])


@dataclass(frozen=True)
class RecallAt(PrecisionAt):
    """Relevant items among the first k, / R."""

    empty: Empty = "zero"

    def convention(self, ties: str, relevance: str) -> str:
        """The metric and every choice behind it, in words."""
        return named(f"R@{self.k}", ties=ties, empty=self.empty, relevance=relevance)

    def finish(self, terms: Values, counts: Counts) -> tuple[Values, Values]:
        """Recall, and whether the query has relevant items."""
        return divide(terms[-1], counts.all_relevant), (counts.all_relevant > 0).astype(np.float64)


@dataclass(frozen=True)
class PrecisionWithin(Metric):
    """Relevant items in the ball, / items in it."""

    radius: int
    empty: Empty
    tied = False

    def convention(self, ties: str, relevance: str) -> str:
        """The metric and every choice behind it, in words."""
        return named(f"precision within radius {self.radius}", empty=self.empty, relevance=relevance)

    def window(self, counts: Counts) -> int:
        """No ranks: the counts are enough."""
        return 0

    def terms(self, buckets: Buckets) -> Values:
        """Nothing."""
        return np.zeros((0, buckets.queries))

    def finish(self, terms: Values, counts: Counts) -> tuple[Values, Values]:
        """Precision, and whether the ball holds an item."""
        items, hits = (x[:, : self.radius + 1].sum(axis=1) for x in (counts.size, counts.relevant))
        return divide(hits, items), (items > 0).astype(np.float64)


@dataclass(frozen=True)
class RecallWithin(PrecisionWithin):
    """Relevant items in the ball, / R."""

    def convention(self, ties: str, relevance: str) -> str:
        """The metric and every choice behind it, in words."""
        return named(f"recall within radius {self.radius}", empty=self.empty, relevance=relevance)

    def finish(self, terms: Values, counts: Counts) -> tuple[Values, Values]:
        """Recall, and whether the query has relevant items."""
        hits = counts.relevant[:, : self.radius + 1].sum(axis=1)
        return divide(hits, counts.all_relevant), (counts.all_relevant > 0).astype(np.float64)
