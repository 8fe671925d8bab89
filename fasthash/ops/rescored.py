"""Hamming search and rescoring in one call."""

from __future__ import annotations

import torch

from fasthash.ops import _check
from fasthash.ops._arrays import Array, tensors
from fasthash.ops._library import call, on_cuda, register, register_composite
from fasthash.ops.codes import _pack
from fasthash.ops.scores import _rescore, check_documents, check_queries, check_scale, scale_array
from fasthash.ops.search import _topk

_Optional = torch.Tensor | None


def _order_fake(scores: torch.Tensor, candidates: torch.Tensor, k: int) -> torch.Tensor:
    return candidates.new_empty((candidates.shape[0], k))


def order_by_sorting(scores: torch.Tensor, candidates: torch.Tensor, k: int) -> torch.Tensor:
    """What the kernel of score_order does, in ops of torch: two stable sorts, by candidate and then by score."""
    none = candidates < 0
    by_candidate = candidates.masked_fill(none, torch.iinfo(torch.int64).max).argsort(dim=1, stable=True)
    keys = scores.masked_fill(none | scores.isnan(), -torch.inf) + 0.0  # -0 and 0 are one
    by_score = keys.gather(1, by_candidate).argsort(dim=1, descending=True, stable=True)[:, :k]
    return by_candidate.gather(1, by_score)


def _order_kernel(scores: torch.Tensor, candidates: torch.Tensor, k: int) -> torch.Tensor:
    if on_cuda(scores):
        return order_by_sorting(scores, candidates, k)
    out = _order_fake(scores, candidates, k)
    scores, candidates = _check.contiguous(scores, candidates)
    call("score_order", out, scores, candidates, *candidates.shape, k, out)
    return out


_score_order = register(
    "score_order(Tensor scores, Tensor candidates, SymInt k) -> Tensor", kernel=_order_kernel, fake=_order_fake
)


def _topk_composite(
    queries: torch.Tensor,
    codes: torch.Tensor,
    k: int,
    oversample: int = 4,
    documents: _Optional = None,
    mask: _Optional = None,
    exclude: _Optional = None,
    scale: _Optional = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    name = "topk_rescored"
    check_queries(name, queries)
    _check.codes(name, "codes", codes)
    check_documents(name, "codes", codes, queries.shape[1])
    _check.whole(name, "k", k, 1)
    _check.whole(name, "oversample", oversample, 1)
    if documents is not None:
        check_documents(name, "documents", documents, queries.shape[1])
        if documents.shape[0] != codes.shape[0]:
            raise ValueError(
                f"{name}: documents: expected {codes.shape[0]} rows, one for each of codes, got {documents.shape[0]}"
            )
    if scale is not None:
        check_scale(name, scale, codes if documents is None else documents)
    _check.one_device(name, queries=queries, codes=codes, documents=documents, scale=scale)
    packed = _pack(queries.detach())
    _check.search(name, packed, codes, mask, exclude)
    _, candidates = _topk(packed, codes, max(k, min(k * oversample, codes.shape[0])), mask, exclude)
    return rescored(queries, codes if documents is None else documents, candidates, k, scale)


def rescored(
    queries: torch.Tensor, documents: torch.Tensor, candidates: torch.Tensor, k: int, scale: _Optional = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The second stage alone: scores (q, k) and documents (q, k) of highest score among candidates (q, c), c >= k."""
    scores = _rescore(queries, documents, candidates, scale)
    order = _score_order(scores.detach(), candidates, k)
    return scores.gather(1, order), candidates.gather(1, order)


_topk_rescored = register_composite(
    "topk_rescored(Tensor queries, Tensor codes, SymInt k, SymInt oversample=4, Tensor? documents=None,"
    " Tensor? mask=None, Tensor? exclude=None, Tensor? scale=None) -> (Tensor, Tensor)",
    _topk_composite,
)


def topk_rescored(
    queries: Array,
    codes: Array,
    k: int,
    *,
    oversample: int = 4,
    documents: Array | None = None,
    mask: Array | None = None,
    exclude: Array | None = None,
    scale: Array | float | None = None,
) -> tuple[Array, Array]:
    """The k documents of highest score among the k * oversample nearest codes: a Hamming search and its second stage.

    The same as `pack`, `hamming_topk` and `rescore` one after the other, on the device of the arrays; exact among the
    codes that the first stage takes. The more it takes, the more of the k best of all are among them.

    Args:
        queries: (q, dim) floats, not packed: their signs search, their values score. bits of a code = dim.
        codes: uint8 (m, ceil(dim / 8)), packed codes.
        k: how many, at least 1; may exceed m.
        oversample: codes that are scored for each one returned, at least 1.
        documents: (m, dim) int8 or floats to score instead of the codes; also uint8 codes.
        mask: bool (m,), True = may be returned.
        exclude: int64 (q,), one row that is not returned for that query, -1 = none.
        scale: of int8 documents, as in `rescore`.

    Returns:
        scores float32 (q, k) and indices int64 (q, k), by higher score, then lower index; -0 and 0 are one score, NaN
        stands with minus infinity. Places without a code hold minus infinity and -1. Scores are differentiable as those
        of `rescore` are.

    Raises:
        TypeError: wrong kind or dtype; packed queries among them.
        ValueError: rank, width, device or range do not fit (the range of exclude is not looked at on CUDA).
        RuntimeError: scale requires grad and gradients are on.

    >>> import numpy as np, fasthash
    >>> x = np.array([[0.9, 0.2, -0.1], [0.1, 0.8, -0.7], [-0.5, 0.5, 0.5]], dtype=np.float32)
    >>> fasthash.topk_rescored(x[:1], fasthash.pack(x), k=2)
    (array([[1.2, 1.2]], dtype=float32), array([[0, 1]]))
    >>> scores, indices = fasthash.topk_rescored(x[:1], fasthash.pack(x), k=2, documents=x)
    >>> scores.round(2), indices
    (array([[0.86, 0.32]], dtype=float32), array([[0, 1]]))
    """
    scale = scale_array(queries, scale)
    (queries, codes, documents, mask, exclude, scale), back = tensors(
        "topk_rescored",
        queries=queries,
        codes=codes,
        documents=documents,
        mask=mask,
        exclude=exclude,
        scale=scale,
    )
    k = _check.whole("topk_rescored", "k", k, 1)
    oversample = _check.whole("topk_rescored", "oversample", oversample, 1)
    return back(_topk_rescored(queries, codes, k, oversample, documents, mask, exclude, scale))
