"""Exact average precision from counts by distance, whatever the order inside a tie.

A Hamming distance takes few values, so items come in *buckets* of equal distance. The formulas below need only the
size and the relevant count of each bucket: no sort, no query x database matrix. The idea is McSherry & Najork,
"Computing information retrieval performance measures efficiently in the presence of tied scores" (ECIR 2008).

Names: a bucket holds ``size`` items of which ``relevant`` are relevant; ``items_before`` and ``relevant_before`` count
the closer buckets; ``places`` of its ranks lie inside the window of the first k ranks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fasthash.evaluation.harmonic import harmonic_difference

Counts = NDArray[Any]
Values = NDArray[np.float64]

_MAX_TERMS = 1 << 20  # entries of one (query, hits) table of `expected_over_hits`: 8 MiB each


class Buckets(NamedTuple):
    """The buckets that can add to a score, flat: those with a relevant item and a place inside the window.

    Each field is int64 of one length; ``query`` is the row that a bucket belongs to.
    """

    query: Counts
    size: Counts
    relevant: Counts
    items_before: Counts
    relevant_before: Counts
    places: Counts

    def where(self, keep: NDArray[np.bool_] | slice) -> Buckets:
        """The buckets that ``keep`` selects."""
        return Buckets(*(field[keep] for field in self))


def places_inside(size: Counts, k: int | None) -> Counts:
    """(q, B) bucket sizes -> (q, B) places of each bucket inside the first k ranks (all of them for None)."""
    return size if k is None else np.clip(k - (np.cumsum(size, axis=1) - size), 0, size)


def buckets_inside(histogram: Counts, k: int | None) -> Buckets:
    """(q, B, 2) int64 [all, relevant] by distance -> the buckets that matter for the first k ranks."""
    size, relevant = histogram[..., 0], histogram[..., 1]
    places = places_inside(size, k)
    query, distance = np.nonzero((places > 0) & (relevant > 0))
    fields = (
        size,
        relevant,
        np.cumsum(size, axis=1) - size,
        np.cumsum(relevant, axis=1) - relevant,
        places,
    )
    return Buckets(query, *(field[query, distance] for field in fields))


def expected_precision_sum(
    size: Counts, relevant: Counts, items_before: Counts, relevant_before: Counts, places: Counts
) -> Values:
    """Sum of (relevant so far) / rank over the relevant ranks inside the window, mean over all orders of the bucket.

    Place i is relevant with probability r/n, and then (i-1)(r-1)/(n-1) relevant items precede it in the bucket.
    """
    slope = (relevant - 1) / np.maximum(size - 1, 1)
    harmonic = harmonic_difference(items_before, places)
    result: Values = relevant / size * (slope * places + (relevant_before + 1 - slope * (items_before + 1)) * harmonic)
    return result


def best_precision_sum(b: Buckets) -> Values:
    """The same sum with the relevant items first in the bucket."""
    hits = np.minimum(b.places, b.relevant)
    result: Values = hits + (b.relevant_before - b.items_before) * harmonic_difference(b.items_before, hits)
    return result


def worst_precision_sum(b: Buckets) -> Values:
    """The same sum with the relevant items last in the bucket."""
    start = b.items_before + b.size - b.relevant
    hits = worst_hits(b)
    result: Values = hits + (b.relevant_before - start) * harmonic_difference(start, hits)
    return result


def best_hits(b: Buckets) -> Counts:
    """Relevant items inside the window when they come first in the bucket."""
    hits: Counts = np.minimum(b.places, b.relevant)
    return hits


def worst_hits(b: Buckets) -> Counts:
    """Relevant items inside the window when they come last in the bucket."""
    hits: Counts = np.maximum(b.places - (b.size - b.relevant), 0)
    return hits


def sum_by_query(b: Buckets, values: NDArray[Any], queries: int) -> Values:
    """Add the values of each query's buckets: (queries,) float64."""
    return np.bincount(b.query, values, queries).astype(np.float64, copy=False)


def divide(numerator: NDArray[Any], denominator: NDArray[Any]) -> Values:
    """Quotient with x / 0 = 0."""
    result: Values = np.divide(
        numerator, denominator, out=np.zeros(np.broadcast(numerator, denominator).shape), where=denominator > 0
    )
    return result


def expected_over_hits(b: Buckets, queries: int) -> tuple[Values, Values]:
    """Expected AP when the divisor is the number of hits inside the window, itself a matter of tie order.

    Only the bucket that the window cuts is random. With T the numerator of the closer buckets and P hypergeometric,

        E[AP] = sum over x of P(x) * (T + f(x)) / (relevant_before + x),

    where f(x) is `expected_precision_sum` of a bucket of ``places`` items, x of them relevant.

    Returns:
        (queries,) expected AP, and (queries,) probability of at least one hit.
    """
    cut = b.places < b.size
    whole = b.where(~cut)
    sums = sum_by_query(whole, expected_precision_sum(*whole[1:]), queries)
    hits = sum_by_query(whole, whole.relevant, queries)
    values, chance = divide(sums, hits), (hits > 0).astype(np.float64)
    for part in _table_parts(b.where(cut)):
        values[part.query], chance[part.query] = _expected_over_cut(part, sums[part.query])
    return values, chance


def _reach(b: Buckets) -> Counts:
    """Distance from the mean beyond which hit counts weigh less than 1e-17 (Hoeffding: 2 exp(-2 c^2 / m) for c)."""
    reach: Counts = np.ceil(np.sqrt(20.0 * np.minimum(b.places, b.relevant))).astype(np.int64)
    return reach


def _table_parts(b: Buckets) -> Iterator[Buckets]:
    """Split cut buckets (one a query at most) so that each table of `_expected_over_cut` stays small."""
    if len(b.query):
        rows = max(1, _MAX_TERMS // int(2 * _reach(b).max() + 3))
        for start in range(0, len(b.query), rows):
            yield b.where(slice(start, start + rows))


def _expected_over_cut(b: Buckets, sums: Values) -> tuple[Values, Values]:
    """`expected_over_hits` for queries with a cut bucket; ``sums`` is their T. One (query, hits x) table."""
    mean = b.places * (b.relevant / b.size)
    reach = _reach(b)
    low = np.maximum(worst_hits(b), np.floor(mean).astype(np.int64) - reach)[:, None]
    high = np.minimum(best_hits(b), np.ceil(mean).astype(np.int64) + reach)[:, None]
    hits = low + np.arange(int((high - low).max()) + 1)
    valid = hits <= high
    size, relevant, items_before, relevant_before, places = (field[:, None] for field in b[1:])

    # P(x) / P(x - 1) in logarithms, summed along x and scaled to 1: no factorials, so nothing overflows or cancels.
    rising = valid & (hits > low)
    up = np.where(rising, (relevant - hits + 1.0) * (places - hits + 1.0), 1.0)
    down = np.where(rising, hits * (size - relevant - places + hits + 0.0), 1.0)
    log_weight = np.where(valid, np.cumsum(np.log(up / down), axis=1), -np.inf)
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)

    inside = expected_precision_sum(places, hits, items_before, relevant_before, places)
    terms = weight * divide(sums[:, None] + inside, relevant_before + hits)
    no_hit = np.where((low[:, 0] == 0) & (b.relevant_before == 0), weight[:, 0], 0.0)
    return terms.sum(axis=1), 1.0 - no_hit
