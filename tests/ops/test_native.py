"""The module checks sizes again: a wrong one there would be a memory error."""

from __future__ import annotations

import numpy as np
import pytest

from fasthash._native import _C

TABLE = np.zeros((3, 2), dtype=np.uint8)
OUT = np.zeros((3, 3), dtype=np.int32)
HERE, THERE = TABLE.ctypes.data, OUT.ctypes.data


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 3, 2, HERE, 3, 2, THERE, 1), "a: expected an address, got null"),
        ((HERE, -1, 2, HERE, 3, 2, THERE, 1), "a rows: expected at least 0, got -1"),
        ((HERE, 3, 0, HERE, 3, 0, THERE, 1), "a bytes: expected 1 to 8191, got 0"),
        ((HERE, 3, 2, HERE, 3, 8192, THERE, 1), "b bytes: expected 1 to 8191, got 8192"),
        ((HERE, 3, 2, HERE, 6, 1, THERE, 1), "bytes: expected codes of one width, got 2 and 1"),
        ((HERE, 3, 2, HERE, 3, 2, 0, 1), "out: expected an address, got null"),
        ((HERE, 3, 2, HERE, 3, 2, THERE, 0), "threads: expected at least 1, got 0"),
    ],
)
def test_a_wrong_size_is_refused(arguments: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"hamming_distance: {message}"):
        _C.hamming_distance(*arguments)


def test_other_sizes_too() -> None:
    sides = (HERE, 3, 2, HERE, 3, 2)
    with pytest.raises(ValueError, match="hamming_topk: k: expected at least 1, got 0"):
        _C.hamming_topk(*sides, 0, 0, 0, THERE, THERE, 1)
    with pytest.raises(ValueError, match="hamming_range: radius: expected at least 0, got -1"):
        _C.hamming_range(*sides, -1, 0, 0, 1)
    with pytest.raises(ValueError, match="hamming_range_padded: capacity: expected at least 1, got 0"):
        _C.hamming_range_padded(*sides, 1, 0, 0, 0, THERE, THERE, THERE, 1)
    with pytest.raises(ValueError, match="pack: width: expected 1, 2, 4 or 8, got 3"):
        _C.pack(HERE, 3, 0, 1, 1, 1, THERE, 1)
    with pytest.raises(ValueError, match="relevance_histogram: database_ids: expected an address, got null"):
        _C.relevance_histogram(*sides, HERE, 0, 0, 0, 0, 0, 0, THERE, 1)
    # packed sets of two bytes: 9 to 16 classes
    for classes in (8, 17):
        with pytest.raises(ValueError, match=f"overlap_histogram: classes: expected 9 to 16, got {classes}"):
            _C.overlap_histogram(*sides, 0, 0, HERE, HERE, 2, classes, 0, 0, THERE, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 0}, "dim: expected at least 1, got 0"),
        ({"values": 6}, "values: expected 0 to 5, got 6"),
        ({"row_stride": -1}, "row_stride: expected at least 0, got -1"),
        ({"documents": 0}, "documents: expected an address, got null"),
        ({"candidates": 0}, "candidates: expected an address, got null"),
        ({"scores": 0}, "scores: expected an address, got null"),
        ({"threads": 0}, "threads: expected at least 1, got 0"),
    ],
)
def test_a_wrong_size_of_rescoring_is_refused(change: dict[str, int], message: str) -> None:
    queries = {"queries": HERE, "query_rows": 1, "dim": 1}
    documents = {"documents": HERE, "values": 0, "document_rows": 3, "row_stride": 2, "scale": 0}
    rest = {"candidates": THERE, "count": 1, "scores": THERE, "threads": 1}
    with pytest.raises(ValueError, match=f"rescore: {message}"):
        _C.rescore(**(queries | documents | rest | change))
    with pytest.raises(ValueError, match="score_order: count: expected at least 2, got 1"):
        _C.score_order(HERE, HERE, 1, 1, 2, THERE, 1)
