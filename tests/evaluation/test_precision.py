"""Values of precision, recall and the curve by radius."""

from __future__ import annotations

import numpy as np
import pytest

from fasthash.evaluation import (
    precision_at,
    precision_recall_curve,
    precision_within_radius,
    recall_at,
    recall_within_radius,
)


def test_expected_precision_is_the_mean_over_all_orders(ranking, tie_orders):
    rng = np.random.default_rng(0)
    for _ in range(20):
        distances, relevance = rng.integers(0, 3, 6).tolist(), rng.integers(0, 2, 6).tolist()
        orders = tie_orders(distances, relevance)
        for k in range(1, 7):
            hits = float(sum(p * sum(order[:k]) for order, p in orders.items()))
            problem = ranking(distances, relevance)
            assert precision_at(*problem, k) == pytest.approx(hits / k, abs=1e-14)
            assert recall_at(*problem, k) == pytest.approx(hits / max(sum(relevance), 1), abs=1e-14)


@pytest.fixture
def two_queries():
    """At radius 0 query 0 meets one item, a relevant one, and query 1 meets none; they have 2 and 1 relevant items."""
    queries = np.array([[False, False, False], [True, True, True]])
    items = np.array([[False, False, False], [True, False, False], [False, True, False], [False, False, True]])
    return queries, items, np.array([0, 1]), np.array([0, 0, 1, 2])


@pytest.mark.parametrize("empty", ["zero", "skip"])
def test_curve_is_made_of_the_radius_scores(random_problem, empty):
    problem = random_problem(1, queries=40, items=15)
    curve = precision_recall_curve(*problem, empty=empty)
    for radius in curve.points.tolist():
        precision = precision_within_radius(*problem, radius, empty=empty)
        assert curve.precision[radius] == pytest.approx(float(precision), nan_ok=True)
        assert curve.recall[radius] == pytest.approx(float(recall_within_radius(*problem, radius, empty=empty)))
        assert curve.empty_share[radius] == pytest.approx(precision.empty_share)
    assert curve.empty_share[0] > 0


def test_micro_pools_the_counts(random_problem):
    queries, items, query_labels, labels = random_problem(2)
    curve = precision_recall_curve(queries, items, query_labels, labels, average="micro")
    distance = np.bitwise_count(queries[:, None] ^ items[None]).sum(axis=2)
    relevant = (query_labels[:, None] == labels) & (query_labels[:, None] >= 0)
    for radius in range(17):
        inside = distance <= radius
        assert curve.precision[radius] == pytest.approx((relevant & inside).sum() / max(inside.sum(), 1))
        assert curve.recall[radius] == pytest.approx((relevant & inside).sum() / relevant.sum())


def test_empty_balls_are_counted(two_queries):
    zero = precision_within_radius(*two_queries, 0)
    skip = precision_within_radius(*two_queries, 0, empty="skip")
    assert (zero, zero.empty, zero.empty_share) == (0.5, 1, 0.5)
    assert (skip, skip.empty) == (1.0, 1)
    assert np.isnan(skip.per_query[1])
    assert str(zero) == "precision within radius 0[empty=zero, relevance=share] = 0.5000 (1 of 2 queries empty)"


def test_queries_without_relevant_items_follow_the_rule(two_queries):
    queries, items, _, labels = two_queries
    for metric, argument in ((recall_at, 4), (recall_within_radius, 3)):
        zero = metric(queries, items, np.array([0, 9]), labels, argument)
        skip = metric(queries, items, np.array([0, 9]), labels, argument, empty="skip")
        assert (zero, zero.empty, skip, skip.empty) == (0.5, 1, 1.0, 1)
