"""Exact sums over the ranks of a bucket whose order is open: the mean over all its orders.

A Hamming distance takes few values, so items come in *buckets* of equal distance. The formulas below need only counts
of each bucket: no sort, no query x database matrix. The idea is McSherry & Najork, "Computing information retrieval
performance measures efficiently in the presence of tied scores" (ECIR 2008).

Names: a bucket holds ``size`` items of which ``relevant`` are relevant, with ``grades`` in sum; ``items_before``,
``relevant_before`` and ``grades_before`` count what ranks before it; ``places`` of its ranks lie inside the window. For
plain relevance the grades are the relevant items themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fasthash.evaluation.harmonic import harmonic_difference

Counts = NDArray[Any]
Values = NDArray[np.float64]

_MAX_TERMS = 1 << 17  # entries of one (query, hits) table of `expected_over_hits`: 1 MiB each


def precision_sum(
    size: Counts,
    relevant: Counts,
    grades: Counts,
    items_before: Counts,
    grades_before: Counts,
    places: Counts,
    harmonic: Values,
) -> Values:
    """Sum of (grades so far) / rank over the relevant ranks inside the window, mean over all orders of the bucket.

    Place i is relevant with probability r/n; its own grade is s/r on average, and (i-1)(r-1)/(n-1) relevant items of
    that average precede it in the bucket. ``harmonic`` is the sum of 1 / rank over the places. With grades = relevant
    this is what average precision adds up.
    """
    share = relevant / size
    slope = grades / size * ((relevant - 1) / np.maximum(size - 1, 1))
    result: Values = slope * places + (share * grades_before + grades / size - slope * (items_before + 1)) * harmonic
    return result


def ordered_precision_sum(
    grade: Counts | int, items_before: Counts, grades_before: Counts, places: Counts, harmonic: Values
) -> Values:
    """`precision_sum` of a bucket whose items are all relevant, with the same ``grade`` each: no order matters."""
    result: Values = grade * places + (grades_before - grade * items_before) * harmonic
    return result


def divide(numerator: NDArray[Any], denominator: NDArray[Any]) -> Values:
    """Quotient with x / 0 = 0."""
    result: Values = np.divide(
        numerator, denominator, out=np.zeros(np.broadcast(numerator, denominator).shape), where=denominator > 0
    )
    return result


class CutBuckets(NamedTuple):
    """The bucket that the window cuts, of several queries; all fields int64 of one length, the buckets not empty."""

    size: Counts
    relevant: Counts
    grades: Counts
    items_before: Counts
    relevant_before: Counts
    grades_before: Counts
    places: Counts


def expected_over_hits(cut: CutBuckets, sums: Values) -> tuple[Values, Values]:
    """Expected AP when the divisor is the number of hits inside the window, itself a matter of tie order.

    Only the bucket that the window cuts is random. With T the sum over the ranks before it and P hypergeometric,

        E[AP] = sum over x of P(x) * (T + f(x)) / (relevant_before + x),

    where f(x) is `precision_sum` of a bucket of ``places`` items, x of them relevant.

    Args:
        cut: the cut bucket of m queries.
        sums: (m,) their T.

    Returns:
        (m,) expected AP, and (m,) probability of at least one hit.
    """
    values, chance = np.zeros(len(sums)), np.zeros(len(sums))
    for rows in _table_parts(cut):
        values[rows], chance[rows] = _over_hits(CutBuckets(*(field[rows] for field in cut)), sums[rows])
    return values, chance


def _fewest(b: CutBuckets) -> Counts:
    fewest: Counts = np.maximum(b.places - (b.size - b.relevant), 0)
    return fewest


def _most(b: CutBuckets) -> Counts:
    most: Counts = np.minimum(b.places, b.relevant)
    return most


def _reach(b: CutBuckets) -> Counts:
    """Distance from the mean beyond which hit counts weigh less than 1e-17.

    For c the smaller of Hoeffding's bound, 2 exp(-2 c^2 / m), and Bernstein's, 2 exp(-c^2 / (2 v + 2 c / 3)), both of
    which hold for draws without replacement.
    """
    exponent = 40.0  # of 4e-18, on either side
    variance = b.places * (b.relevant / b.size) * (1 - b.relevant / b.size)
    bernstein = exponent / 3 + np.sqrt((exponent / 3) ** 2 + 2 * exponent * variance)
    reach: Counts = np.ceil(np.minimum(bernstein, np.sqrt(exponent / 2 * _most(b)))).astype(np.int64)
    return reach


def _table_parts(b: CutBuckets) -> Iterator[slice]:
    """Rows that go together, so that each table of `_over_hits` stays small."""
    if len(b.size):
        rows = max(1, _MAX_TERMS // int(2 * _reach(b).max() + 3))
        for start in range(0, len(b.size), rows):
            yield slice(start, start + rows)


def _over_hits(b: CutBuckets, sums: Values) -> tuple[Values, Values]:
    mean = b.places * (b.relevant / b.size)
    reach = _reach(b)
    low = np.maximum(_fewest(b), np.floor(mean).astype(np.int64) - reach)[:, None]
    high = np.minimum(_most(b), np.ceil(mean).astype(np.int64) + reach)[:, None]
    hits = low + np.arange(int((high - low).max()) + 1)
    valid = hits <= high
    size, relevant, grades, items_before, relevant_before, grades_before, places = (field[:, None] for field in b)

    # P(x) / P(x - 1) in logarithms, summed along x and scaled to 1: no factorials, so nothing overflows or cancels.
    rising = valid & (hits > low)
    up = np.where(rising, (relevant - hits + 1.0) * (places - hits + 1.0), 1.0)
    down = np.where(rising, hits * (size - relevant - places + hits + 0.0), 1.0)
    log_weight = np.where(valid, np.cumsum(np.log(up / down), axis=1), -np.inf)
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)

    harmonic = harmonic_difference(items_before, places)
    inside = precision_sum(places, hits, hits * (grades / relevant), items_before, grades_before, places, harmonic)
    terms = weight * divide(sums[:, None] + inside, relevant_before + hits)
    no_hit = np.where((low[:, 0] == 0) & (b.relevant_before == 0), weight[:, 0], 0.0)
    return terms.sum(axis=1), 1.0 - no_hit
