"""Codes to FAISS and back, with FAISS' own search as the judge."""

from __future__ import annotations

import numpy as np
import pytest

import fasthash
from fasthash import HammingIndex

faiss = pytest.importorskip("faiss")


@pytest.mark.parametrize("bits", [8, 12, 64])
@pytest.mark.parametrize("ids", [None, "any"])
def test_there_and_back(tmp_path, rng, bits, ids) -> None:
    codes = fasthash.pack(rng.standard_normal((200, bits)))
    index = HammingIndex(bits)
    index.add(codes, None if ids is None else rng.permutation(200) * 3)
    faiss.write_index_binary(index.to_faiss(), str(tmp_path / "a"))
    theirs = faiss.read_index_binary(str(tmp_path / "a"))
    distances, found = theirs.search(fasthash.to_faiss(codes[:9]), 7)
    np.testing.assert_array_equal(distances, index.search(codes[:9], 7)[0])
    nearest = np.bitwise_count(index.reconstruct(found.ravel()) ^ codes[:9].repeat(7, axis=0)).sum(axis=1)
    np.testing.assert_array_equal(nearest, distances.ravel())
    back = HammingIndex.from_faiss(theirs, bits=bits)
    np.testing.assert_array_equal(back.codes, codes)
    np.testing.assert_array_equal(back.ids, index.ids)


def test_empty() -> None:
    assert len(HammingIndex.from_faiss(HammingIndex(16).to_faiss())) == 0


def test_other_kinds_are_refused() -> None:
    ivf = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(16), 16, 1)
    with pytest.raises(TypeError, match=r"from_faiss: index: expected a faiss\.IndexBinaryFlat, .*got IndexBinaryIVF"):
        HammingIndex.from_faiss(ivf)
    with pytest.raises(TypeError, match=r"from_faiss: index: expected .*got str"):
        HammingIndex.from_faiss("a.faiss")
    flat = faiss.IndexBinaryFlat(16)
    flat.add(np.full((1, 2), 255, np.uint8))
    with pytest.raises(ValueError, match="expected zero spare bits after bit 12"):
        HammingIndex.from_faiss(flat, bits=12)
