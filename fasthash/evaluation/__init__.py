"""Retrieval metrics of binary codes, exact under ties, each number with its convention.

Functions take query and database codes and their labels, stream counts by Hamming distance through `fasthash.ops`, and
never hold a query x database matrix. `evaluate` computes everything at once; `audit` shows what other code would print.
"""

from fasthash.evaluation.alarms import Alarm
from fasthash.evaluation.audit import Audit, AuditRow, audit
from fasthash.evaluation.average_precision import mean_average_precision, mean_average_precision_within_radius
from fasthash.evaluation.bit_statistics import BitStatistics
from fasthash.evaluation.compare import Comparison, Difference, compare
from fasthash.evaluation.conventions import CONVENTIONS, Convention
from fasthash.evaluation.curves import PrecisionRecallCurve, precision_recall_curve
from fasthash.evaluation.directions import DirectionReports, evaluate_directions
from fasthash.evaluation.evaluate import evaluate
from fasthash.evaluation.graded import acg_at, dcg_at, ndcg_at, weighted_average_precision
from fasthash.evaluation.plots import plot_bit_balance, plot_distances, plot_precision_at, plot_precision_recall
from fasthash.evaluation.precision import (
    precision_at,
    precision_within_radius,
    recall_at,
    recall_within_radius,
)
from fasthash.evaluation.report import Cost, DistanceHistogram, RetrievalReport
from fasthash.evaluation.retrieval_grid import plot_retrieval_grid
from fasthash.evaluation.score import Score

__all__ = [
    "CONVENTIONS",
    "Alarm",
    "Audit",
    "AuditRow",
    "BitStatistics",
    "Comparison",
    "Convention",
    "Cost",
    "Difference",
    "DirectionReports",
    "DistanceHistogram",
    "PrecisionRecallCurve",
    "RetrievalReport",
    "Score",
    "acg_at",
    "audit",
    "compare",
    "dcg_at",
    "evaluate",
    "evaluate_directions",
    "mean_average_precision",
    "mean_average_precision_within_radius",
    "ndcg_at",
    "plot_bit_balance",
    "plot_distances",
    "plot_precision_at",
    "plot_precision_recall",
    "plot_retrieval_grid",
    "precision_at",
    "precision_recall_curve",
    "precision_within_radius",
    "recall_at",
    "recall_within_radius",
    "weighted_average_precision",
]
