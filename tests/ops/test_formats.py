"""Codes of other libraries."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
import torch
from op_cases import assert_equal, codes

import fasthash


def test_faiss_reads_what_we_write(rng: np.random.Generator) -> None:
    x = rng.standard_normal((20, 64)).astype(np.float32)
    theirs = np.zeros((20, 8), dtype=np.uint8)
    faiss.fvecs2bitvecs(faiss.swig_ptr(x), faiss.swig_ptr(theirs), 64, 20)
    assert_equal(fasthash.to_faiss(fasthash.pack(x)), theirs)
    assert_equal(fasthash.from_faiss(theirs), fasthash.pack(x))


def test_every_byte_comes_back() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(32, 8)
    for array in (every, torch.from_numpy(every)):
        assert_equal(fasthash.from_faiss(fasthash.to_faiss(array)), every)
        for precision in ("ubinary", "binary"):
            there = fasthash.to_sentence_transformers(array, precision)
            assert type(there) is type(array)
            assert_equal(fasthash.from_sentence_transformers(there), every)


def test_binary_is_the_byte_minus_128(rng: np.random.Generator) -> None:
    """As sentence_transformers.quantize_embeddings makes it."""
    x = rng.standard_normal((5, 40))
    packed = np.packbits(x > 0, axis=-1)
    binary = (packed.astype(np.int16) - 128).astype(np.int8)
    assert_equal(fasthash.from_sentence_transformers(binary), fasthash.pack(x))
    assert_equal(fasthash.to_sentence_transformers(fasthash.pack(x), "binary"), binary)
    assert_equal(fasthash.from_sentence_transformers(binary[:, ::2]), packed[:, ::2])


def test_wrong_input_is_named(rng: np.random.Generator) -> None:
    table = codes(rng, 2, 2)
    with pytest.raises(TypeError, match="from_faiss: codes: expected uint8, got int8"):
        fasthash.from_faiss(table.view(np.int8))
    with pytest.raises(TypeError, match=r"from_sentence_transformers: codes: .* or int8, got torch.float32"):
        fasthash.from_sentence_transformers(torch.zeros(2))
    with pytest.raises(TypeError, match=r"to_faiss: codes: .*got list"):
        fasthash.to_faiss([1])
    with pytest.raises(ValueError, match=r"to_sentence_transformers: precision: .*got 'int8'"):
        fasthash.to_sentence_transformers(table, "int8")
