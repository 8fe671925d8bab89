"""Precision and recall of binary codes: over the first k ranks, and inside a Hamming ball."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fasthash.evaluation.inputs import Array, Exclude, RetrievalInputs, check_choice, check_integer, prepare
from fasthash.evaluation.score import Score, summarise
from fasthash.evaluation.ties import divide, places_inside

Empty = Literal["zero", "skip"]
Values = NDArray[np.float64]


def precision_at(
    query_codes: Array,
    database_codes: Array,
    query_labels: Array,
    database_labels: Array,
    k: int,
    *,
    bits: int | None = None,
    exclude: Exclude = "auto",
) -> Score:
    """P@k: share of relevant items among the first ``k`` ranks, mean over queries; expected over ties, exactly.

    A tie that the window cuts gives each of its items the same chance: sum over buckets of relevant * places / size.

    Args:
        query_codes: (q, bytes) uint8 packed, or (q, bits) unpacked; see `mean_average_precision`, also for the next
            three, ``bits`` and ``exclude``.
        database_codes: (n, bytes) or (n, bits).
        query_labels: (q,) class ids or (q, classes) multi-hot.
        database_labels: (n,) or (n, classes).
        k: ranks, at most the database items that each query may meet.
        bits: code width.
        exclude: self-exclusion.

    Raises:
        TypeError: an argument of the wrong kind or dtype.
        ValueError: k < 1 or more than the items; wrong shapes, non-zero spare bits, NaN.

    Example:
        >>> codes = np.array([[False, False], [False, True], [True, False]])
        >>> precision_at(codes[:1], codes, np.array([0]), np.array([0, 0, 1]), 2)
        P@2[ties=expected, relevance=share] = 0.7500 (0 of 1 queries empty)
    """
    name = "precision_at"
    k = check_integer(name, "k", k, 1)
    inputs = prepare(name, query_codes, database_codes, query_labels, database_labels, bits, exclude)
    hits, _ = _expected_hits(name, inputs, k)
    return summarise(hits / k, np.ones(len(hits)), "zero", f"P@{k}[ties=expected, relevance=share]")


def recall_at(
    query_codes: Array,
    database_codes: Array,
    query_labels: Array,
    database_labels: Array,
    k: int,
    *,
    bits: int | None = None,
    empty: Empty = "zero",
    exclude: Exclude = "auto",
) -> Score:
    """R@k: share of the query's relevant items that the first ``k`` ranks hold; expected over ties, exactly.

    Arguments and errors as for `precision_at`; a query without any relevant item scores 0 (``empty="zero"``) or leaves
    the mean ("skip").

    Example:
        >>> codes = np.array([[False, False], [False, True], [True, False]])
        >>> recall_at(codes[:1], codes, np.array([0]), np.array([0, 0, 1]), 1)
        R@1[ties=expected, empty=zero, relevance=share] = 0.5000 (0 of 1 queries empty)
    """
    name = "recall_at"
    k = check_integer(name, "k", k, 1)
    check_choice(name, "empty", empty, ("zero", "skip"))
    inputs = prepare(name, query_codes, database_codes, query_labels, database_labels, bits, exclude)
    hits, relevant = _expected_hits(name, inputs, k)
    return _ratio(hits, relevant, empty, f"R@{k}[ties=expected, empty={empty}, relevance=share]")


def precision_within_radius(
    query_codes: Array,
    database_codes: Array,
    query_labels: Array,
    database_labels: Array,
    radius: int = 2,
    *,
    bits: int | None = None,
    empty: Empty = "zero",
    exclude: Exclude = "auto",
) -> Score:
    """Share of relevant items inside the Hamming ball (distance <= ``radius``), mean over queries.

    A query with an empty ball scores 0 (``empty="zero"``) or leaves the mean ("skip"); ``Score.empty`` counts the empty
    balls and ``Score.empty_share`` is their share. Other arguments and errors as for `precision_at`; radius >= 0.

    Example:
        >>> codes = np.array([[False, False], [False, True], [True, True]])
        >>> precision_within_radius(codes[:1], codes, np.array([0]), np.array([0, 1, 1]), 1)
        precision within radius 1[empty=zero, relevance=share] = 0.5000 (0 of 1 queries empty)
    """
    items, hits, _ = _ball(
        "precision_within_radius",
        (query_codes, database_codes, query_labels, database_labels),
        radius,
        bits,
        empty,
        exclude,
    )
    return _ratio(hits, items, empty, f"precision within radius {radius}[empty={empty}, relevance=share]")


def recall_within_radius(
    query_codes: Array,
    database_codes: Array,
    query_labels: Array,
    database_labels: Array,
    radius: int = 2,
    *,
    bits: int | None = None,
    empty: Empty = "zero",
    exclude: Exclude = "auto",
) -> Score:
    """Share of the query's relevant items that lie inside the Hamming ball (distance <= ``radius``), mean over queries.

    A query without any relevant item scores 0 (``empty="zero"``) or leaves the mean ("skip"). Other arguments and
    errors as for `precision_at`; radius >= 0.

    Example:
        >>> codes = np.array([[False, False], [False, True], [True, True]])
        >>> recall_within_radius(codes[:1], codes, np.array([0]), np.array([1, 0, 0]), 1)
        recall within radius 1[empty=zero, relevance=share] = 0.5000 (0 of 1 queries empty)
    """
    _, hits, relevant = _ball(
        "recall_within_radius",
        (query_codes, database_codes, query_labels, database_labels),
        radius,
        bits,
        empty,
        exclude,
    )
    return _ratio(hits, relevant, empty, f"recall within radius {radius}[empty={empty}, relevance=share]")


def _ratio(hits: NDArray[Any], divisor: NDArray[Any], empty: Empty, convention: str) -> Score:
    return summarise(divide(hits, divisor), (divisor > 0).astype(np.float64), empty, convention)


def _expected_hits(name: str, inputs: RetrievalInputs, k: int) -> tuple[Values, NDArray[np.int64]]:
    """(q,) expected relevant items among the first k, and (q,) relevant items in all."""
    hits = np.zeros(len(inputs.queries))
    relevant = np.zeros(len(inputs.queries), dtype=np.int64)
    for rows, histogram in inputs.histograms():
        items = histogram[..., 0].sum(axis=1)
        if items.min() < k:
            raise ValueError(f"{name}: k: expected at most {items.min()}, the items that a query may meet, got {k}")
        size = histogram[..., 0]
        hits[rows] = divide(histogram[..., 1] * places_inside(size, k), size).sum(axis=1)
        relevant[rows] = histogram[..., 1].sum(axis=1)
    return hits, relevant


def _ball(
    name: str, arrays: tuple[Array, Array, Array, Array], radius: int, bits: int | None, empty: Empty, exclude: Exclude
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(q,) items in the ball, relevant items in the ball, relevant items in all."""
    radius = check_integer(name, "radius", radius, 0)
    check_choice(name, "empty", empty, ("zero", "skip"))
    inputs = prepare(name, *arrays, bits, exclude)
    counts = np.zeros((3, len(inputs.queries)), dtype=np.int64)
    for rows, histogram in inputs.histograms():
        counts[:2, rows] = histogram[:, : radius + 1].sum(axis=1).T
        counts[2, rows] = histogram[..., 1].sum(axis=1)
    items, hits, relevant = counts
    return items, hits, relevant
