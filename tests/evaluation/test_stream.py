"""Blocks of the database, grades as a matrix, and memory that does not grow."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

from fasthash import evaluation
from fasthash.evaluation import merge, stream


@pytest.mark.parametrize("rows", [1, 37, 150])
def test_blocks_of_the_database_change_nothing(random_problem, monkeypatch, rows):
    problem = random_problem(1, items=150, multi=True)
    exclude = np.random.default_rng(0).integers(-1, 150, 12)
    whole = [evaluation.evaluate(*problem, k=(10, 40), exclude=x) for x in (None, exclude)]
    monkeypatch.setattr(merge, "_BLOCK_ROWS", rows)
    for report, x in zip(whole, (None, exclude), strict=True):
        blocked = evaluation.evaluate(*problem, k=(10, 40), exclude=x)
        for name, score in report.scores.items():
            assert np.array_equal(blocked[name].per_query, score.per_query), name


def test_many_classes_make_smaller_blocks(random_problem, monkeypatch):
    problem = random_problem(1, items=150, multi=True)
    monkeypatch.setattr(merge, "_BLOCK_LABELS", 5 * 40)
    from fasthash.evaluation.inputs import prepare

    assert [len(layer.codes) for layer in merge.database_layers(prepare("test", *problem, None, None))] == [
        40,
        40,
        40,
        30,
    ]


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("ties", ["expected", "index", "best", "worst"])
def test_grades_as_a_matrix_are_shared_labels(random_problem, monkeypatch, ties, kind):
    queries, items, query_labels, labels = random_problem(2, items=150, multi=True)
    grades = kind(query_labels @ labels.T)
    exclude = np.random.default_rng(0).integers(-1, 150, 12)
    monkeypatch.setattr(stream, "_BLOCK_PAIRS", 200)
    for function in (
        lambda *a, **o: evaluation.ndcg_at(*a, 20, **o),
        lambda *a, **o: evaluation.acg_at(*a, 20, **o),
        lambda *a, **o: evaluation.weighted_average_precision(*a, 20, **o),
    ):
        by_labels = function(queries, items, query_labels, labels, ties=ties, exclude=exclude)
        given = function(kind(queries), kind(items), None, None, ties=ties, exclude=kind(exclude), grades=grades)
        assert given.per_query == pytest.approx(by_labels.per_query, abs=1e-14)
        assert given == pytest.approx(float(by_labels), abs=1e-14)
        assert "relevance=given" in given.convention


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"grades": np.zeros((4, 5), int)}, ValueError, r"grades: expected shape \(4, 6\), got \(4, 5\)"),
        ({"grades": np.zeros((4, 6))}, TypeError, "grades: expected whole numbers, got float64"),
        ({"grades": np.full((4, 6), 256)}, ValueError, "grades: expected 0 to 255, got 256 to 256"),
        ({"grades": np.full((4, 6), -1)}, ValueError, "grades: expected 0 to 255, got -1 to -1"),
        ({"query_labels": np.zeros(4, int)}, ValueError, "grades: expected None for both labels"),
        ({"grades": None}, TypeError, "query_labels: expected a torch tensor or a NumPy array, got NoneType"),
    ],
)
def test_bad_grades(changes, error, message):
    codes = np.zeros((6, 1), np.uint8)
    arguments = {
        "query_codes": codes[:4],
        "database_codes": codes,
        "query_labels": None,
        "database_labels": None,
        "grades": np.zeros((4, 6), int),
    }
    with pytest.raises(error, match=f"^ndcg_at: {message}"):
        evaluation.ndcg_at(**{**arguments, **changes})


def test_gains_that_no_float_can_hold():
    codes, labels = np.zeros((2, 1), np.uint8), np.ones((2, 1024), dtype=bool)
    with pytest.raises(ValueError, match="gain: expected linear where items share 1024 labels, got exponential"):
        evaluation.ndcg_at(codes[:1], codes, labels[:1], labels)
    assert evaluation.ndcg_at(codes[:1], codes, labels[:1], labels, gain="linear") == pytest.approx(1)


@pytest.mark.parametrize("ties", ["expected", "index"])
def test_memory_does_not_grow_with_the_database(ties):
    """Of what NumPy allocates, besides the inputs; the kernels keep blocks of fixed size."""
    rng = np.random.default_rng(0)
    peaks = []
    for items in (20_000, 160_000):
        codes, labels = rng.integers(0, 256, (items, 8), dtype=np.uint8), rng.integers(0, 10, items)
        arguments = codes[:200].copy(), codes, labels[:200].copy(), labels
        evaluation.mean_average_precision(*arguments, ties=ties)
        tracemalloc.start()
        evaluation.mean_average_precision(*arguments, ties=ties)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 200_000  # the database itself grew by a megabyte
