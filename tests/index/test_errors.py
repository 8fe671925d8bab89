"""Bad input raises TypeError or ValueError that names the method, the argument, what was expected and what came."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fasthash import HammingIndex

CODES = np.zeros((3, 2), dtype=np.uint8)
META = torch.zeros(3, 2, dtype=torch.uint8, device="meta")
INDEX = HammingIndex(12)
INDEX.add(CODES)
STORING = HammingIndex(12, documents="float16")
INT8 = HammingIndex(12, documents="int8")
FLOATS = np.zeros((3, 12), dtype=np.float32)

CASES = [
    (lambda: HammingIndex(0), ValueError, "HammingIndex: bits: expected at least 1, got 0"),
    (lambda: HammingIndex(65529), ValueError, "HammingIndex: bits: expected at most 65528, got 65529"),
    (lambda: HammingIndex(8.0), TypeError, "HammingIndex: bits: expected a whole number, got float"),
    (lambda: HammingIndex(8, documents="float64"), ValueError, "documents: expected None, int8, .* got 'float64'"),
    (lambda: HammingIndex(8, device="gpu"), ValueError, "device: expected a device such as cpu or cuda:0, got 'gpu'"),
    (lambda: HammingIndex(8, device=3.5), TypeError, "device: .*got float"),
    (lambda: HammingIndex(8, device="meta"), ValueError, "device: expected cpu or cuda, got meta"),
    (lambda: INDEX.to("meta"), ValueError, "HammingIndex.to: device: expected cpu or cuda, got meta"),
    # codes
    (lambda: INDEX.add([[1, 2]]), TypeError, "HammingIndex.add: codes: expected a torch tensor or a NumPy array"),
    (
        lambda: INDEX.add(FLOATS),
        TypeError,
        "add: codes: expected packed codes .*got torch.float32; fasthash.pack makes",
    ),
    (
        lambda: INDEX.add(CODES.astype(np.int8)),
        ValueError,
        "add: codes: .*got torch.int8; .*from_sentence_transformers",
    ),
    (lambda: INDEX.add(CODES[:, :1]), ValueError, "add: codes: expected 2 bytes a code for 12 bits, got 1"),
    (lambda: INDEX.add(CODES[0]), ValueError, r"add: codes: expected shape \(rows, bytes\), got \(2,\)"),
    (lambda: INDEX.add(CODES + 1), ValueError, "add: codes: expected zero spare bits after bit 12"),
    (lambda: INDEX.add(META), ValueError, r"add: codes: expected the device of the index \(cpu\), got meta"),
    # ids
    (lambda: INDEX.add(CODES, [1, 2]), ValueError, r"add: ids: expected shape \(3,\), one id a code, got \(2,\)"),
    (lambda: INDEX.add(CODES, [7, 8, -9]), ValueError, "add: ids: expected ids from 0 up, got -9"),
    (lambda: INDEX.add(CODES, [7.0, 8.0, 9.0]), TypeError, "add: ids: expected whole numbers, got torch.float64"),
    (lambda: INDEX.add(CODES, "abc"), TypeError, "add: ids: expected a list or an array, got str"),
    (lambda: INDEX.add(CODES, [[7], [8, 9]]), ValueError, "add: ids: expected a list of numbers"),
    (
        lambda: INDEX.add(CODES, np.full(3, 2**63, np.uint64)),
        ValueError,
        "add: ids: expected ids up to 92233720368547758",
    ),
    (lambda: INDEX.add(CODES, torch.arange(3)), TypeError, "one kind, got codes as a NumPy array and ids as a torch"),
    (lambda: INDEX.remove([77]), ValueError, "remove: ids: expected ids of the index, got 77"),
    (lambda: INDEX.reconstruct([0, 77]), ValueError, "reconstruct: ids: expected ids of the index, got 77"),
    (lambda: INDEX.reconstruct(np.zeros(3)), TypeError, "reconstruct: ids: expected whole numbers, got torch.float64"),
    (
        lambda: INDEX.reconstruct_documents([0]),
        ValueError,
        "reconstruct_documents: expected an index made with documents=",
    ),
    # search
    (lambda: INDEX.search(CODES, 0), ValueError, "search: k: expected at least 1, got 0"),
    (lambda: INDEX.search(CODES, 1.0), TypeError, "search: k: expected a whole number, got float"),
    (lambda: INDEX.search(FLOATS, 1), TypeError, "search: queries: expected packed codes"),
    (lambda: INDEX.search(CODES[:, :1], 1), ValueError, "search: queries: expected 2 bytes a code for 12 bits, got 1"),
    (lambda: INDEX.search(CODES + 1, 1), ValueError, "search: queries: expected zero spare bits"),
    (lambda: INDEX.search(META, 1), ValueError, "search: queries: expected the device of the index"),
    (lambda: INDEX.search(CODES, 1, filter=[0, 77]), ValueError, "search: filter: expected ids of the index, got 77"),
    (
        lambda: INDEX.search(CODES, 1, filter=[True]),
        ValueError,
        r"search: filter: expected shape \(3,\), one .*got \(1,\)",
    ),
    (
        lambda: INDEX.search(CODES, 1, filter=[0.5]),
        TypeError,
        "search: filter: expected whole numbers, got torch.float64",
    ),
    (lambda: INDEX.search(CODES, 1, filter={1}), TypeError, "search: filter: expected a list or an array, got set"),
    (
        lambda: INDEX.search(CODES, 1, filter=torch.ones(3)),
        TypeError,
        "one kind, got queries as a NumPy array and filter",
    ),
    (lambda: INDEX.range_search(CODES, -1), ValueError, "range_search: radius: expected at least 0, got -1"),
    (lambda: INDEX.range_search(CODES, 1, filter=[77]), ValueError, "range_search: filter: expected ids of the index"),
    # documents and rescoring
    (
        lambda: INDEX.add(CODES, documents=FLOATS),
        ValueError,
        "add: documents: expected None, as the index was made without",
    ),
    (
        lambda: STORING.add(CODES),
        ValueError,
        r"add: documents: expected shape \(3, 12\), as the index stores them, got None",
    ),
    (
        lambda: STORING.add(CODES, documents=FLOATS[:2]),
        ValueError,
        r"documents: expected shape \(3, 12\), got \(2, 12\)",
    ),
    (
        lambda: STORING.add(CODES, documents=CODES.repeat(6, 1)),
        TypeError,
        "documents: expected floats, .*got torch.uint8",
    ),
    (lambda: STORING.add(CODES, documents=FLOATS + 1e5), ValueError, "documents: expected values of at most 65504"),
    (lambda: INT8.add(CODES, documents=FLOATS), TypeError, "documents: expected torch.int8, as .*got torch.float32"),
    (lambda: INDEX.search_rescored(CODES, 1), TypeError, "search_rescored: queries: expected floats, not packed"),
    (
        lambda: INDEX.search_rescored(FLOATS[:, :8], 1),
        ValueError,
        "queries: expected 12 dimensions, as many as bits, got 8",
    ),
    (
        lambda: INDEX.search_rescored(FLOATS, 1, oversample=0),
        ValueError,
        "search_rescored: oversample: .*least 1, got 0",
    ),
    (lambda: INDEX.search_rescored(FLOATS, 1, scale=2.0), ValueError, "search_rescored: scale: expected None"),
    (
        lambda: INT8.search_rescored(FLOATS, 1, scale=FLOATS),
        ValueError,
        "search_rescored: scale: expected a number, shape",
    ),
    # the rest
    (lambda: INDEX.merge_from(CODES), TypeError, "merge_from: other: expected a HammingIndex, got ndarray"),
    (lambda: INDEX.merge_from(HammingIndex(13)), ValueError, "merge_from: other: expected bits 12 .*got 13"),
    (lambda: INDEX.merge_from(STORING), ValueError, "other: expected documents None as this index has, got float16"),
    (lambda: INDEX.merge_from(INDEX, offset=-1), ValueError, "merge_from: offset: expected at least 0, got -1"),
    (lambda: INDEX.blocks(0), ValueError, "HammingIndex.blocks: rows: expected at least 1, got 0"),
]


@pytest.mark.parametrize(("call", "error", "text"), CASES, ids=range(len(CASES)))
def test_message(call, error, text) -> None:
    with pytest.raises(error, match=text) as raised:
        call()
    assert type(raised.value) is error
    assert len(INDEX) == 3
    assert len(STORING) == len(INT8) == 0


def test_cuda_without_a_gpu() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match=r"HammingIndex: device: .*torch sees no GPU"):
        HammingIndex(8, device="cuda")
