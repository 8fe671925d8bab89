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

_MAX_TERMS = 1 << 16  # entries of one (query, hits) table of `inverse_hits`: 512 KiB each


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
    """The bucket that the window cuts, of several queries; all fields of one length, the buckets not empty."""

    size: Counts
    relevant: Counts
    items_before: Counts
    relevant_before: Counts
    places: Counts


def expected_over_hits(
    cut: CutBuckets, grades: Counts, grades_before: Counts, sums: Values, inverse: Values, no_hit: Values
) -> Values:
    """Expected AP when the divisor is the number of hits inside the window, itself a matter of tie order.

    Only the bucket that the window cuts is random. With T the sum over the ranks before it and P hypergeometric,

        E[AP] = sum over x of P(x) * (T + f(x)) / (relevant_before + x),    terms over 0 are 0,

    where f(x) is `precision_sum` of a bucket of ``places`` items, x of them relevant: A x + B x (x - 1). Division of
    that polynomial leaves the mean of x, known, and the mean of 1 / (relevant_before + x), of `inverse_hits`.

    Args:
        cut: the cut bucket of m queries.
        grades: (m,) sum of its grades; without grades, its relevant items.
        grades_before: (m,) likewise before it.
        sums: (m,) their T.
        inverse: (m,) from `inverse_hits`.
        no_hit: (m,) from `inverse_hits`.

    Returns:
        (m,) expected AP.
    """
    n, before = cut.places, cut.relevant_before
    each = grades / cut.relevant
    harmonic = harmonic_difference(cut.items_before, n)
    a = (grades_before + each) * harmonic / n
    b = each * (n - (cut.items_before + 1) * harmonic) / (n * np.maximum(n - 1, 1))
    c = a - b - b * before
    mean_hits = n * (cut.relevant / cut.size)
    result: Values = b * mean_hits + c * (1 - no_hit) + (sums - before * c) * inverse
    return result


def inverse_hits(cut: CutBuckets) -> tuple[Values, Values]:
    """Over all orders, the mean of 1 / (hits inside the window), and the chance that there is no hit: (m,) each.

    The relevant items before the bucket are hits; without any hit, 1 / 0 counts as 0.
    """
    inverse, no_hit = np.zeros(len(cut.size)), np.zeros(len(cut.size))
    for rows in _table_parts(cut):
        inverse[rows], no_hit[rows] = _inverse_hits(CutBuckets(*(field[rows] for field in cut)))
    return inverse, no_hit


def _reach(b: CutBuckets) -> Counts:
    """Distance from the mean beyond which hit counts weigh less than 1e-15.

    For c the smaller of Hoeffding's bound, 2 exp(-2 c^2 / m), and Bernstein's, 2 exp(-c^2 / (2 v + 2 c / 3)), both of
    which hold for draws without replacement. Places and relevant items may change roles, and each may be replaced by
    the others of the bucket: c is for the least m and v of these.
    """
    exponent = 36.0
    drawn, relevant = b.places / b.size, b.relevant / b.size
    rare_draw, rare_relevant = np.minimum(drawn, 1 - drawn), np.minimum(relevant, 1 - relevant)
    variance = b.size * np.minimum(relevant * (1 - relevant) * rare_draw, drawn * (1 - drawn) * rare_relevant)
    bernstein = exponent / 3 + np.sqrt((exponent / 3) ** 2 + 2 * exponent * variance)
    hoeffding = np.sqrt(exponent / 2 * b.size * np.minimum(rare_draw, rare_relevant))
    reach: Counts = np.ceil(np.minimum(bernstein, hoeffding)).astype(np.int64)
    return reach


def _table_parts(b: CutBuckets) -> Iterator[slice]:
    """Rows that go together, so that each table of `_inverse_hits` stays small."""
    if len(b.size):
        rows = max(1, _MAX_TERMS // int(2 * _reach(b).max() + 3))
        for start in range(0, len(b.size), rows):
            yield slice(start, start + rows)


def _inverse_hits(b: CutBuckets) -> tuple[Values, Values]:
    mean, reach = b.places * (b.relevant / b.size), _reach(b)
    fewest, most = np.maximum(b.places - (b.size - b.relevant), 0), np.minimum(b.places, b.relevant)
    low = np.maximum(fewest, np.floor(mean).astype(np.int64) - reach)[:, None]
    high = np.minimum(most, np.ceil(mean).astype(np.int64) + reach)[:, None]
    hits = low + np.arange(int((high - low).max()) + 1)
    size, relevant, _, before, places = (field[:, None] for field in b)

    # P(x) / P(x - 1) in logarithms, summed along x and scaled to 1: no factorials, so nothing overflows or cancels.
    rising = (hits > low) & (hits <= high)
    up = (relevant - hits + 1.0) * (places - hits + 1.0)
    down = hits * (size - relevant - places + hits + 0.0)
    log_weight = np.cumsum(np.log(np.divide(up, down, out=np.ones(hits.shape), where=rising)), axis=1)
    log_weight[hits > high] = -np.inf
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    no_hit = np.where((low[:, 0] == 0) & (b.relevant_before == 0), weight[:, 0], 0.0)
    return divide(weight, before + hits).sum(axis=1), no_hit
