"""Exact search: the k nearest codes, or all within a radius; by distance, then lower index."""

from __future__ import annotations

from typing import Any

import torch

from fasthash.ops import _check
from fasthash.ops._arrays import Array, tensors
from fasthash.ops._library import call, cuda_kernels, on_cuda, register, table

_Tensors2 = tuple[torch.Tensor, torch.Tensor]
_Tensors3 = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
_Optional = torch.Tensor | None


def _topk_fake(
    queries: torch.Tensor, database: torch.Tensor, k: int, mask: _Optional = None, exclude: _Optional = None
) -> _Tensors2:
    _check.search("hamming_topk", queries, database, mask, exclude)
    _check.whole("hamming_topk", "k", k, 1)
    shape = (queries.shape[0], k)
    return queries.new_empty(shape, dtype=torch.int32), queries.new_empty(shape, dtype=torch.int64)


def topk_kernel(
    queries: torch.Tensor, database: torch.Tensor, k: int, mask: _Optional = None, exclude: _Optional = None
) -> _Tensors2:
    """What the op runs; also called by the index, as torch's dispatcher takes longer than a short scan."""
    out = _topk_fake(queries, database, k, mask, exclude)
    _check.excluded_rows("hamming_topk", database, exclude)
    queries, database, mask, exclude = _check.contiguous(queries, database, mask, exclude)
    arguments = (*table(queries), *table(database), k)
    workspace: tuple[Any, ...] = ()
    if on_cuda(queries):
        size = cuda_kernels("hamming_topk").topk_workspace(queries.shape[0], *database.shape, k)
        workspace = (queries.new_empty(size, dtype=torch.uint8), size)
    call("hamming_topk", queries, arguments, mask, exclude, *out, *workspace)
    return out


_topk = register(
    "hamming_topk(Tensor queries, Tensor database, SymInt k, Tensor? mask=None, Tensor? exclude=None)"
    " -> (Tensor, Tensor)",
    kernel=topk_kernel,
    fake=_topk_fake,
)


def hamming_topk(
    queries: Array, database: Array, k: int, *, mask: Array | None = None, exclude: Array | None = None
) -> tuple[Array, Array]:
    """The k nearest codes of each query, by (distance, index): exact, and the same on every device and thread count.

    Args:
        queries: uint8 (q, bytes), packed codes.
        database: uint8 (m, bytes), packed codes of the same width.
        k: how many, at least 1; may exceed m.
        mask: bool (m,), True = may be returned.
        exclude: int64 (q,), one database row that is not returned for that query, -1 = none.

    Returns:
        distances int32 (q, k), in bits, and indices int64 (q, k). Places without a code hold the largest int32 and -1.

    Raises:
        TypeError: wrong kind or dtype.
        ValueError: rank, width, device or range do not fit (the range of exclude is not looked at on CUDA).

    >>> import numpy as np, fasthash
    >>> codes = fasthash.pack(np.array([[1, 1, 1], [1, 1, -1], [-1, 1, 1]]))
    >>> distances, indices = fasthash.hamming_topk(codes[:1], codes, k=4)
    >>> distances[0, :3], indices
    (array([0, 1, 1], dtype=int32), array([[ 0,  1,  2, -1]]))
    """
    (queries, database, mask, exclude), back = tensors(
        "hamming_topk", queries=queries, database=database, mask=mask, exclude=exclude
    )
    k = _check.whole("hamming_topk", "k", k, 1)
    return back(_topk(queries, database, k, mask, exclude))


def _range_check(
    queries: torch.Tensor, database: torch.Tensor, radius: int, mask: _Optional, exclude: _Optional
) -> None:
    _check.search("hamming_range", queries, database, mask, exclude)
    _check.whole("hamming_range", "radius", radius, 0)


def _range_fake(
    queries: torch.Tensor, database: torch.Tensor, radius: int, mask: _Optional = None, exclude: _Optional = None
) -> _Tensors3:
    _range_check(queries, database, radius, mask, exclude)
    found = torch.library.get_ctx().new_dynamic_size()
    return (
        queries.new_empty(queries.shape[0] + 1, dtype=torch.int64),
        queries.new_empty(found, dtype=torch.int32),
        queries.new_empty(found, dtype=torch.int64),
    )


def range_kernel(
    queries: torch.Tensor, database: torch.Tensor, radius: int, mask: _Optional = None, exclude: _Optional = None
) -> _Tensors3:
    """What the op runs; also called by the index."""
    _range_check(queries, database, radius, mask, exclude)
    _check.excluded_rows("hamming_range", database, exclude)
    queries, database, mask, exclude = _check.contiguous(queries, database, mask, exclude)
    counts = queries.new_empty(queries.shape[0], dtype=torch.int64)
    arguments = (*table(queries), *table(database), min(radius, 8 * database.shape[1]))
    if not on_cuda(queries):  # one scan: what was found waits in `found` until there is room for it
        found = call("hamming_range", queries, arguments, mask, exclude)
        found.counts(counts.data_ptr())
    else:
        size = cuda_kernels("hamming_range").range_workspace(queries.shape[0], *database.shape, arguments[-1])
        workspace = queries.new_empty(size, dtype=torch.uint8)
        call("hamming_range_count", queries, arguments, mask, exclude, counts, workspace, size)
    offsets = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
    total = int(offsets[-1])  # on CUDA the one wait: the size of the result is in the data
    distances = queries.new_empty(total, dtype=torch.int32)
    indices = queries.new_empty(total, dtype=torch.int64)
    if not on_cuda(queries):
        found.write(offsets.data_ptr(), distances.data_ptr(), indices.data_ptr(), torch.get_num_threads())
    else:
        out = (offsets, distances, indices)
        call("hamming_range_write", queries, arguments, mask, exclude, *out, workspace, size)
    return offsets, distances, indices


_range = register(
    "hamming_range(Tensor queries, Tensor database, SymInt radius, Tensor? mask=None, Tensor? exclude=None)"
    " -> (Tensor, Tensor, Tensor)",
    kernel=range_kernel,
    fake=_range_fake,
)


def hamming_range(
    queries: Array, database: Array, radius: int, *, mask: Array | None = None, exclude: Array | None = None
) -> tuple[Array, Array, Array]:
    """All codes within a radius of each query (distance <= radius), by (distance, index), query after query.

    Args:
        queries: uint8 (q, bytes), packed codes.
        database: uint8 (m, bytes), packed codes of the same width.
        radius: in bits, at least 0, inclusive (FAISS leaves codes at the radius out).
        mask: bool (m,), True = may be returned.
        exclude: int64 (q,), one database row that is not returned for that query, -1 = none.

    Returns:
        offsets int64 (q + 1,), distances int32 (offsets[-1],), indices int64 (offsets[-1],): query i found the entries
        offsets[i] to offsets[i + 1]. Older torch compiles it only with
        `torch._dynamo.config.capture_dynamic_output_shape_ops = True`.

    Raises:
        TypeError: wrong kind or dtype.
        ValueError: rank, width, device or range do not fit (the range of exclude is not looked at on CUDA).

    >>> import numpy as np, fasthash
    >>> codes = fasthash.pack(np.array([[1, 1, 1], [1, 1, -1], [-1, 1, 1]]))
    >>> fasthash.hamming_range(codes[:2], codes, radius=1)
    (array([0, 3, 5]), array([0, 1, 1, 0, 1], dtype=int32), array([0, 1, 2, 1, 0]))
    """
    (queries, database, mask, exclude), back = tensors(
        "hamming_range", queries=queries, database=database, mask=mask, exclude=exclude
    )
    radius = _check.whole("hamming_range", "radius", radius, 0)
    return back(_range(queries, database, radius, mask, exclude))


def _padded_fake(
    queries: torch.Tensor,
    database: torch.Tensor,
    radius: int,
    capacity: int,
    mask: _Optional = None,
    exclude: _Optional = None,
) -> _Tensors3:
    _check.search("hamming_range_padded", queries, database, mask, exclude)
    _check.whole("hamming_range_padded", "radius", radius, 0)
    _check.whole("hamming_range_padded", "capacity", capacity, 1)
    shape = (queries.shape[0], capacity)
    return (
        queries.new_empty(queries.shape[0], dtype=torch.int64),
        queries.new_empty(shape, dtype=torch.int32),
        queries.new_empty(shape, dtype=torch.int64),
    )


def _padded_kernel(
    queries: torch.Tensor,
    database: torch.Tensor,
    radius: int,
    capacity: int,
    mask: _Optional = None,
    exclude: _Optional = None,
) -> _Tensors3:
    out = _padded_fake(queries, database, radius, capacity, mask, exclude)
    _check.excluded_rows("hamming_range_padded", database, exclude)
    queries, database, mask, exclude = _check.contiguous(queries, database, mask, exclude)
    radius = min(radius, 8 * database.shape[1])
    workspace: tuple[Any, ...] = ()
    if on_cuda(queries):
        size = cuda_kernels("hamming_range_padded").range_workspace(queries.shape[0], *database.shape, radius)
        workspace = (queries.new_empty(size, dtype=torch.uint8), size)
    sides = (*table(queries), *table(database))
    call("hamming_range_padded", queries, sides, radius, capacity, mask, exclude, *out, *workspace)
    return out


_padded = register(
    "hamming_range_padded(Tensor queries, Tensor database, SymInt radius, SymInt capacity, Tensor? mask=None,"
    " Tensor? exclude=None) -> (Tensor, Tensor, Tensor)",
    kernel=_padded_kernel,
    fake=_padded_fake,
)


def hamming_range_padded(
    queries: Array,
    database: Array,
    radius: int,
    capacity: int,
    *,
    mask: Array | None = None,
    exclude: Array | None = None,
) -> tuple[Array, Array, Array]:
    """The first codes within a radius of each query (distance <= radius), by (distance, index), in a fixed shape.

    Unlike `hamming_range` it needs no size from the data: on CUDA it does not wait and can be captured in a graph, and
    memory does not grow with what lies within the radius.

    Args:
        queries: uint8 (q, bytes), packed codes.
        database: uint8 (m, bytes), packed codes of the same width.
        radius: in bits, at least 0, inclusive (FAISS leaves codes at the radius out).
        capacity: places of each query, at least 1; may exceed m.
        mask: bool (m,), True = may be returned.
        exclude: int64 (q,), one database row that is not returned for that query, -1 = none.

    Returns:
        counts int64 (q,), all codes within the radius: where a count exceeds the capacity, results were cut;
        distances int32 (q, capacity), in bits, and indices int64 (q, capacity). Places without a code hold the largest
        int32 and -1.

    Raises:
        TypeError: wrong kind or dtype.
        ValueError: rank, width, device or range do not fit (the range of exclude is not looked at on CUDA).

    >>> import numpy as np, fasthash
    >>> codes = fasthash.pack(np.array([[1, 1, 1], [1, 1, -1], [-1, 1, 1]]))
    >>> counts, distances, indices = fasthash.hamming_range_padded(codes[:2], codes, radius=1, capacity=2)
    >>> counts, distances, indices
    (array([3, 2]), array([[0, 1],
           [0, 1]], dtype=int32), array([[0, 1],
           [1, 0]]))
    """
    (queries, database, mask, exclude), back = tensors(
        "hamming_range_padded", queries=queries, database=database, mask=mask, exclude=exclude
    )
    radius = _check.whole("hamming_range_padded", "radius", radius, 0)
    capacity = _check.whole("hamming_range_padded", "capacity", capacity, 1)
    return back(_padded(queries, database, radius, capacity, mask, exclude))
