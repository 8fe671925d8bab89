"""Retrieval metrics of binary codes, exact under ties, each number with its convention.

Functions take query and database codes and their labels, stream counts by Hamming distance through `fasthash.ops`, and
never hold a query x database matrix.
"""

from fasthash.evaluation.average_precision import mean_average_precision, mean_average_precision_within_radius
from fasthash.evaluation.curves import PrecisionRecallCurve, precision_recall_curve
from fasthash.evaluation.graded import acg_at, dcg_at, ndcg_at, weighted_average_precision
from fasthash.evaluation.plots import plot_precision_recall, plot_retrieval_grid
from fasthash.evaluation.precision import (
    precision_at,
    precision_within_radius,
    recall_at,
    recall_within_radius,
)
from fasthash.evaluation.score import Score

__all__ = [
    "PrecisionRecallCurve",
    "Score",
    "acg_at",
    "dcg_at",
    "mean_average_precision",
    "mean_average_precision_within_radius",
    "ndcg_at",
    "plot_precision_recall",
    "plot_retrieval_grid",
    "precision_at",
    "precision_recall_curve",
    "precision_within_radius",
    "recall_at",
    "recall_within_radius",
    "weighted_average_precision",
]
