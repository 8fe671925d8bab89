"""Gradients of rescoring: those of the same formula in plain torch, or a refusal by name."""

from __future__ import annotations

import pytest
import torch

import fasthash

DTYPES = [torch.uint8, torch.int8, torch.float16, torch.bfloat16, torch.float32, torch.float64]


def _documents(dtype: torch.dtype, rows: int, dim: int, generator: torch.Generator) -> torch.Tensor:
    x = torch.randn(rows, dim, generator=generator)
    return fasthash.pack(x) if dtype == torch.uint8 else (x * 30).to(dtype)


def _by_torch(queries: torch.Tensor, documents: torch.Tensor, candidates: torch.Tensor, scale: object) -> torch.Tensor:
    values = fasthash.unpack(documents, queries.shape[1]) if documents.dtype == torch.uint8 else documents.float()
    values = values if scale is None else values * scale.float()
    scores = (queries.float()[:, None, :] * values[candidates.clamp(min=0)]).sum(-1)
    return scores.masked_fill(candidates < 0, -torch.inf)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradient(dtype: torch.dtype, compiled: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    dim = 19
    candidates = torch.tensor([[0, 3, -1, 3], [2, -1, -1, 0], [1, 2, 3, 0]])  # row 3 twice for one query
    documents = _documents(dtype, 4, dim, generator)
    if dtype.is_floating_point:
        documents.requires_grad_()
    scales = [None] if dtype != torch.int8 else [None, torch.rand(dim), torch.rand(4, 1).double(), torch.tensor(0.5)]
    for scale in scales:
        queries = torch.randn(3, dim, generator=generator, requires_grad=True)
        wanted = [x for x in (queries, documents) if x.requires_grad]
        weights = torch.randn(3, 4, generator=generator)
        op = lambda q, d, c, s: fasthash.rescore(q, d, c, scale=s)  # noqa: E731
        torch._dynamo.reset()
        op = torch.compile(op, fullgraph=True, backend="aot_eager") if compiled else op
        got = torch.autograd.grad(op(queries, documents, candidates, scale), wanted, weights)
        expected = torch.autograd.grad(_by_torch(queries, documents, candidates, scale), wanted, weights)
        for x, y in zip(got, expected, strict=True):
            assert x.dtype == y.dtype
            torch.testing.assert_close(x, y)


def test_no_gradient_comes_from_places_without_a_candidate() -> None:
    documents = torch.tensor([[torch.nan, torch.inf], [1, 2]], requires_grad=True)
    queries = torch.tensor([[torch.inf, 3]], requires_grad=True)
    scores = fasthash.rescore(queries, documents, torch.tensor([[-1, 1]]))
    of_queries, of_documents = torch.autograd.grad(scores.sum(), (queries, documents))
    assert of_queries.tolist() == [[1, 2]]
    assert of_documents.tolist() == [[0, 0], [torch.inf, 3]]
    scores = fasthash.rescore(queries, documents[:0], torch.tensor([[-1]]))
    assert torch.autograd.grad(scores.sum(), queries)[0].tolist() == [[0, 0]]


def test_gradient_of_a_gradient() -> None:
    queries, documents = torch.randn(2, 5, requires_grad=True), torch.randn(3, 5, requires_grad=True)
    candidates = torch.tensor([[0, 2], [-1, 1]])
    scores = fasthash.rescore(queries, documents, candidates)
    (first,) = torch.autograd.grad(scores[0].sum(), queries, create_graph=True)
    (second,) = torch.autograd.grad(first[0].sum(), documents)
    assert torch.equal(second, torch.tensor([1.0, 0.0, 1.0])[:, None].expand(3, 5))


def test_gradient_of_a_search() -> None:
    x = torch.randn(30, 16)
    queries = torch.randn(2, 16, requires_grad=True)
    scores, indices = fasthash.topk_rescored(queries, fasthash.pack(x), 3)
    assert not indices.requires_grad
    (got,) = torch.autograd.grad(scores.sum(), queries)
    torch.testing.assert_close(got, fasthash.unpack(fasthash.pack(x), 16)[indices].sum(1))


def test_scale_refuses_to_lose_a_gradient() -> None:
    arguments = torch.randn(1, 4), torch.ones(2, 4, dtype=torch.int8), torch.tensor([[0]])
    scale = torch.rand(4, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"rescore: scale requires grad, but .*scale.detach\(\)"):
        fasthash.rescore(*arguments, scale=scale)
    with torch.no_grad():
        fasthash.rescore(*arguments, scale=scale)
