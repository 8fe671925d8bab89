"""Counts by distance: what evaluation is made of. No op here makes a query x database matrix."""

from __future__ import annotations

from typing import Any

import torch

from fasthash.ops import _check
from fasthash.ops._arrays import Array, tensors
from fasthash.ops._library import call, cuda_kernels, on_cuda, register, table
from fasthash.ops.codes import _pack

_Optional = torch.Tensor | None
_Tensors3 = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


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


def _label_arguments(query_labels: torch.Tensor, database_labels: torch.Tensor) -> tuple[Any, ...]:
    """Labels as the kernels take them: class ids of both sides, packed sets of both sides, bytes of a set."""
    if query_labels.dim() == 1:
        return query_labels.to(torch.int64).contiguous(), database_labels.to(torch.int64).contiguous(), None, None, 0
    sets = _pack(query_labels > 0), _pack(database_labels > 0)
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
    labels = _label_arguments(query_labels, database_labels)
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


def _average_precision_fake(
    queries: torch.Tensor,
    database: torch.Tensor,
    query_labels: torch.Tensor,
    database_labels: torch.Tensor,
    k: int | None = None,
    mask: _Optional = None,
    exclude: _Optional = None,
) -> _Tensors3:
    name = "average_precision_counts"
    _check.search(name, queries, database, mask, exclude)
    _check.label_pair(name, queries, database, query_labels, database_labels)
    if k is not None:
        _check.whole(name, "k", k, 1)
    sums = queries.new_empty(queries.shape[0], dtype=torch.float64)
    return sums, torch.empty_like(sums, dtype=torch.int64), torch.empty_like(sums, dtype=torch.int64)


def _average_precision_kernel(
    queries: torch.Tensor,
    database: torch.Tensor,
    query_labels: torch.Tensor,
    database_labels: torch.Tensor,
    k: int | None = None,
    mask: _Optional = None,
    exclude: _Optional = None,
) -> _Tensors3:
    out = _average_precision_fake(queries, database, query_labels, database_labels, k, mask, exclude)
    _check.excluded_rows("average_precision_counts", database, exclude)
    _check.label_values("average_precision_counts", query_labels, database_labels)
    queries, database, mask, exclude = _check.contiguous(queries, database, mask, exclude)
    labels = _label_arguments(query_labels, database_labels)
    window = database.shape[0] if k is None else k
    workspace: tuple[Any, ...] = ()
    if on_cuda(queries):
        size = cuda_kernels("average_precision_counts").average_precision_workspace(queries.shape[0], *database.shape)
        workspace = (queries.new_empty(size, dtype=torch.uint8), size)
    sides = (*table(queries), *table(database))
    call("average_precision_counts", queries, sides, *labels, mask, exclude, window, *out, *workspace)
    return out


_average_precision = register(
    "average_precision_counts(Tensor queries, Tensor database, Tensor query_labels, Tensor database_labels,"
    " SymInt? k=None, Tensor? mask=None, Tensor? exclude=None) -> (Tensor, Tensor, Tensor)",
    kernel=_average_precision_kernel,
    fake=_average_precision_fake,
)


def average_precision_counts(
    queries: Array,
    database: Array,
    query_labels: Array,
    database_labels: Array,
    *,
    k: int | None = None,
    mask: Array | None = None,
    exclude: Array | None = None,
) -> tuple[Array, Array, Array]:
    """What average precision in index order needs, in two streaming passes: no ranking is stored or sorted.

    Args:
        queries: uint8 (q, bytes), packed codes.
        database: uint8 (m, bytes), packed codes of the same width.
        query_labels: integers (q,), class ids with -1 = none, or (q, classes) multi-hot (entry > 0 = has the label).
        database_labels: (m,) or (m, classes), in the form of query_labels.
        k: only the first k ranks by (distance, index) count; None = all.
        mask: bool (m,), True = ranked.
        exclude: int64 (q,), one database row that is not ranked for that query, -1 = none.

    Returns:
        precision_sum float64 (q,), the sum of (relevant so far) / rank over the relevant ranks; hits int64 (q,), their
        number; relevant int64 (q,), the relevant codes of all. With k=None, AP = precision_sum / relevant.

    Raises:
        TypeError: wrong kind or dtype.
        ValueError: rank, width, device or range do not fit (the range of exclude is not looked at on CUDA).

    >>> import numpy as np, fasthash
    >>> codes = fasthash.pack(np.array([[1, 1, 1], [1, 1, -1], [-1, 1, 1]]))
    >>> fasthash.average_precision_counts(codes[:1], codes, np.array([7]), np.array([7, 3, 7]))
    (array([1.66666667]), array([2]), array([2]))
    """
    (queries, database, query_labels, database_labels, mask, exclude), back = tensors(
        "average_precision_counts",
        queries=queries,
        database=database,
        query_labels=query_labels,
        database_labels=database_labels,
        mask=mask,
        exclude=exclude,
    )
    if k is not None:
        k = _check.whole("average_precision_counts", "k", k, 1)
    return back(_average_precision(queries, database, query_labels, database_labels, k, mask, exclude))
