"""Index order is a stable sort by distance: for any chunks, blocks, k and self-exclusion, and every metric by rank."""

from __future__ import annotations

import metric_oracles as oracle
import numpy as np
import pytest

from fasthash import evaluation, ops
from fasthash.evaluation import ranks, stream

KS = (1, 13, 60, 119)


def ranked_grades(problem, exclude):
    """For each query the distances and the grades of its items, in index order."""
    queries, items, query_labels, labels = problem
    distances = ops.hamming_distance(queries, items)
    grades = query_labels @ labels.T
    for i in range(len(queries)):
        keep = np.arange(len(items)) != (exclude[i] if exclude is not None else -1)
        yield distances[i, keep].tolist(), grades[i, keep].tolist()


METRICS = {
    "wap": (
        lambda *a, k, **o: evaluation.weighted_average_precision(*a, k, **o),
        lambda g, k: oracle.weighted_average_precision(g, k, "hits"),
    ),
    "ndcg": (lambda *a, k, **o: evaluation.ndcg_at(*a, k, **o), lambda g, k: oracle.ndcg(g, k, "exponential")),
    "acg": (lambda *a, k, **o: evaluation.acg_at(*a, k, **o), oracle.cumulative_gain),
    "first hits": (
        lambda *a, k, **o: evaluation.mean_average_precision(*a, k=k, window="relevant", **o),
        oracle.first_hits_precision,
    ),
    "map": (
        lambda *a, k, **o: evaluation.mean_average_precision(*a, k=k, **o),
        lambda g, k: oracle.average_precision(g, k, "hits"),
    ),
}


@pytest.mark.parametrize("pairs", [1 << 20, 900, 64, 7])
@pytest.mark.parametrize("excluded", [False, True])
@pytest.mark.parametrize("name", METRICS)
def test_every_metric_by_rank(random_problem, monkeypatch, name, excluded, pairs):
    """``pairs`` sets how many items a chunk has: all 120, 75, 5 or 1."""
    monkeypatch.setattr(ranks, "_BLOCK_PAIRS", pairs)
    monkeypatch.setattr(ranks, "_FEWEST_QUERIES", 5)
    problem = random_problem(3, queries=12, items=120, multi=True)
    exclude = np.random.default_rng(1).integers(-1, 120, 12) if excluded else None
    function, definition = METRICS[name]
    lists = list(ranked_grades(problem, exclude))
    for k in KS:
        score = function(*problem, k=k, ties="index", exclude=exclude)
        expected = [float(definition(oracle.in_order(d, g, "index"), k)) for d, g in lists]
        assert score.per_query == pytest.approx(expected, abs=1e-12), k


@pytest.mark.parametrize("pairs", [1 << 20, 64])
def test_the_ball_and_the_curve_by_rank(random_problem, monkeypatch, pairs):
    monkeypatch.setattr(ranks, "_BLOCK_PAIRS", pairs)
    problem = random_problem(4, queries=12, items=120, multi=True)
    lists = list(ranked_grades(problem, None))
    for radius in (0, 4, 7, 16):
        score = evaluation.mean_average_precision_within_radius(*problem, radius, ties="index")
        inside = [sum(d <= radius for d in distances) for distances, _ in lists]
        expected = [
            float(oracle.average_precision(oracle.in_order(d, g, "index"), n, "hits"))
            for (d, g), n in zip(lists, inside, strict=True)
        ]
        assert score.per_query == pytest.approx(expected, abs=1e-12)
    points = (1, 5, 60, 120)
    for ties in ("index", "best", "worst"):
        curve = evaluation.precision_recall_curve(*problem, by="rank", points=points, ties=ties)
        ranked = [oracle.in_order(d, g, ties) for d, g in lists]
        for n, precision, recall in zip(points, curve.precision, curve.recall, strict=True):
            assert precision == pytest.approx(np.mean([float(oracle.precision(g, n)) for g in ranked]))
            assert recall == pytest.approx(np.mean([float(oracle.recall(g, n)) for g in ranked]))
        assert curve.convention == f"PR by rank[average=macro, ties={ties}, empty=zero, relevance=share]"


@pytest.mark.parametrize("multi", [False, True])
def test_real_scores_order_equal_distances(random_problem, average_precision, multi):
    """Convention G, by a plain sort of (distance, score, index)."""
    queries, items, query_labels, labels = random_problem(5, queries=10, items=90, multi=multi)
    rng = np.random.default_rng(0)
    features = rng.integers(-2, 3, (10, 3)).astype(np.float32), rng.integers(-2, 3, (90, 3)).astype(np.float32)
    exclude = rng.integers(-1, 90, 10)
    distances, scores = ops.hamming_distance(queries, items), features[0] @ features[1].T
    relevant = (
        query_labels @ labels.T > 0 if multi else (query_labels[:, None] == labels) & (query_labels[:, None] >= 0)
    )
    for k in (None, 1, 20, 89):
        expected = []
        for i in range(10):
            order = sorted(set(range(90)) - {exclude[i]}, key=lambda j, i=i: (distances[i, j], -scores[i, j], j))
            expected.append(float(average_precision(relevant[i, order], k or 90, "hits")))
        score = evaluation.mean_average_precision(
            queries, items, query_labels, labels, k=k, rerank=features, exclude=exclude
        )
        assert score.per_query == pytest.approx(expected, abs=1e-12)
        assert "ties=rerank" in score.convention
        assert score.best is None


@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        (np.zeros((4, 2)), TypeError, "rerank: expected a pair"),
        ((np.zeros((4, 2)), [[0.0]]), TypeError, r"rerank\[1\]: expected a torch tensor or a NumPy array, got list"),
        ((np.zeros((4, 2)), np.zeros((6, 3))), ValueError, r"rerank: expected shapes \(4, d\) and \(6, d\)"),
        ((np.zeros((4, 2)), np.zeros((5, 2))), ValueError, r"got \(4, 2\) and \(5, 2\)"),
    ],
)
def test_features_that_do_not_fit_are_refused(features, error, message):
    codes, labels = np.zeros((6, 1), np.uint8), np.zeros(6, int)
    with pytest.raises(error, match=f"^mean_average_precision: .*{message}"):
        evaluation.mean_average_precision(codes[:4], codes, labels[:4], labels, rerank=features)


def test_blocks_of_queries_and_rows_change_nothing(random_problem, monkeypatch):
    problem = random_problem(6, queries=23, items=150, multi=True)
    exclude = np.random.default_rng(2).integers(-1, 150, 23)
    whole = evaluation.weighted_average_precision(*problem, 30, ties="index", exclude=exclude)
    monkeypatch.setattr(stream, "_BLOCK_GRADES", 4 * 17 * 6)
    assert evaluation.weighted_average_precision(
        *problem, 30, ties="index", exclude=exclude
    ).per_query == pytest.approx(whole.per_query, abs=1e-14)
