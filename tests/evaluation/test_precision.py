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


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_curve_by_rank_is_made_of_the_scores_at_k(random_problem, average):
    problem = random_problem(3)
    curve = precision_recall_curve(*problem, by="rank", average=average)
    assert curve.points[0] == 1
    assert curve.points[-1] == 200
    assert (np.diff(curve.points) > 0).all()
    relevant = (problem.query_labels[:, None] == problem.database_labels) & (problem.query_labels[:, None] >= 0)
    total = relevant.sum(axis=1)
    for n, precision, recall in zip(curve.points.tolist(), curve.precision, curve.recall, strict=True):
        hits = n * precision_at(*problem, n).per_query
        assert precision == pytest.approx(hits.mean() / n)
        if average == "macro":
            assert recall == pytest.approx(float(recall_at(*problem, n)))
        else:
            assert recall == pytest.approx(hits.sum() / total.sum())
    assert (curve.empty_share == 0).all()


def test_area_under_a_curve_is_by_trapezoids(random_problem):
    curve = precision_recall_curve(*random_problem(4), average="micro")
    area = 0.0
    for i in range(16):
        area += (curve.recall[i + 1] - curve.recall[i]) * (curve.precision[i + 1] + curve.precision[i]) / 2
    assert curve.area == pytest.approx(area)
    perfect = np.zeros((3, 8), dtype=bool), np.zeros((5, 8), dtype=bool), np.zeros(3, int), np.zeros(5, int)
    assert precision_recall_curve(*perfect).area == 0  # one point after all: recall does not grow
    apart = np.zeros((1, 2), dtype=bool), np.array([[True, True], [True, False]]), np.zeros(1, int), np.zeros(2, int)
    curve = precision_recall_curve(*apart, empty="skip")
    assert np.isnan(curve.precision[0])
    assert curve.area == pytest.approx(0.5)


def test_no_points_without_items():
    codes, labels = np.zeros((3, 2), np.uint8), np.zeros(3, int)
    curve = precision_recall_curve(codes, codes[:0], labels, labels[:0], by="rank")
    assert curve.points.shape == curve.precision.shape == (0,)
