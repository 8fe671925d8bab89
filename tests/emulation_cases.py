"""Inputs and comparisons for the tests of the emulated kernels."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def equal(got: Any, expected: Any) -> None:
    """The same values, dtypes and shapes; tuples of arrays one by one."""
    if isinstance(expected, tuple):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            equal(one, other)
        return
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


def filters(queries: int, rows: int, seed: int = 0) -> dict[str, Array]:
    """A mask that keeps two thirds, and one row to leave out for most queries."""
    random = np.random.default_rng([seed, queries, rows])
    return {"mask": random.random(rows) < 0.67, "exclude": random.integers(-1, rows, queries)}


def labels(kind: str, queries: int, rows: int) -> tuple[Array, Array]:
    """Class ids with some -1, or multi-hot rows with some empty."""
    random = np.random.default_rng([queries, rows])
    if kind == "ids":
        return random.integers(-1, 3, queries), random.integers(-1, 3, rows)
    classes = int(kind.removeprefix("sets"))
    share = min(0.3, 4 / classes)
    return random.random((queries, classes)) < share, random.random((rows, classes)) < share


def check_average_precision(kernels: Any, reference: ModuleType, *arguments: Array, **options: Any) -> None:
    """Counts are exact; the sum of fractions may differ in its last digits."""
    sums, hits, relevant = kernels.average_precision_counts(*arguments, **options)
    expected_sums, expected_hits, expected_relevant = reference.average_precision_counts(*arguments, **options)
    equal((hits, relevant), (expected_hits, expected_relevant))
    np.testing.assert_allclose(sums, expected_sums, rtol=1e-13, atol=0)
