"""What average precision in index order is made of: sums over ranks that are never stored."""

from __future__ import annotations

from typing import Any

import torch

from fasthash.ops import _check
from fasthash.ops._arrays import Array, tensors
from fasthash.ops._library import call, cuda_kernels, on_cuda, register, table
from fasthash.ops.counts import label_arguments

_Optional = torch.Tensor | None
_Tensors3 = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


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
    labels = label_arguments(query_labels, database_labels)
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
