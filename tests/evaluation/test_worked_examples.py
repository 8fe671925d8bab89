"""The examples that the definitions were written down with, number by number."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from fasthash import evaluation
from fasthash.evaluation import mean_average_precision, precision_recall_curve

POLICIES = ("index", "expected", "best", "worst")


@pytest.fixture
def worked():
    """Eight items at distances 0,1,1,1,2,2,3,3 whose grades (shared labels) are 2,0,1,1,0,3,0,0."""
    items = np.arange(3) < np.array([0, 1, 1, 1, 2, 2, 3, 3])[:, None]
    labels = np.arange(3) < np.array([2, 0, 1, 1, 0, 3, 0, 0])[:, None]
    return np.zeros((1, 3), dtype=bool), items, np.ones((1, 3), dtype=int), labels


def check(score, value: str) -> None:
    """Fractions are exact, decimals as printed."""
    assert score == pytest.approx(float(Fraction(value)), abs=1e-12 if "/" in value else 5e-5)


@pytest.mark.parametrize(
    ("options", "index", "expected", "best", "worst"),
    [
        ({}, "37/48", "311/360", "19/20", "37/48"),
        ({"k": 3}, "5/6", "17/18", "1", "5/6"),
        ({"k": 3, "divisor": "min"}, "5/9", "20/27", "1", "5/9"),
        ({"k": 3, "window": "relevant"}, ".8056", ".9074", "", ""),
        ({"k": 5}, "29/36", ".8940", "19/20", "29/36"),
        ({"k": 5, "divisor": "min"}, "29/48", ".7806", "19/20", "29/48"),
    ],
)
def test_mean_average_precision(worked, options, index, expected, best, worst):
    for policy, value in zip(POLICIES, (index, expected, best, worst), strict=True):
        if value:
            check(mean_average_precision(*worked, ties=policy, **options), value)


def test_the_other_metrics(worked):
    for ties, values in {
        "index": (".6667", ".5000", "1.0000", ".3726", "1.2917", "1.5000"),
        "expected": (".7778", ".5833", "1.1111", ".3997", "1.4319", "1.6204"),
    }.items():
        scores = (
            evaluation.precision_at(*worked, 3, ties=ties),
            evaluation.recall_at(*worked, 3, ties=ties),
            evaluation.acg_at(*worked, 3, ties=ties),
            evaluation.ndcg_at(*worked, 3, ties=ties),
            evaluation.weighted_average_precision(*worked, ties=ties),
            evaluation.weighted_average_precision(*worked, 3, ties=ties),
        )
        for score, value in zip(scores, values, strict=True):
            check(score, value)
    check(evaluation.dcg_at(*worked, 3), "3.7540")
    assert evaluation.dcg_at(*worked, 3) / evaluation.ndcg_at(*worked, 3) == pytest.approx(9.3928, abs=5e-5)
    check(evaluation.ndcg_at(*worked), ".6761")


def test_within_a_radius(worked):
    for radius, precision, recall in ((0, "1", "1/4"), (1, "3/4", "3/4"), (2, "2/3", "1"), (3, "1/2", "1")):
        check(evaluation.precision_within_radius(*worked, radius), precision)
        check(evaluation.recall_within_radius(*worked, radius), recall)
    check(evaluation.mean_average_precision_within_radius(*worked, 1, ties="index"), ".8056")
    check(evaluation.mean_average_precision_within_radius(*worked, 1), ".9074")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("k", "a", "b", "d", "i"),
    [
        (3, 0.5583, 1.0, 0.6111, 0.3333),
        (5, 0.5583, 0.75, 0.5583, 0.375),
        (10, 0.5583, 0.5583, 0.5583, 0.5583),
    ],
)
def test_one_ranking_under_four_rules(ranking, policy, k, a, b, d, i):
    problem = ranking(np.arange(10), [1, 0, 0, 1, 0, 0, 0, 0, 1, 1])
    for value, options in (
        (a, {}),
        (b, {"k": k}),
        (d, {"k": k, "window": "relevant"}),
        (i, {"k": k, "divisor": "min"}),
        (i * min(k, 4) / 4, {"k": k, "divisor": "relevant"}),
    ):
        assert mean_average_precision(*problem, ties=policy, **options) == pytest.approx(value, abs=5e-5)


def test_losing_a_hit_can_raise_the_score_under_hits_only(ranking):
    for divisor, rises in (("hits", True), ("relevant", False), ("min", False)):
        more = mean_average_precision(*ranking([0, 1, 2], [1, 0, 1]), k=3, divisor=divisor)
        fewer = mean_average_precision(*ranking([0, 1, 2, 3], [1, 0, 0, 1]), k=3, divisor=divisor)
        assert (fewer > more) == rises


def test_best_is_not_a_bound_when_the_divisor_counts_hits(ranking, tie_orders, average_precision):
    distances, relevance = [0, 0, 1, 1, 1, 1, 1], [0, 1, 0, 1, 1, 1, 1]
    score = mean_average_precision(*ranking(distances, relevance), k=3, ties="best")
    highest = max(average_precision(order, 3, "hits") for order in tie_orders(distances, relevance))
    assert score == pytest.approx(5 / 6, abs=1e-14)
    assert highest == 1


def test_two_classes_on_one_code_show_what_ties_do():
    codes, labels = np.zeros((10_000, 2), np.uint8), np.repeat([0, 1], 5_000)
    queries = np.zeros((2, 2), np.uint8), np.array([0, 1])
    assert mean_average_precision(queries[0], codes, queries[1], labels) == pytest.approx(0.5004, abs=5e-5)
    by_index = mean_average_precision(queries[0], codes, queries[1], labels, ties="index")
    assert by_index.per_query == pytest.approx([1.0, 0.3069], abs=5e-5)
    assert by_index == pytest.approx(0.6535, abs=5e-5)


@pytest.mark.parametrize(("items", "relevant"), [(59_000, 5_900), (7, 1), (10, 10), (1, 1)])
def test_equal_codes_score_the_chance_level(items, relevant):
    codes, labels = np.zeros((items, 8), np.uint8), (np.arange(items) >= relevant).astype(int)
    slope = (relevant - 1) / max(items - 1, 1)
    chance = slope + (1 - slope) * (1 / np.arange(1, items + 1)).sum() / items
    assert mean_average_precision(codes[:1], codes, labels[:1], labels) == pytest.approx(chance, rel=1e-12)
    assert evaluation.alarms.chance_level(np.array([relevant]), np.array([items])) == pytest.approx(chance, rel=1e-12)
    if items == 59_000:
        assert chance == pytest.approx(0.1002, abs=5e-5)


@pytest.mark.parametrize(
    ("average", "empty", "precision", "recall"),
    [
        ("macro", "zero", 0.5, 0.25),
        ("macro", "skip", 1.0, 0.25),
        ("micro", "zero", 1.0, 1 / 3),
        ("micro", "skip", 1.0, 1 / 3),
    ],
)
def test_macro_against_micro(average, empty, precision, recall):
    """At radius 0 query 0 meets one item, a relevant one, and query 1 meets none; they have 2 and 1 relevant items."""
    queries = np.array([[False, False, False], [True, True, True]])
    items = np.array([[False, False, False], [True, False, False], [False, True, False], [False, False, True]])
    curve = precision_recall_curve(
        queries, items, np.array([0, 1]), np.array([0, 0, 1, 2]), average=average, empty=empty
    )
    assert (curve.precision[0], curve.recall[0]) == pytest.approx((precision, recall))
    assert curve.empty_share.tolist() == [0.5, 0.5, 0.0, 0.0]
    assert curve.precision[-1] == pytest.approx(3 / 8)
    assert curve.recall[-1] == 1
    assert curve.points.tolist() == [0, 1, 2, 3]
    assert curve.convention == f"PR by radius[average={average}, empty={empty}, relevance=share]"


def test_random_balls_of_radius_two_hold_what_the_hint_says():
    shares = {bits: (1 + bits + bits * (bits - 1) / 2) / 2.0**bits for bits in (16, 64)}
    assert shares[16] == pytest.approx(0.0021, abs=5e-5)
    assert shares[64] == pytest.approx(1e-16, rel=0.2)
