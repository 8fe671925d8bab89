"""The number that an evaluation function returns: a float that knows how it was made."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Score(float):
    """A mean over queries, with the values it came from and the convention in words.

    Behaves as the float in arithmetic, comparison, ``json`` and number formats; ``str()`` and ``repr()`` print it in
    full. The value is NaN when no query takes part (no queries at all, or all of them skipped).

    Attributes:
        per_query: (q,) float64 NumPy array, the value of each query; NaN for a query that ``empty="skip"`` left out.
        empty: the number of queries whose divisor is 0 (no hit, no relevant item, or an empty ball).
        convention: the metric and every choice behind it, for example
            ``mAP@5000[divisor=hits, ties=expected, empty=zero, relevance=share]``.
        best: the same metric with the relevant items first in each tie, or None where it was not computed.
        worst: the same with the relevant items last, or None.
        weights: (q,) float64, the part that each query has in the mean: 1, or under "skip" the probability that its
            divisor is not 0.

    Example:
        >>> score = Score(0.75, np.array([1.0, 0.5]), 0, "P@2[ties=expected, relevance=share]")
        >>> score
        P@2[ties=expected, relevance=share] = 0.7500 (0 of 2 queries empty)
        >>> f"{score:.2f}", score > 0.5
        ('0.75', True)
    """

    __slots__ = ("best", "convention", "empty", "per_query", "weights", "worst")

    per_query: NDArray[np.float64]
    empty: int
    convention: str
    best: float | None
    worst: float | None
    weights: NDArray[np.float64]

    def __new__(
        cls,
        value: float,
        per_query: NDArray[np.float64],
        empty: int,
        convention: str,
        best: float | None = None,
        worst: float | None = None,
        weights: NDArray[np.float64] | None = None,
    ) -> Score:
        """Make the float and attach its provenance."""
        self = super().__new__(cls, value)
        self.per_query = per_query
        self.empty = empty
        self.convention = convention
        self.best = best
        self.worst = worst
        self.weights = np.ones(len(per_query)) if weights is None else weights
        return self

    @property
    def empty_share(self) -> float:
        """``empty`` as a share of all queries; NaN without queries."""
        return self.empty / len(self.per_query) if len(self.per_query) else float("nan")

    def __str__(self) -> str:
        notes = f"{self.empty} of {len(self.per_query)} queries empty"
        if self.best is not None and self.worst is not None:
            notes = f"best {self.best:.4f}, worst {self.worst:.4f}; {notes}"
        return f"{self.convention} = {float(self):.4f} ({notes})"

    __repr__ = __str__

    def __getnewargs__(self) -> tuple[Any, ...]:  # copy and pickle call __new__ with these
        return float(self), self.per_query, self.empty, self.convention, self.best, self.worst, self.weights


def average(values: NDArray[np.float64], weights: NDArray[np.float64], empty: str) -> float:
    """Mean over queries: all of them for ``empty="zero"``; sum(values) / sum(weights) for "skip". NaN over nothing.

    Args:
        values: (q,) float64, 0 where the weight is 0.
        weights: (q,) float64, the probability that the query is not empty (0 or 1 unless ties decide it).
        empty: "zero" or "skip".
    """
    total = float(len(values)) if empty == "zero" else float(weights.sum())
    return float(values.sum()) / total if total > 0 else float("nan")


def summarise(values: NDArray[np.float64], weights: NDArray[np.float64], empty: str, convention: str) -> Score:
    """The Score of per-query values and weights (both (q,) float64, see `average`)."""
    is_empty = weights == 0
    per_query = np.where(is_empty, np.nan, values) if empty == "skip" else values
    shares = weights if empty == "skip" else np.ones(len(values))
    return Score(average(values, weights, empty), per_query, int(is_empty.sum()), convention, weights=shares)
