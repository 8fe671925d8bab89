"""A ranking cut into buckets of items whose order is open: what every metric by rank is computed from.

How ties are treated is a matter of how the ranking is cut. Items at equal distance are one bucket when each order of
them is as likely; the items of one grade are, when the most relevant come first or last; a single item is, in index
order. Buckets without a relevant item add to no score, so only the others are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasthash.evaluation.harmonic import harmonic_difference

Counts = NDArray[Any]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Buckets:
    """The buckets that hold a relevant item, of many queries; all fields but the first have one length.

    Attributes:
        queries: number of queries.
        query: row of the query that a bucket belongs to, int64.
        distance: in bits, int64.
        size: items in the bucket, int64.
        relevant: relevant ones, int64, at least 1.
        items_before: items that rank before the bucket, int64.
        relevant_before: relevant ones among them, int64.
        grades: sum of the grades (shared labels) in the bucket, int64; without grades, the relevant items once more.
        grades_before: sum of the grades before the bucket, int64.
        gains: sum of the gains in the bucket, float64; None without grades.
        uniform: all items of a bucket are relevant, and of one grade.
    """

    queries: int
    query: Counts
    distance: Counts
    size: Counts
    relevant: Counts
    items_before: Counts
    relevant_before: Counts
    grades: Counts
    grades_before: Counts
    gains: Values | None = None
    uniform: bool = False
    _known: dict[tuple[str, int], Any] = field(default_factory=dict, repr=False)

    def places(self, k: int | None) -> Counts:
        """Ranks of each bucket that lie among the first k; all of them for None."""
        if k is None:
            return self.size
        window: int = k
        places: Counts = self._once("places", k, lambda: np.clip(window - self.items_before, 0, self.size))
        return places

    def harmonic(self, k: int | None) -> Values:
        """The sum of 1 / rank over those places."""
        harmonic: Values = self._once("harmonic", k, lambda: harmonic_difference(self.items_before, self.places(k)))
        return harmonic

    def expected_relevant(self, k: int | None) -> Values:
        """Relevant items at those places, mean over all orders of the bucket."""
        relevant: Values = self._once("relevant", k, lambda: self.relevant * (self.places(k) / self.size))
        return relevant

    def first(self, k: int) -> Buckets:
        """The buckets that begin among the first k ranks: all that a metric of these ranks needs."""
        some: Buckets | None = self._once("first", k, lambda: self._begin_before(k))
        return self if some is None else some

    def _begin_before(self, k: int) -> Buckets | None:
        inside = self.items_before < k
        return None if inside.all() else self.where(inside)  # not self, which would hold itself in memory

    def sum(self, values: NDArray[Any]) -> Values:
        """Add the values of each query's buckets: (queries,) float64."""
        return np.bincount(self.query, values, self.queries).astype(np.float64, copy=False)

    def where(self, keep: NDArray[np.bool_]) -> Buckets:
        """The buckets that ``keep`` selects."""
        return Buckets(
            self.queries,
            self.query[keep],
            self.distance[keep],
            self.size[keep],
            self.relevant[keep],
            self.items_before[keep],
            self.relevant_before[keep],
            self.grades[keep],
            self.grades_before[keep],
            None if self.gains is None else self.gains[keep],
            self.uniform,
        )

    def _once(self, name: str, k: int | None, compute: Callable[[], Any]) -> Any:
        key = (name, -1 if k is None else k)
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]
