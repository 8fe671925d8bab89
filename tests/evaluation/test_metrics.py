"""Every metric against its definition: short lists over all tie orders, long ones, and adversarial ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import metric_oracles as oracle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from fasthash import evaluation

TIES = ("expected", "index", "best", "worst")
CLASSES = 3

# name -> (the function under test, the definition); both take k.
METRICS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    **{
        f"map {divisor}": (
            lambda *a, k, divisor=divisor, **o: evaluation.mean_average_precision(*a, k=k, divisor=divisor, **o),
            lambda g, k, divisor=divisor: oracle.average_precision(g, k, divisor),
        )
        for divisor in ("hits", "relevant", "min")
    },
    **{
        f"wap {divisor}": (
            lambda *a, k, divisor=divisor, **o: evaluation.weighted_average_precision(*a, k, divisor=divisor, **o),
            lambda g, k, divisor=divisor: oracle.weighted_average_precision(g, k, divisor),
        )
        for divisor in ("hits", "relevant", "min")
    },
    **{
        f"ndcg {gain}": (
            lambda *a, k, gain=gain, **o: evaluation.ndcg_at(*a, k, gain=gain, **o),
            lambda g, k, gain=gain: oracle.ndcg(g, k, gain),
        )
        for gain in ("exponential", "linear")
    },
    "map of first hits": (
        lambda *a, k, **o: evaluation.mean_average_precision(*a, k=k, window="relevant", **o),
        oracle.first_hits_precision,
    ),
    "dcg": (lambda *a, k, **o: evaluation.dcg_at(*a, k, **o), lambda g, k: oracle.dcg(g, k, "exponential")),
    "acg": (lambda *a, k, **o: evaluation.acg_at(*a, k, **o), oracle.cumulative_gain),
    "precision": (lambda *a, k, **o: evaluation.precision_at(*a, k, **o), oracle.precision),
    "recall": (lambda *a, k, **o: evaluation.recall_at(*a, k, **o), oracle.recall),
}
over_metrics = pytest.mark.parametrize("name", METRICS)


def graded_problem(distances, grades):
    """One query with all labels, code 0; items at given distances (thermometer codes) with given numbers of labels."""
    distances, grades = np.asarray(distances), np.asarray(grades)
    bits = max(3, int(distances.max(initial=0)))
    classes = max(CLASSES, int(grades.max(initial=0)))
    return (
        np.zeros((1, bits), dtype=bool),
        np.arange(bits) < distances[:, None],
        np.ones((1, classes), dtype=int),
        np.arange(classes) < grades[:, None],
    )


@st.composite
def short_lists(draw):
    items = draw(st.integers(1, 6))
    distances = draw(st.lists(st.integers(0, 2), min_size=items, max_size=items))
    grades = draw(st.lists(st.integers(0, CLASSES), min_size=items, max_size=items))
    return distances, grades, draw(st.integers(1, items))


@over_metrics
@settings(max_examples=40, deadline=None, derandomize=True)
@given(case=short_lists())
def test_short_lists_over_all_orders(name, case):
    distances, grades, k = case
    function, definition = METRICS[name]
    problem = graded_problem(distances, grades)
    scores = {ties: function(*problem, k=k, ties=ties) for ties in TIES}
    for ties, score in scores.items():
        assert score == pytest.approx(oracle.by_ties(definition, distances, grades, ties, k), abs=1e-12), ties
    assert scores["expected"].best == pytest.approx(float(scores["best"]), abs=1e-14)
    assert scores["expected"].worst == pytest.approx(float(scores["worst"]), abs=1e-14)
    if not name.endswith("hits") or name == "map of first hits":  # else the divisor is random, and they are no bounds
        values = [float(definition(order, k)) for order in oracle.all_orders(distances, grades)]
        assert scores["best"] == pytest.approx(max(values), abs=1e-12)
        assert scores["worst"] == pytest.approx(min(values), abs=1e-12)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(case=short_lists(), radius=st.integers(0, 3))
def test_short_lists_within_a_radius(case, radius):
    distances, grades, _ = case
    problem = graded_problem(distances, grades)
    inside = sum(distance <= radius for distance in distances)
    hits = sum(grade > 0 for distance, grade in zip(distances, grades, strict=True) if distance <= radius)
    total = oracle.relevant_items(grades)
    for ties in TIES:
        score = evaluation.mean_average_precision_within_radius(*problem, radius, ties=ties)
        expected = oracle.by_ties(oracle.average_precision, distances, grades, ties, inside, "hits") if inside else 0
        assert score == pytest.approx(expected, abs=1e-12), ties
        assert score.empty == int(hits == 0)
    assert evaluation.precision_within_radius(*problem, radius) == pytest.approx(hits / inside if inside else 0)
    assert evaluation.recall_within_radius(*problem, radius) == pytest.approx(hits / total if total else 0)


def long_lists():
    rng = np.random.default_rng(0)
    items = 90
    lists = {
        "random": (rng.integers(0, 12, items), rng.integers(0, 4, items)),
        "all equal": (np.full(items, 5), rng.integers(0, 4, items)),
        "no ties": (rng.permutation(items), rng.integers(0, 4, items)),
        "all relevant": (rng.integers(0, 3, items), np.full(items, 2)),
        "nothing relevant": (rng.integers(0, 3, items), np.zeros(items, int)),
        "one relevant": (rng.integers(0, 3, items), np.eye(1, items, 40, dtype=int)[0]),
        "best first": (np.arange(items) // 9, 3 - np.arange(items) // 30),
        "worst first": (np.arange(items) // 9, np.arange(items) // 30),
        "one far item": (np.where(np.arange(items) == 3, 60, 0), rng.integers(0, 2, items)),
    }
    return lists


@pytest.mark.parametrize("shape", long_lists())
@pytest.mark.parametrize("k", [1, 7, 31, 89, 90])
@over_metrics
def test_long_lists(name, shape, k):
    distances, grades = (x.tolist() for x in long_lists()[shape])
    function, definition = METRICS[name]
    problem = graded_problem(distances, grades)
    for ties in ("index", "best", "worst"):
        score = function(*problem, k=k, ties=ties)
        assert score == pytest.approx(float(definition(oracle.in_order(distances, grades, ties), k)), abs=1e-12), ties
    if name.startswith(("map ", "wap ")) and name != "map of first hits":
        kind, divisor = name.split()
        expected = oracle.expected_by_places(distances, grades, k, divisor, weighted=kind == "wap")
        assert function(*problem, k=k) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_expected_of_other_metrics_is_the_mean_over_many_orders(seed):
    """All orders of long lists are too many, but what is linear in the places needs only each place's mean item."""
    rng = np.random.default_rng(seed)
    distances, grades = rng.integers(0, 6, 80), rng.integers(0, 4, 80)
    problem = graded_problem(distances, grades)
    order = np.argsort(distances, kind="stable")

    def at_place(values):  # mean of the values at each distance, in rank order
        means = {d: values[distances == d].mean() for d in np.unique(distances)}
        return np.array([means[d] for d in distances[order]])

    for k in (1, 13, 55, 80):
        discount = 1 / np.log2(np.arange(2, k + 2))
        assert evaluation.precision_at(*problem, k) == pytest.approx(at_place(grades > 0)[:k].mean(), abs=1e-12)
        assert evaluation.acg_at(*problem, k) == pytest.approx(at_place(grades)[:k].mean(), abs=1e-12)
        gains = at_place(2.0**grades - 1)[:k] @ discount
        assert evaluation.dcg_at(*problem, k) == pytest.approx(gains, abs=1e-12)


@pytest.mark.parametrize("k", [None, 3, 20, 60])
@pytest.mark.parametrize("seed", range(4))
def test_scikit_learn_averages_ties_of_ndcg_too(seed, k):
    rng = np.random.default_rng(seed)
    distances, grades = rng.integers(0, 8, 60), rng.integers(0, 4, 60)
    problem = graded_problem(distances, grades)
    for gain, gains in (("exponential", 2.0**grades - 1), ("linear", grades)):
        expected = ndcg_score([gains], [-distances], k=k)
        assert evaluation.ndcg_at(*problem, k, gain=gain) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("ties", TIES)
def test_scikit_learn_agrees_on_average_precision_without_ties(ties):
    rng = np.random.default_rng(0)
    distances, relevance = rng.permutation(60), rng.integers(0, 2, 60)
    expected = average_precision_score(relevance, -distances)
    problem = graded_problem(distances, relevance)
    assert evaluation.mean_average_precision(*problem, ties=ties) == pytest.approx(expected, abs=1e-12)
    assert evaluation.weighted_average_precision(*problem, ties=ties) == pytest.approx(expected, abs=1e-12)


@over_metrics
@pytest.mark.parametrize("ties", TIES)
def test_many_queries_are_single_queries(random_problem, name, ties):
    queries, items, query_labels, labels = random_problem(11, queries=9, items=70, multi=True)
    function, _ = METRICS[name]
    together = function(queries, items, query_labels, labels, k=25, ties=ties)
    alone = [function(queries[[i]], items, query_labels[[i]], labels, k=25, ties=ties) for i in range(9)]
    assert together.per_query == pytest.approx([float(score) for score in alone], abs=1e-13)
    assert together == pytest.approx(np.mean(alone), abs=1e-13)


def test_an_empty_database_and_no_queries():
    codes, labels = np.zeros((4, 2), np.uint8), np.ones((4, 3), int)
    for ties in TIES:
        for function in (evaluation.ndcg_at, evaluation.weighted_average_precision):
            nothing = function(codes, codes[:0], labels, labels[:0], 3, ties=ties)
            assert (float(nothing), nothing.empty) == (0, 4)
            assert np.isnan(function(codes[:0], codes, labels[:0], labels, 3, ties=ties))
        nothing = evaluation.mean_average_precision(
            codes, codes[:0], labels, labels[:0], k=3, window="relevant", ties=ties
        )
        assert (float(nothing), nothing.empty) == (0, 4)
        ball = evaluation.mean_average_precision_within_radius(codes, codes[:0], labels, labels[:0], ties=ties)
        assert (float(ball), ball.empty) == (0, 4)
