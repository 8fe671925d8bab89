"""Rescoring: float queries against the few documents that a Hamming search named, the second stage of a search."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fasthash.ops import _check
from fasthash.ops._arrays import Array, tensors
from fasthash.ops._library import call, register, register_gradient
from fasthash.ops.codes import _unpack

_Optional = torch.Tensor | None
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
# As fasthash::Values counts them.
_VALUES = {
    torch.uint8: 0,
    torch.int8: 1,
    torch.float16: 2,
    torch.bfloat16: 3,
    torch.float32: 4,
    torch.float64: 5,
}
_SPARE_BITS, _NO_ROW = 1, 2  # what the CPU kernel saw among the candidates


def check_queries(function: str, queries: torch.Tensor) -> None:
    """Float queries (q, dim)."""
    if queries.dtype not in _FLOATS:
        raise TypeError(f"{function}: queries: expected floats, not packed: they are what scores, got {queries.dtype}")
    if queries.dim() != 2 or queries.shape[1] == 0:
        raise ValueError(f"{function}: queries: expected shape (queries, dimensions), got {_check.shape(queries)}")


def check_documents(function: str, name: str, documents: torch.Tensor, dim: int) -> None:
    """Packed codes or values that queries of `dim` dimensions can be scored with."""
    if documents.dtype not in _VALUES:
        raise TypeError(
            f"{function}: {name}: expected packed codes (torch.uint8), int8 or floats, got {documents.dtype}"
        )
    if documents.dtype == torch.uint8:
        _check.codes(function, name, documents)
    elif documents.dim() != 2:
        raise ValueError(f"{function}: {name}: expected shape (documents, {dim}), got {_check.shape(documents)}")
    width = (dim + 7) // 8 if documents.dtype == torch.uint8 else dim
    if documents.shape[1] != width:
        what = "bytes a code" if documents.dtype == torch.uint8 else "dimensions"
        signed = "; fasthash.from_sentence_transformers turns signed bytes into codes"
        raise ValueError(
            f"{function}: {name}: expected {width} {what} for queries of {dim} dimensions, got {documents.shape[1]}"
            + (signed if documents.dtype == torch.int8 else "")
        )


def check_scale(function: str, scale: torch.Tensor, documents: torch.Tensor) -> None:
    """Factors of int8 documents, in a shape that multiplies them."""
    if documents.dtype != torch.int8:
        raise ValueError(f"{function}: scale: expected None, as documents are not int8 but {documents.dtype}")
    if scale.dtype not in _FLOATS:
        raise TypeError(f"{function}: scale: expected floats, got {scale.dtype}")
    rows, dim = documents.shape
    if scale.dim() and tuple(scale.shape) not in ((dim,), (1, dim), (rows, 1)):
        raise ValueError(
            f"{function}: scale: expected a number, shape ({dim},), one factor a dimension, or ({rows}, 1), one a "
            f"document, got {_check.shape(scale)}"
        )


def _is_of_documents(scale: torch.Tensor, documents: torch.Tensor) -> bool:
    """Whether a checked scale has one factor a document; the others go over the dimensions."""
    return scale.dim() == 2 and tuple(scale.shape) == (documents.shape[0], 1)


def _rescore_fake(
    queries: torch.Tensor, documents: torch.Tensor, candidates: torch.Tensor, scale: _Optional = None
) -> torch.Tensor:
    check_queries("rescore", queries)
    check_documents("rescore", "documents", documents, queries.shape[1])
    if candidates.dtype != torch.int64:
        raise TypeError(f"rescore: candidates: expected torch.int64, got {candidates.dtype}")
    if candidates.dim() != 2 or candidates.shape[0] != queries.shape[0]:
        raise ValueError(
            f"rescore: candidates: expected shape ({queries.shape[0]}, candidates), rows of documents for each query, "
            f"got {_check.shape(candidates)}"
        )
    if scale is not None:
        check_scale("rescore", scale, documents)
    _check.one_device("rescore", queries=queries, documents=documents, candidates=candidates, scale=scale)
    return candidates.new_empty(candidates.shape, dtype=torch.float32)


def _rescore_kernel(
    queries: torch.Tensor, documents: torch.Tensor, candidates: torch.Tensor, scale: _Optional = None
) -> torch.Tensor:
    out = _rescore_fake(queries, documents, candidates, scale)
    dim = queries.shape[1]
    queries = queries.to(torch.float32)
    of_document = None
    if scale is not None:
        scale = scale.to(torch.float32)
        if _is_of_documents(scale, documents):
            of_document = scale.contiguous()
        else:
            queries = queries * scale
    queries, candidates = _check.contiguous(queries, candidates)
    if documents.stride(1) != 1 and documents.shape[1] > 1:
        documents = documents.contiguous()
    table = (documents, _VALUES[documents.dtype], documents.shape[0], documents.stride(0) * documents.element_size())
    arguments = (queries, *queries.shape, *table, of_document, candidates, candidates.shape[1], out)
    seen = call("rescore", out, *arguments) or 0  # nothing on CUDA
    if seen & _NO_ROW:
        _check.row_values("rescore", "candidates", candidates, "documents", documents)
    if seen & _SPARE_BITS:
        raise ValueError(f"rescore: documents: expected zero spare bits after bit {dim}, got a code with some set")
    return out


_rescore = register(
    "rescore(Tensor queries, Tensor documents, Tensor candidates, Tensor? scale=None) -> Tensor",
    kernel=_rescore_kernel,
    fake=_rescore_fake,
)


def _rescore_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    if ctx.needs_input_grad[3]:
        raise RuntimeError(
            "rescore: scale requires grad, but rescore is differentiable in queries and documents only; pass "
            "scale.detach()"
        )
    ctx.save_for_backward(*inputs)


def _rescore_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    """A score is linear in the query and in the document, so each gradient is a sum of the other side's rows."""
    queries, documents, candidates, scale = ctx.saved_tensors
    if documents.shape[0] == 0:
        return torch.zeros_like(queries), torch.zeros_like(documents), None, None
    found = (candidates >= 0) & (candidates < documents.shape[0])
    rows = torch.where(found, candidates, 0)
    grad, found = torch.where(found, grad, 0), found[..., None]
    of_queries = of_documents = None
    if ctx.needs_input_grad[0]:
        values = documents[rows]
        values = _unpack(values, queries.shape[1]) if values.dtype == torch.uint8 else values.to(torch.float32)
        if scale is not None:
            factors = scale[rows, 0, None] if _is_of_documents(scale, documents) else scale
            values = values * factors.to(torch.float32)
        of_queries = torch.einsum("qc,qcd->qd", grad, torch.where(found, values, 0)).to(queries.dtype)
    if ctx.needs_input_grad[1]:
        parts = torch.where(found, grad[..., None] * queries.to(torch.float32)[:, None, :], 0)
        of_documents = torch.zeros_like(documents, dtype=torch.float32).index_put((rows,), parts, accumulate=True)
        of_documents = of_documents.to(documents.dtype)
    return of_queries, of_documents, None, None


register_gradient("rescore", setup_context=_rescore_context, backward=_rescore_backward)


def scale_array(queries: Any, scale: Any) -> Any:
    """A scale that is a plain number becomes an array of the kind of queries."""
    if isinstance(scale, bool) or not isinstance(scale, (int, float, np.integer, np.floating)):
        return scale
    if isinstance(queries, torch.Tensor):
        return queries.new_full((), float(scale), dtype=torch.float32)
    return np.asarray(scale, dtype=np.float32)


def rescore(queries: Array, documents: Array, candidates: Array, *, scale: Array | float | None = None) -> Array:
    """Inner products of float queries with candidate rows of the documents, such as those that `hamming_topk` found.

    Only the candidate rows are read, so documents may be a memory-mapped file larger than memory.

    Sums are made in float32 in one fixed order (csrc/include/fasthash/score.h): the scores are the same, bit for bit,
    at every CPU level, for any number of threads and on CUDA. NaN and infinite values go through them as float
    arithmetic has it, and reach the scores of no other pair.

    Args:
        queries: (q, dim) float32; float16, bfloat16 and float64 are converted to it.
        documents: packed codes uint8 (m, ceil(dim / 8)), a bit standing for +1 or -1, or values int8, float16,
            bfloat16, float32, float64 (m, dim), each converted to float32. Rows may lie apart; elements of a row side
            by side, or they are copied.
        candidates: int64 (q, c), rows of documents for each query, in any order, also repeatedly; -1 = none.
        scale: what makes values of int8 documents: they stand for documents * scale. A number, (dim,) for one factor a
            dimension, or (m, 1) for one a document.

    Returns:
        float32 (q, c): sum over j of queries[i, j] * documents[candidates[i, l], j]; minus infinity where there is no
        candidate. Differentiable in queries and in float documents; the backward pass gathers the candidates as
        float32 (q, c, dim).

    Raises:
        TypeError: wrong kind or dtype.
        ValueError: rank, width, device or range do not fit, or spare bits of a code are set (on CUDA, where looking
            would mean waiting, other rows count as none and spare bits are passed over).
        RuntimeError: scale requires grad and gradients are on.

    **Embeddings of other libraries.** "int8" of sentence-transformers is (x - low) / step - 128 in each dimension,
    where step = (high - low) / 255 of its ranges: pass scale=step. These scores and those of the floats differ, but for
    rounding, by queries @ (128 * step + low), the same for all documents of a query, so their order is right. (Its own
    rescoring leaves the steps out, as scale=None does, and takes packed bits as 0 and 1, which gives
    (score + queries.sum(1)) / 2.) FAISS' 8-bit quantiser: its codes minus 128 as int8, with step = vdiff / 255.
    Documents divided by a number of their own each: those numbers, as (m, 1).

    >>> import numpy as np, fasthash
    >>> codes = fasthash.pack(np.array([[1, 1, -1], [-1, 1, 1]]))
    >>> query = np.array([[0.5, 2.0, -1.0]], dtype=np.float32)
    >>> fasthash.rescore(query, codes, np.array([[1, 0, -1]]))
    array([[ 0.5,  3.5, -inf]], dtype=float32)
    >>> values = np.array([[10, -20, 30], [4, 5, 6]], dtype=np.int8)
    >>> fasthash.rescore(query, values, np.array([[0, 1]]), scale=0.5)
    array([[-32.5,   3. ]], dtype=float32)
    """
    scale = scale_array(queries, scale)
    (queries, documents, candidates, scale), back = tensors(
        "rescore", queries=queries, documents=documents, candidates=candidates, scale=scale
    )
    return back(_rescore(queries, documents, candidates, scale))
