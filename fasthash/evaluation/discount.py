"""Sums of the DCG discount 1 / log2(1 + i), without a table that grows with the database."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasthash.evaluation.harmonic import table_size

Values = NDArray[np.float64]

_EDGE = 1 << 20  # ranks summed one by one, in a table of 8 MiB at most; the expansion beyond leaves out less than 1e-20
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


@cache
def _table(size: int) -> Values:
    return np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2.0, size + 2)))])


@cache
def _knots() -> Values:
    """Integrals of the discount from rank _EDGE to _EDGE * 2^j, up to 2^48 ranks."""
    edges = _EDGE * 2.0 ** np.arange(29)
    return np.concatenate([[0.0], np.cumsum(_integral(edges[:-1], edges[1:]))])


def _integral(start: NDArray[Any], end: NDArray[Any]) -> Values:
    """Integral of the discount over each [start, end] with end <= 2 start: Gauss-Legendre, exact to rounding."""
    half = (end - start) / 2
    points = start[..., None] + half[..., None] * (1 + _NODES)
    result: Values = half * ((1 / np.log2(1 + points)) @ _WEIGHTS)
    return result


def _tail(rank: Values) -> Values:
    """End terms of the Euler-Maclaurin formula: f / 2 + f' / 12 at a rank."""
    logarithm = np.log2(1 + rank)
    result: Values = 1 / (2 * logarithm) - 1 / (12 * np.log(2) * (1 + rank) * logarithm**2)
    return result


def discount_sum(ranks: NDArray[Any]) -> Values:
    """Sum of 1 / log2(1 + i) over the first ``ranks`` ranks i = 1, 2, ...

    Args:
        ranks: non-negative integers up to 2^48, any shape.

    Returns:
        float64 of the same shape, relative error below 1e-13.

    Example:
        >>> round(float(discount_sum(np.array(3))), 12)  # 1 + 1 / log2(3) + 1 / 2
        2.130929753571
    """
    ranks = np.asarray(ranks)
    largest = int(ranks.max(initial=0))
    table: Values = _table(table_size(largest, _EDGE))[np.minimum(ranks, _EDGE)]
    if largest <= _EDGE:
        return table
    far = np.maximum(ranks, _EDGE).astype(np.float64)
    octave = np.frexp(far / _EDGE)[1] - 1
    integral = _knots()[octave] + _integral(_EDGE * 2.0**octave, far)
    result: Values = table + integral + (_tail(far) - _tail(np.array(float(_EDGE))))
    return result
