"""The second stage: the index gives what `topk_rescored` gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fasthash
from fasthash import HammingIndex


@pytest.fixture
def vectors(rng):
    return rng.standard_normal((400, 20)).astype(np.float32)


def stored(vectors, kind):
    if kind is None:
        return None
    return (vectors * 20).astype(np.int8) if kind == "int8" else vectors.astype(kind)


@pytest.mark.parametrize("kind", [None, "int8", "float16", "float32"])
def test_the_same_as_the_op(vectors, kind) -> None:
    codes, documents = fasthash.pack(vectors), stored(vectors, kind)
    index = HammingIndex(20, documents=kind)
    for part in (slice(0, 150), slice(150, 400)):
        index.add(codes[part], documents=None if documents is None else documents[part])
    assert index.documents == kind
    scale = np.linspace(0.5, 1, 20, dtype=np.float32) if kind == "int8" else None
    for k, oversample in ((5, 1), (5, 4), (7, 100), (500, 4)):
        expected = fasthash.topk_rescored(
            vectors[:9], codes, k, oversample=oversample, documents=documents, scale=scale
        )
        got = index.search_rescored(vectors[:9], k, oversample=oversample, scale=scale)
        tensors = index.search_rescored(
            torch.from_numpy(vectors[:9]),
            k,
            oversample=oversample,
            scale=None if scale is None else torch.from_numpy(scale),
        )
        for a, b, c in zip(got, expected, tensors, strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(c.numpy(), b)

    odd = np.arange(400) % 2 == 1
    expected = fasthash.topk_rescored(vectors[:9], codes, 5, documents=documents, mask=odd)
    for filter in (odd, np.flatnonzero(odd)):
        for a, b in zip(index.search_rescored(vectors[:9], 5, filter=filter), expected, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", ["int8", "float16", "float32"])
def test_documents_follow_their_codes(vectors, kind) -> None:
    codes, documents = fasthash.pack(vectors), stored(vectors, kind)
    index = HammingIndex(20, documents=kind)
    ids = np.random.default_rng(3).permutation(400)
    index.add(codes, ids, documents=documents)
    index.remove(ids[::2])
    other = HammingIndex(20, documents=kind)
    other.add(codes[:5], documents=documents[:5])
    index.merge_from(other, offset=1000)
    kept = np.concatenate([documents[1::2], documents[:5]])
    np.testing.assert_array_equal(index.reconstruct_documents(index.ids), kept)
    blocks = list(index.blocks(50))
    np.testing.assert_array_equal(np.concatenate([block.documents for block in blocks]), kept)
    scores, found = index.search_rescored(vectors[1:2], 1)
    np.testing.assert_allclose(scores[0, 0], vectors[1] @ documents[1].astype(np.float32), rtol=1e-5)
    assert found.tolist() == [[ids[1]]]


def test_float_documents_are_converted(vectors) -> None:
    for given in (vectors.astype(np.float64), torch.from_numpy(vectors).to(torch.bfloat16)):
        index = HammingIndex(20, documents="float16")
        index.add(fasthash.pack(given), documents=given)
        expected = torch.as_tensor(given).to(torch.float16).numpy()
        np.testing.assert_array_equal(index.reconstruct_documents(range(400)), expected)
    infinite = np.full((1, 20), np.inf, dtype=np.float32)
    index.add(fasthash.pack(infinite), documents=infinite)
    assert np.isinf(index.reconstruct_documents([400])).all()


def test_embeddings_of_sentence_transformers(vectors) -> None:
    """ "binary" and "ubinary" make the same index, and the order of its own rescoring comes out."""
    ubinary = np.packbits(vectors > 0, axis=-1)
    binary = (ubinary.astype(np.int16) - 128).astype(np.int8)
    found = []
    for embeddings in (ubinary, binary):
        index = HammingIndex(20)
        index.add(fasthash.from_sentence_transformers(embeddings))
        found.append(index.search_rescored(vectors[:4], 10, oversample=2))
    np.testing.assert_array_equal(found[0], found[1])
    with pytest.raises(ValueError, match="from_sentence_transformers"):
        index.add(binary)
    bits = np.unpackbits(ubinary, axis=-1, count=20)
    for query, scores, ids in zip(vectors[:4], *found[0], strict=True):
        theirs = bits[ids] @ query
        np.testing.assert_allclose((scores + query.sum()) / 2, theirs, rtol=1e-4, atol=1e-5)
