"""Differences of harmonic numbers H(m) = 1 + 1/2 + ... + 1/m, without a table that grows with the database."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Below this the sums are looked up; from here on the first term that the expansion leaves out, 1 / (252 m^6),
# changes a difference by less than one part in 10^16.
_EDGE = 256
_TABLE = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, _EDGE + 1))])


def _correction(m: NDArray[np.float64]) -> NDArray[np.float64]:
    """H(m) - ln(m) - Euler's constant, by the Euler-Maclaurin expansion."""
    inverse = 1 / m
    square = inverse * inverse
    result: NDArray[np.float64] = inverse / 2 - square * (1 / 12 - square / 120)
    return result


def harmonic_difference(start: NDArray[Any], count: NDArray[Any]) -> NDArray[np.float64]:
    """H(start + count) - H(start) = the sum of 1 / i over the ``count`` ranks i after ``start``.

    Args:
        start: non-negative integers, any shape.
        count: non-negative integers that broadcast with ``start``.

    Returns:
        float64, relative error below 1e-12 at any size.

    Example:
        >>> float(harmonic_difference(np.array(1), np.array(2)))  # 1/2 + 1/3
        0.8333333333333333
    """
    end = start + count
    table = _TABLE[np.minimum(end, _EDGE)] - _TABLE[np.minimum(start, _EDGE)]
    first = np.maximum(start, _EDGE).astype(np.float64)
    last = np.maximum(end, _EDGE).astype(np.float64)
    result: NDArray[np.float64] = table + np.log1p((last - first) / first) + (_correction(last) - _correction(first))
    return result
