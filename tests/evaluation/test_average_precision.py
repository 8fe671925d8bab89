"""Values of mAP: brute force over tie orders, a stable sort, an outside oracle, large buckets."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from fasthash.evaluation import mean_average_precision, ties
from fasthash.evaluation.harmonic import harmonic_difference

POLICIES = ("expected", "index", "best", "worst")
DIVISORS = ("hits", "relevant", "min")


@st.composite
def short_lists(draw):
    items = draw(st.integers(1, 7))
    distances = draw(st.lists(st.integers(0, 2), min_size=items, max_size=items))
    relevance = draw(st.lists(st.integers(0, 1), min_size=items, max_size=items))
    return distances, relevance, draw(st.integers(1, items))


@settings(max_examples=80, derandomize=True)
@given(case=short_lists(), divisor=st.sampled_from(DIVISORS))
def test_expected_is_the_mean_over_all_orders(ranking, tie_orders, average_precision, case, divisor):
    distances, relevance, k = case
    orders = {order: (p, average_precision(order, k, divisor)) for order, p in tie_orders(distances, relevance).items()}
    score = mean_average_precision(*ranking(distances, relevance), k=k, divisor=divisor)
    assert score == pytest.approx(float(sum(p * value for p, value in orders.values())), abs=1e-13)
    if divisor != "hits":
        assert score.best == pytest.approx(float(max(value for _, value in orders.values())), abs=1e-13)
        assert score.worst == pytest.approx(float(min(value for _, value in orders.values())), abs=1e-13)


@pytest.mark.parametrize("seed", range(12))
def test_skip_divides_expected_ap_by_the_chance_of_a_hit(tie_orders, average_precision, seed):
    rng = np.random.default_rng(seed)
    queries, database = rng.integers(0, 2, (4, 2)) > 0, rng.integers(0, 2, (6, 2)) > 0
    query_labels, labels, k = rng.integers(0, 4, 4), rng.integers(0, 3, 6), int(rng.integers(1, 5))
    total, chance = Fraction(0), Fraction(0)
    for code, label in zip(queries, query_labels, strict=True):
        orders = tie_orders((database != code).sum(axis=1).tolist(), (labels == label).astype(int).tolist())
        total += sum(p * average_precision(order, k, "hits") for order, p in orders.items())
        chance += sum(p for order, p in orders.items() if any(order[:k]))
    score = mean_average_precision(queries, database, query_labels, labels, k=k, empty="skip")
    assert score == pytest.approx(float(total / chance) if chance else np.nan, abs=1e-13, nan_ok=True)


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("divisor", DIVISORS)
@pytest.mark.parametrize("k", [None, 1, 7, 150])
def test_index_order_is_a_stable_sort(random_problem, average_precision, multi, divisor, k):
    problem = random_problem(3, multi=multi)
    distance = np.bitwise_count(problem.query_codes[:, None] ^ problem.database_codes[None]).sum(axis=2)
    if multi:
        relevant = problem.query_labels @ problem.database_labels.T > 0
    else:
        relevant = (problem.query_labels[:, None] == problem.database_labels) & (problem.query_labels[:, None] >= 0)
    order = np.argsort(distance, axis=1, kind="stable")
    ranked = np.take_along_axis(relevant, order, axis=1)
    score = mean_average_precision(*problem, k=k, ties="index", divisor=divisor)
    assert score.per_query == pytest.approx([float(average_precision(row, k or 200, divisor)) for row in ranked])


def test_scikit_learn_agrees_without_ties(ranking):
    rng = np.random.default_rng(0)
    distances = rng.permutation(60)
    relevance = rng.integers(0, 2, 60)
    expected = average_precision_score(relevance, -distances)
    for policy in POLICIES:
        assert mean_average_precision(*ranking(distances, relevance), ties=policy) == pytest.approx(expected, abs=1e-13)


def test_a_large_cut_bucket_agrees_with_the_sum_over_every_hit_count():
    before, relevant_before, size, relevant, places = 500, 200, 40_000, 9_000, 4_500
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, size + 1)))])

    def log_choose(n, r):
        return log_factorial[n] - log_factorial[r] - log_factorial[n - r]

    x = np.arange(places + 1)
    weight = np.exp(log_choose(relevant, x) + log_choose(size - relevant, places - x) - log_choose(size, places))
    harmonic = harmonic_difference(np.array(before), np.array(places))
    closer = 123.4  # the sum over the ranks before, any number
    inside = ties.precision_sum(places, x, x, before, relevant_before, places, harmonic)
    cut = ties.CutBuckets(*(np.array([x]) for x in (size, relevant, before, relevant_before, places)))
    inverse, no_hit = ties.inverse_hits(cut)
    grades = np.array([relevant]), np.array([relevant_before])
    value = ties.expected_over_hits(cut, *grades, np.array([closer]), inverse, no_hit)
    assert value[0] == pytest.approx(
        (weight * (closer + inside) / (relevant_before + np.arange(places + 1))).sum(), rel=1e-9
    )
    assert no_hit[0] == 0
