"""Average precision over the first m relevant items of a ranking, wherever they rank, exact under ties."""

from __future__ import annotations

import numpy as np

from fasthash.evaluation.buckets import Buckets, Counts, Values
from fasthash.evaluation.harmonic import harmonic_difference
from fasthash.evaluation.ties import precision_sum


def first_hits_sum(b: Buckets, m: int) -> Values:
    """Sum of (relevant so far) / rank over the ranks of the first ``m`` relevant items: (buckets,) float64."""
    wanted = np.clip(m - b.relevant_before, 0, b.relevant)
    ordered = b.size == b.relevant  # then the hits are the first ranks of the bucket
    places = np.where(ordered, wanted, np.where(wanted == b.relevant, b.size, 0))
    harmonic = harmonic_difference(b.items_before, places)
    sums = precision_sum(b.size, b.relevant, b.relevant, b.items_before, b.relevant_before, places, harmonic)
    cut = np.flatnonzero((wanted > 0) & (wanted < b.relevant) & ~ordered)
    if len(cut):
        fields = (b.size[cut], b.relevant[cut], b.items_before[cut], b.relevant_before[cut], wanted[cut])
        different, inverse = np.unique(np.stack(fields, axis=1), axis=0, return_inverse=True)
        sums[cut] = np.array([expected_first_hits(*map(int, row)) for row in different])[inverse.reshape(-1)]
    return sums


def expected_first_hits(size: int, relevant: int, items_before: int, relevant_before: int, wanted: int) -> float:
    """The part of `first_hits_sum` of a bucket with more relevant items than are ``wanted``, mean over all its orders.

    Place i of the bucket counts when it is relevant and y < wanted relevant items precede it, and adds
    (relevant_before + y + 1) / (items_before + i). The y before a relevant place i is hypergeometric, i - 1 draws of
    the other items; with A_i = P(y < wanted) and B_i = E[y; y < wanted],

        sum over i of r/n * ((relevant_before + 1) A_i + B_i) / (items_before + i).

    Args:
        size: items n of the bucket.
        relevant: relevant ones r among them.
        items_before: items that rank before the bucket.
        relevant_before: relevant ones among those.
        wanted: relevant items of this bucket that count, 0 < wanted < relevant.

    Example:
        >>> expected_first_hits(2, 2, 0, 0, 1)
        1.0
    """
    draws = np.arange(size)
    below = _at_most(size - 1, relevant - 1, wanted - 1)
    # E[y; y < wanted] = draws * (r - 1) / (n - 1) * P(y' < wanted - 1), y' among one draw and one relevant item fewer.
    fewer = np.concatenate([[0.0], _at_most(size - 2, relevant - 2, wanted - 2)])
    mean = draws * ((relevant - 1) / (size - 1)) * fewer
    terms = ((relevant_before + 1) * below + mean) / (items_before + 1.0 + draws)
    return float(terms.sum() * (relevant / size))


def _at_most(items: int, relevant: int, hits: int) -> Values:
    """P(at most ``hits`` relevant ones among the first d draws) for d = 0 .. items, drawn without replacement."""
    if hits < 0:
        return np.zeros(items + 1)
    if hits >= relevant:
        return np.ones(items + 1)
    # The chance that hit number hits + 1 comes at draw j, from ratios of neighbours: nothing overflows.
    j = np.arange(hits + 1, items - relevant + hits + 2, dtype=np.float64)
    ratio = np.log(j[:-1] * (items - j[:-1] - (relevant - hits - 1)) / ((j[:-1] - hits) * (items - j[:-1])))
    log_chance = np.concatenate([[0.0], np.cumsum(ratio)])
    chance = np.exp(log_chance - log_chance.max())
    below = np.ones(items + 1)
    below[hits + 1 : hits + 1 + len(j)] = 1 - np.cumsum(chance / chance.sum())
    below[hits + 1 + len(j) :] = 0
    result: Counts = np.maximum(below, 0)
    return result
