"""Counts by distance: what evaluation is made of. No op here makes a query x database matrix."""

from __future__ import annotations

from typing import Any

import torch

from fasthash.ops import _check
from fasthash.ops._arrays import Array, tensors
from fasthash.ops._library import call, register, table
from fasthash.ops.codes import _pack

_Optional = torch.Tensor | None


def _histogram_fake(
    queries: torch.Tensor, database: torch.Tensor, mask: _Optional = None, exclude: _Optional = None
) -> torch.Tensor:
    _check.search("hamming_histogram", queries, database, mask, exclude)
    return queries.new_empty((queries.shape[0], 8 * queries.shape[1] + 1), dtype=torch.int64)


def _histogram_kernel(
    queries: torch.Tensor, database: torch.Tensor, mask: _Optional = None, exclude: _Optional = None
) -> torch.Tensor:
    out = _histogram_fake(queries, database, mask, exclude)
    _check.excluded_rows("hamming_histogram", database, exclude)
    queries, database, mask, exclude = _check.contiguous(queries, database, mask, exclude)
    call("hamming_histogram", out, table(queries), table(database), mask, exclude, out)
    return out


_histogram = register(
    "hamming_histogram(Tensor queries, Tensor database, Tensor? mask=None, Tensor? exclude=None) -> Tensor",
    kernel=_histogram_kernel,
    fake=_histogram_fake,
)


def hamming_histogram(
    queries: Array, database: Array, *, mask: Array | None = None, exclude: Array | None = None
) -> Array:
    """How many codes lie at each distance from each query.

    Args:
        queries: uint8 (q, bytes), packed codes.
        database: uint8 (m, bytes), packed codes of the same width.
        mask: bool (m,), True = counted.
        exclude: int64 (q,), one database row that is not counted for that query, -1 = none.

    Returns:
        int64 (q, 8 * bytes + 1): entry j counts the codes at distance j bits; rows sum to the codes that count.

    Raises:
        TypeError: wrong kind or dtype.
        ValueError: rank, width, device or range do not fit (the range of exclude is not looked at on CUDA).

    >>> import numpy as np, fasthash
    >>> codes = fasthash.pack(np.array([[1, 1, 1], [1, 1, -1], [-1, 1, 1]]))
    >>> fasthash.hamming_histogram(codes[:1], codes)
    array([[1, 2, 0, 0, 0, 0, 0, 0, 0]])
    """
    (queries, database, mask, exclude), back = tensors(
        "hamming_histogram", queries=queries, database=database, mask=mask, exclude=exclude
    )
    return back(_histogram(queries, database, mask, exclude))


def label_arguments(query_labels: torch.Tensor, database_labels: torch.Tensor) -> tuple[Any, ...]:
    """Labels as the kernels take them: class ids of both sides, packed sets of both sides, bytes of a set."""
    if query_labels.dim() == 1:
        return query_labels.to(torch.int64).contiguous(), database_labels.to(torch.int64).contiguous(), None, None, 0
    # Not `labels > 0`: torch compares bools as int64, eight times the memory of the labels.
    sets = [_pack(x.view(torch.bool) if x.dtype == torch.uint8 else x) for x in (query_labels, database_labels)]
    return None, None, *sets, sets[0].shape[1]


def _relevance_fake(
    queries: torch.Tensor,
    database: torch.Tensor,
    query_labels: torch.Tensor,
    database_labels: torch.Tensor,
    mask: _Optional = None,
    exclude: _Optional = None,
) -> torch.Tensor:
    _check.search("relevance_histogram", queries, database, mask, exclude)
    _check.label_pair("relevance_histogram", queries, database, query_labels, database_labels)
    return queries.new_empty((queries.shape[0], 8 * queries.shape[1] + 1, 2), dtype=torch.int64)


def _relevance_kernel(
    queries: torch.Tensor,
    database: torch.Tensor,
    query_labels: torch.Tensor,
    database_labels: torch.Tensor,
    mask: _Optional = None,
    exclude: _Optional = None,
) -> torch.Tensor:
    out = _relevance_fake(queries, database, query_labels, database_labels, mask, exclude)
    _check.excluded_rows("relevance_histogram", database, exclude)
    _check.label_values("relevance_histogram", query_labels, database_labels)
    queries, database, mask, exclude = _check.contiguous(queries, database, mask, exclude)
    labels = label_arguments(query_labels, database_labels)
    call("relevance_histogram", out, table(queries), table(database), *labels, mask, exclude, out)
    return out


_relevance = register(
    "relevance_histogram(Tensor queries, Tensor database, Tensor query_labels, Tensor database_labels,"
    " Tensor? mask=None, Tensor? exclude=None) -> Tensor",
    kernel=_relevance_kernel,
    fake=_relevance_fake,
)


def relevance_histogram(
    queries: Array,
    database: Array,
    query_labels: Array,
    database_labels: Array,
    *,
    mask: Array | None = None,
    exclude: Array | None = None,
) -> Array:
    """How many codes, and how many relevant ones, lie at each distance from each query. Relevant = a shared label.

    Args:
        queries: uint8 (q, bytes), packed codes.
        database: uint8 (m, bytes), packed codes of the same width.
        query_labels: integers (q,), class ids with -1 = none, or (q, classes) multi-hot (entry > 0 = has the label).
        database_labels: (m,) or (m, classes), in the form of query_labels.
        mask: bool (m,), True = counted.
        exclude: int64 (q,), one database row that is not counted for that query, -1 = none.

    Returns:
        int64 (q, 8 * bytes + 1, 2): [all, relevant] at each distance in bits.

    Raises:
        TypeError: wrong kind or dtype.
        ValueError: rank, width, device or range do not fit (the range of exclude is not looked at on CUDA).

    >>> import numpy as np, fasthash
    >>> codes = fasthash.pack(np.array([[1, 1, 1], [1, 1, -1], [-1, 1, 1]]))
    >>> fasthash.relevance_histogram(codes[:1], codes, np.array([7]), np.array([7, 3, 7]))[0, :3]
    array([[1, 1],
           [2, 1],
           [0, 0]])
    """
    (queries, database, query_labels, database_labels, mask, exclude), back = tensors(
        "relevance_histogram",
        queries=queries,
        database=database,
        query_labels=query_labels,
        database_labels=database_labels,
        mask=mask,
        exclude=exclude,
    )
    return back(_relevance(queries, database, query_labels, database_labels, mask, exclude))


def _overlap_fake(
    queries: torch.Tensor,
    database: torch.Tensor,
    query_labels: torch.Tensor,
    database_labels: torch.Tensor,
    mask: _Optional = None,
    exclude: _Optional = None,
) -> torch.Tensor:
    _check.search("overlap_histogram", queries, database, mask, exclude)
    _check.label_pair("overlap_histogram", queries, database, query_labels, database_labels)
    classes = query_labels.shape[1] if query_labels.dim() == 2 else 1
    return queries.new_empty((queries.shape[0], 8 * queries.shape[1] + 1, classes + 1), dtype=torch.int64)


def _overlap_kernel(
    queries: torch.Tensor,
    database: torch.Tensor,
    query_labels: torch.Tensor,
    database_labels: torch.Tensor,
    mask: _Optional = None,
    exclude: _Optional = None,
) -> torch.Tensor:
    out = _overlap_fake(queries, database, query_labels, database_labels, mask, exclude)
    _check.excluded_rows("overlap_histogram", database, exclude)
    _check.label_values("overlap_histogram", query_labels, database_labels)
    queries, database, mask, exclude = _check.contiguous(queries, database, mask, exclude)
    labels = label_arguments(query_labels, database_labels)
    classes = out.shape[2] - 1
    call("overlap_histogram", out, table(queries), table(database), *labels, classes, mask, exclude, out)
    return out


_overlap = register(
    "overlap_histogram(Tensor queries, Tensor database, Tensor query_labels, Tensor database_labels,"
    " Tensor? mask=None, Tensor? exclude=None) -> Tensor",
    kernel=_overlap_kernel,
    fake=_overlap_fake,
)


def overlap_histogram(
    queries: Array,
    database: Array,
    query_labels: Array,
    database_labels: Array,
    *,
    mask: Array | None = None,
    exclude: Array | None = None,
) -> Array:
    """How many codes lie at each distance from each query and share how many labels with it.

    What graded metrics (NDCG, ACG, WAP) need, exact in integers. The result takes 8 * q * (8 * bytes + 1) * (C + 1)
    bytes: 210 MB for 5,000 queries, 64 bits and 80 classes, so pass many queries in blocks.

    Args:
        queries: uint8 (q, bytes), packed codes.
        database: uint8 (m, bytes), packed codes of the same width.
        query_labels: integers (q,), class ids with -1 = none, or (q, classes) multi-hot (entry > 0 = has the label).
        database_labels: (m,) or (m, classes), in the form of query_labels.
        mask: bool (m,), True = counted.
        exclude: int64 (q,), one database row that is not counted for that query, -1 = none.

    Returns:
        int64 (q, 8 * bytes + 1, C + 1), C = classes, or 1 for class ids: entry [i, d, s] counts the codes at distance d
        that share s labels with query i.

    Raises:
        TypeError: wrong kind or dtype.
        ValueError: rank, width, device or range do not fit (the range of exclude is not looked at on CUDA).

    >>> import numpy as np, fasthash
    >>> codes = fasthash.pack(np.array([[1, 1, 1], [1, 1, -1], [-1, 1, 1]]))
    >>> labels = np.array([[1, 1, 0], [0, 1, 0], [1, 1, 1]])
    >>> fasthash.overlap_histogram(codes[:1], codes, labels[:1], labels)[0, :3]
    array([[0, 0, 1, 0],
           [0, 1, 1, 0],
           [0, 0, 0, 0]])
    """
    (queries, database, query_labels, database_labels, mask, exclude), back = tensors(
        "overlap_histogram",
        queries=queries,
        database=database,
        query_labels=query_labels,
        database_labels=database_labels,
        mask=mask,
        exclude=exclude,
    )
    return back(_overlap(queries, database, query_labels, database_labels, mask, exclude))
