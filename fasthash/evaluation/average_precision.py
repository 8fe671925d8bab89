"""Mean average precision of binary codes, with its convention named."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fasthash.evaluation import ties as tied
from fasthash.evaluation.inputs import Array, Exclude, RetrievalInputs, check_choice, check_integer, prepare
from fasthash.evaluation.score import Score, average, summarise

Ties = Literal["expected", "index", "best", "worst"]
Divisor = Literal["hits", "relevant", "min"]
Empty = Literal["zero", "skip"]
Values = NDArray[np.float64]

_NAME = "mean_average_precision"

_PRECISION_SUM = {
    "expected": lambda buckets: tied.expected_precision_sum(*buckets[1:]),
    "best": tied.best_precision_sum,
    "worst": tied.worst_precision_sum,
}
_HITS = {"best": tied.best_hits, "worst": tied.worst_hits}


def mean_average_precision(
    query_codes: Array,
    database_codes: Array,
    query_labels: Array,
    database_labels: Array,
    *,
    k: int | None = None,
    bits: int | None = None,
    ties: Ties = "expected",
    divisor: Divisor = "hits",
    empty: Empty = "zero",
    exclude: Exclude = "auto",
) -> Score:
    """Mean average precision of Hamming ranking: mean over queries of AP over the first ``k`` ranks.

    AP adds (relevant among the first i) / i over the relevant ranks i inside the window and divides by ``divisor``.
    Two items are relevant to each other when they share a label; an item without labels is relevant to nothing.

    Args:
        query_codes: (q, bytes) uint8 packed, or (q, bits) bool, float, or signed integers of -1, 0, 1 (bit = x > 0).
        database_codes: (n, bytes) or (n, bits), likewise; tensors or NumPy arrays, not mixed in one call.
        query_labels: (q,) integer class ids (-1 = none) or (q, classes) multi-hot.
        database_labels: (n,) or (n, classes).
        k: ranks of the window; None = the whole ranking, where the three divisors agree. Above n it is clipped, and
            the convention says so.
        bits: code width; default 8 * bytes of packed codes, or the columns of unpacked ones.
        ties: order among equal distances. "expected": the exact mean over all orders (McSherry & Najork, ECIR 2008);
            "index": by database index; "best", "worst": relevant items first or last. Best and worst bound all orders
            for divisors "relevant" and "min"; under "hits" with a cut bucket they do not.
        divisor: "hits" = relevant items inside the window, as published MAP@5000 and MAP@1000 numbers have it;
            "relevant" = R, all relevant items of the query; "min" = min(k, R), the textbook AP@k.
        empty: queries whose divisor is 0 score 0 ("zero") or leave the mean ("skip"). With ties="expected" and
            divisor="hits", skip gives sum of expected AP / sum of P(at least one hit), and a query counts as empty
            when no order gives it a hit.
        exclude: "auto" removes item i from the ranking of query i when both code arguments are the same object;
            None removes nothing; (q,) int64 names a database row for each query (-1 = none).

    Returns:
        `Score` with per_query (q,) float64; for ties="expected" also best and worst.

    Raises:
        TypeError: an argument of the wrong kind or dtype.
        ValueError: k < 1, an unknown option, wrong shapes, non-zero spare bits, NaN.

    Example:
        >>> codes = np.array([[0b00000000], [0b00000001], [0b00000011], [0b00000011]], dtype=np.uint8)
        >>> mean_average_precision(codes[:1], codes, np.array([7]), np.array([7, 1, 7, 1]))
        mAP@all[divisor=hits, ties=expected, empty=zero, relevance=share] = 0.7917 (best 0.8333, worst 0.7500; \
0 of 1 queries empty)
    """
    check_choice(_NAME, "ties", ties, ("expected", "index", "best", "worst"))
    check_choice(_NAME, "divisor", divisor, ("hits", "relevant", "min"))
    check_choice(_NAME, "empty", empty, ("zero", "skip"))
    if k is not None:
        k = check_integer(_NAME, "k", k, 1)
    inputs = prepare(_NAME, query_codes, database_codes, query_labels, database_labels, bits, exclude)
    window = k if k is None else min(k, len(inputs.database))
    convention = _convention(k, window, ties, divisor, empty)

    if ties == "index":
        sums, hits, relevant = inputs.average_precision_counts(window or None)  # no window in an empty database
        divisors = _divisors(hits, relevant, window, divisor)
        return summarise(tied.divide(sums, divisors), (divisors > 0).astype(np.float64), empty, convention)

    policies: tuple[Ties, ...] = ("expected", "best", "worst") if ties == "expected" else (ties,)
    results = _from_histograms(inputs, window, policies, divisor)
    score = summarise(*results[ties], empty, convention)
    if ties == "expected":
        score.best, score.worst = average(*results["best"], empty), average(*results["worst"], empty)
    return score


def _from_histograms(
    inputs: RetrievalInputs, k: int | None, policies: tuple[Ties, ...], divisor: Divisor
) -> dict[Ties, tuple[Values, Values]]:
    """For each tie policy: (q,) AP and (q,) probability that the divisor is not 0."""
    queries = len(inputs.queries)
    results: dict[Ties, tuple[Values, Values]] = {ties: (np.zeros(queries), np.zeros(queries)) for ties in policies}
    for rows, histogram in inputs.histograms():
        buckets = tied.buckets_inside(histogram, k)
        relevant = histogram[..., 1].sum(axis=1)
        for ties, (values, weights) in results.items():
            values[rows], weights[rows] = _block(buckets, relevant, k, ties, divisor)
    return results


def _block(
    buckets: tied.Buckets, relevant: NDArray[Any], k: int | None, ties: Ties, divisor: Divisor
) -> tuple[Values, Values]:
    queries = len(relevant)
    if ties == "expected" and divisor == "hits":
        return tied.expected_over_hits(buckets, queries)
    sums = tied.sum_by_query(buckets, _PRECISION_SUM[ties](buckets), queries)
    hits = tied.sum_by_query(buckets, _HITS[ties](buckets), queries) if divisor == "hits" else relevant
    divisors = _divisors(hits, relevant, k, divisor)
    return tied.divide(sums, divisors), (divisors > 0).astype(np.float64)


def _divisors(hits: NDArray[Any], relevant: NDArray[Any], k: int | None, divisor: Divisor) -> NDArray[Any]:
    if divisor == "hits":
        return hits
    return relevant if divisor == "relevant" or k is None else np.minimum(relevant, k)


def _convention(k: int | None, window: int | None, ties: Ties, divisor: Divisor, empty: Empty) -> str:
    cut = "all" if window is None else str(window)
    clipped = "" if k == window else f", k={k} clipped to the {window} database codes"
    return f"mAP@{cut}[divisor={divisor}, ties={ties}, empty={empty}, relevance=share{clipped}]"
