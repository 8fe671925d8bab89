"""Each refusal names the function, the argument, what was expected and what came."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fasthash.evaluation import (
    acg_at,
    audit,
    dcg_at,
    evaluate,
    mean_average_precision,
    mean_average_precision_within_radius,
    ndcg_at,
    precision_at,
    precision_recall_curve,
    precision_within_radius,
    recall_at,
    recall_within_radius,
    weighted_average_precision,
)

FUNCTIONS = {
    "mean_average_precision": mean_average_precision,
    "precision_at": lambda *a, **o: precision_at(*a, **{"k": 1, **o}),
    "recall_at": lambda *a, **o: recall_at(*a, **{"k": 1, **o}),
    "precision_within_radius": precision_within_radius,
    "recall_within_radius": recall_within_radius,
    "mean_average_precision_within_radius": mean_average_precision_within_radius,
    "precision_recall_curve": precision_recall_curve,
    "ndcg_at": ndcg_at,
    "dcg_at": dcg_at,
    "acg_at": lambda *a, **o: acg_at(*a, **{"k": 1, **o}),
    "weighted_average_precision": weighted_average_precision,
    "evaluate": evaluate,
    "audit": audit,
}


def arguments(**changes):
    base = {
        "query_codes": np.zeros((2, 2), np.uint8),
        "database_codes": np.zeros((4, 2), np.uint8),
        "query_labels": np.zeros(2, int),
        "database_labels": np.zeros(4, int),
    }
    return {**base, **changes}


BAD_INPUTS = [
    (TypeError, "query_codes: expected a torch tensor or a NumPy array, got list", {"query_codes": [[0, 0]] * 2}),
    (TypeError, "torch tensors only or NumPy arrays only", {"query_codes": torch.zeros((2, 2), dtype=torch.uint8)}),
    (TypeError, "database_codes: expected packed uint8", {"database_codes": np.zeros((4, 2), np.uint16)}),
    (TypeError, "database_codes: expected packed uint8", {"database_codes": np.zeros((4, 16), complex)}),
    (ValueError, r"query_codes: expected shape \(rows, bytes or bits\), got \(2,\)", {"query_codes": np.zeros(2)}),
    (ValueError, "database_codes: expected 2 bytes a code", {"database_codes": np.zeros((4, 3), np.uint8)}),
    (ValueError, "query_codes: expected 1 bytes a code for bits=8, got 2", {"bits": 8}),
    (ValueError, "query_codes: expected zeros in the 4 spare", {"bits": 12, "query_codes": np.ones((2, 2), np.uint8)}),
    (ValueError, "bits: expected at least 1, got 0", {"bits": 0}),
    (TypeError, "bits: expected a whole number, got float", {"bits": 16.0}),
    (ValueError, "database_codes: expected 16 columns", {"database_codes": np.zeros((4, 12)), "bits": 16}),
    (ValueError, "query_codes: expected finite values, got NaN", {"query_codes": np.full((2, 16), np.nan)}),
    (ValueError, "query_codes: expected finite values, got NaN", {"query_codes": np.full((2, 16), np.inf)}),
    (ValueError, "from_sentence_transformers", {"query_codes": np.full((2, 16), -128, np.int8)}),
    (ValueError, "query_labels: expected 2 rows, one a code, got 3", {"query_labels": np.zeros(3, int)}),
    (ValueError, "database_labels: expected 4 rows, one a code, got 2", {"database_labels": np.zeros(2, int)}),
    (TypeError, "query_labels: expected integer class ids", {"query_labels": np.zeros(2)}),
    (TypeError, "query_labels: expected a torch tensor or a NumPy array, got list", {"query_labels": [0, 1]}),
    (ValueError, "database_labels: expected the form of query_labels", {"database_labels": np.zeros((4, 3), int)}),
    (ValueError, "query_labels: expected shape", {"query_labels": np.zeros((2, 1, 1), int)}),
    (ValueError, "query_labels: expected finite values", {"query_labels": np.full((2, 3), np.nan)}),
    (TypeError, "query_labels: expected a bool, int or float", {"query_labels": np.zeros((2, 3), complex)}),
    (ValueError, "query_labels: expected 0 or 1 in the one multi-hot column", {"query_labels": np.array([[1], [7]])}),
    (ValueError, "exclude: expected one of auto, got 'self'", {"exclude": "self"}),
    (ValueError, r"exclude: expected shape \(2,\), got \(4,\)", {"exclude": np.zeros(4, int)}),
    (ValueError, "exclude: expected -1 or a row of the 4 database codes, got 0 to 4", {"exclude": np.array([0, 4])}),
    (ValueError, "exclude: expected -1 or a row of the 4 database codes, got -2 to 0", {"exclude": np.array([0, -2])}),
    (TypeError, "exclude: expected int64, got int32", {"exclude": np.array([0, 1], dtype=np.int32)}),
    (ValueError, "query_labels: expected class ids from -1 .none. up, got -2", {"query_labels": np.array([0, -2])}),
]  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("error", "message", "changes"), BAD_INPUTS, ids=range(len(BAD_INPUTS)))
def test_bad_inputs(name, error, message, changes):
    with pytest.raises(error, match=message) as caught:
        FUNCTIONS[name](**arguments(**changes))
    assert str(caught.value).startswith(f"{name}: ")


BAD_OPTIONS = [
    ("mean_average_precision", ValueError, "k: expected at least 1, got 0", {"k": 0}),
    ("mean_average_precision", ValueError, "k: expected at least 1, got -1", {"k": -1}),
    ("mean_average_precision", TypeError, "k: expected a whole number, got float", {"k": 5.0}),
    ("mean_average_precision", TypeError, "k: expected a whole number, got bool", {"k": True}),
    ("mean_average_precision", ValueError, "ties: expected one of .* got 'random'", {"ties": "random"}),
    ("mean_average_precision", ValueError, "divisor: expected one of .* got 'r'", {"divisor": "r"}),
    ("mean_average_precision", ValueError, "empty: expected one of .* got 'drop'", {"empty": "drop"}),
    ("precision_at", ValueError, "k: expected at least 1, got 0", {"k": 0}),
    ("precision_at", ValueError, "k: expected at most 4, the items that a query may meet, got 5", {"k": 5}),
    ("recall_at", ValueError, "k: expected at most 3", {"k": 4, "exclude": np.array([0, -1])}),
    ("recall_at", ValueError, "empty: expected one of", {"empty": "drop"}),
    ("precision_within_radius", ValueError, "radius: expected at least 0, got -1", {"radius": -1}),
    ("recall_within_radius", TypeError, "radius: expected a whole number", {"radius": 2.5}),
    ("precision_within_radius", ValueError, "empty: expected one of", {"empty": "drop"}),
    ("precision_recall_curve", ValueError, "average: expected one of macro, micro, got 'mean'", {"average": "mean"}),
    ("precision_recall_curve", ValueError, "empty: expected one of", {"empty": "drop"}),
    ("precision_recall_curve", ValueError, "by: expected one of radius, rank, got 'k'", {"by": "k"}),
    ("precision_recall_curve", ValueError, "points: expected None with by=radius", {"points": (1,)}),
    ("precision_recall_curve", ValueError, "points: expected at most 4", {"by": "rank", "points": (1, 5)}),
    ("precision_recall_curve", ValueError, "points: expected at least 1, got 0", {"by": "rank", "points": (0, 1)}),
    ("precision_recall_curve", ValueError, "points: expected ascending", {"by": "rank", "points": (2, 2)}),
    ("precision_recall_curve", ValueError, "ties: expected one of", {"ties": "none"}),
    ("mean_average_precision", ValueError, "window: expected one of ranks, relevant", {"window": "k"}),
    ("mean_average_precision", ValueError, "relevance: expected one of share, identical", {"relevance": "graded"}),
    (
        "mean_average_precision",
        ValueError,
        "divisor: expected hits or min, which agree, with window=relevant, got 'relevant'",
        {"window": "relevant", "divisor": "relevant", "k": 1},
    ),
    ("mean_average_precision_within_radius", ValueError, "radius: expected at least 0", {"radius": -1}),
    ("mean_average_precision_within_radius", ValueError, "ties: expected one of", {"ties": "none"}),
    ("precision_at", ValueError, "ties: expected one of", {"ties": "none"}),
    ("ndcg_at", ValueError, "gain: expected one of exponential, linear, got 'log'", {"gain": "log"}),
    ("ndcg_at", ValueError, "k: expected at least 1, got 0", {"k": 0}),
    ("dcg_at", ValueError, "ties: expected one of", {"ties": "none"}),
    ("acg_at", ValueError, "k: expected at most 4, the items that a query may meet, got 5", {"k": 5}),
    ("weighted_average_precision", ValueError, "divisor: expected one of", {"divisor": "all"}),
    ("weighted_average_precision", ValueError, "empty: expected one of", {"empty": "drop"}),
]


@pytest.mark.parametrize(("name", "error", "message", "changes"), BAD_OPTIONS)
def test_bad_options(name, error, message, changes):
    with pytest.raises(error, match=f"^{name}: {message}"):
        FUNCTIONS[name](**arguments(**changes))


def test_codes_with_a_gradient_are_refused():
    codes, labels = torch.randn(4, 8, requires_grad=True), torch.zeros(4, dtype=torch.int64)
    with pytest.raises(RuntimeError, match="not differentiable"):
        mean_average_precision(codes, codes, labels, labels)
    assert mean_average_precision(codes.detach(), codes.detach(), labels, labels) == pytest.approx(1)
