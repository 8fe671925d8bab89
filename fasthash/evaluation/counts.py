"""Counts by distance of a block of queries, and the buckets that they make: all that most metrics see of the data."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from fasthash.evaluation.buckets import Buckets

Whole = NDArray[np.int64]
Values = NDArray[np.float64]
Cut = Literal["expected", "best", "worst"]
T = TypeVar("T")


class Counts:
    """How many items lie at each distance from a block of queries.

    Attributes:
        rows: the block, as a slice of the queries.
        size: (q, bits + 1) items at each distance, int64.
        relevant: (q, bits + 1) relevant items at each distance, int64.
        by_grade: (q, bits + 1, G) items at each distance of each grade, int64, or None; grade 0 is irrelevant.
        gains: (G,) gain of each grade, float64, or None.
        weight: (q,) how many queries each row stands for, int64.
    """

    def __init__(
        self, rows: slice, size: Whole, relevant: Whole, by_grade: Whole | None = None, gains: Values | None = None
    ) -> None:
        self.rows = rows
        self.size = size
        self.relevant = relevant
        self.by_grade = by_grade
        self.gains = gains
        self.weight = np.ones(len(size), dtype=np.int64)
        self._known: dict[Any, Any] = {}

    @cached_property
    def items(self) -> Whole:
        """(q,) items that each query meets."""
        items: Whole = self.size.sum(axis=1)
        return items

    @cached_property
    def all_relevant(self) -> Whole:
        """(q,) relevant ones among them."""
        relevant: Whole = self.relevant.sum(axis=1)
        return relevant

    @cached_property
    def items_of_grade(self) -> Whole:
        """(q, G) items of each grade at all distances; only with grades."""
        assert self.by_grade is not None
        items: Whole = self.by_grade.sum(axis=1)
        return items

    @cached_property
    def items_before(self) -> Whole:
        """(q, bits + 1) items at smaller distances."""
        return np.cumsum(self.size, axis=1) - self.size

    def buckets(self, cut: Cut) -> Buckets:
        """The ranking of each query: by distance, and within a distance in "expected", "best" or "worst" order."""
        by_grade = self.by_grade
        if by_grade is None or cut == "expected":
            return self.once(cut, lambda: self._by_distance(cut))
        return self.once(cut, lambda: self._split_by_grade(by_grade, best=cut == "best"))

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """What was computed under this key before, or is now: several metrics need it."""
        if key not in self._known:
            self._known[key] = compute()
        result: T = self._known[key]
        return result

    @cached_property
    def _occupied(self) -> tuple[Whole, ...]:
        """Of distances with a relevant item: place in the flat arrays, query, distance, size, relevant, both before."""
        place = np.flatnonzero(self.relevant)
        relevant_before = np.cumsum(self.relevant, axis=1) - self.relevant
        fields = (self.size, self.relevant, self.items_before, relevant_before)
        return (place, *np.divmod(place, self.size.shape[1]), *(field.ravel()[place] for field in fields))

    def _by_distance(self, cut: Cut) -> Buckets:
        place, query, distance, size, relevant, items_before, relevant_before = self._occupied
        if cut != "expected":  # there is one grade above 0, so the relevant items are a bucket, first or last
            items_before = items_before if cut == "best" else items_before + size - relevant
            size = relevant
        ranks = (query, distance, size, relevant, items_before, relevant_before)
        if self.by_grade is None:
            return Buckets(len(self.size), *ranks, relevant, relevant_before, uniform=cut != "expected")
        grades = self.by_grade @ np.arange(self.by_grade.shape[2])
        grades_before = np.cumsum(grades, axis=1) - grades
        gains = None if self.gains is None else (self.by_grade @ self.gains).ravel()[place]
        return Buckets(len(self.size), *ranks, grades.ravel()[place], grades_before.ravel()[place], gains)

    def _split_by_grade(self, by_grade: Whole, best: bool) -> Buckets:
        """Each grade of a distance is a bucket: from the highest down, or irrelevant items first and then up."""
        grade = np.arange(1, by_grade.shape[2])
        if best:
            grade = grade[::-1]
        size = by_grade[..., grade]
        query, distance, column = np.nonzero(size)

        def before(x: Whole) -> Whole:  # at smaller distances, and in earlier buckets of this one
            flat = x.reshape(len(x), -1)
            sums: Whole = (np.cumsum(flat, axis=1) - flat).reshape(x.shape)
            return sums[query, distance, column]

        others = by_grade[..., 0]
        others_before = np.cumsum(others, axis=1) - (others if best else 0)
        relevant, relevant_before = size[query, distance, column], before(size)
        return Buckets(
            len(size),
            query,
            distance,
            size=relevant,
            relevant=relevant,
            items_before=relevant_before + others_before[query, distance],
            relevant_before=relevant_before,
            grades=relevant * grade[column],
            grades_before=before(size * grade),
            gains=None if self.gains is None else relevant * self.gains[grade[column]],
            uniform=True,
        )
