"""Bad input raises TypeError or ValueError that names the function, the argument, what was expected and what came."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fasthash

A = np.zeros((3, 2), dtype=np.uint8)
B = np.zeros((5, 2), dtype=np.uint8)
IDS = np.zeros(3, dtype=np.int64), np.zeros(5, dtype=np.int64)
TA, TB = torch.from_numpy(A), torch.from_numpy(B)
META = torch.zeros(5, 2, dtype=torch.uint8, device="meta")
FLOATS = np.zeros((3, 16), dtype=np.float32)
INT8 = np.zeros((5, 16), dtype=np.int8)
ROWS = np.zeros((3, 4), dtype=np.int64)

CASES = [
    # pack, unpack
    (lambda: fasthash.pack([1.0]), TypeError, "pack: x: expected a torch tensor or a NumPy array, got list"),
    (lambda: fasthash.pack(A), TypeError, "pack: x: .*got torch.uint8"),
    (lambda: fasthash.pack(np.zeros(3, dtype=complex)), TypeError, "pack: x: .*got torch.complex128"),
    (lambda: fasthash.pack(np.array(["a"])), TypeError, "pack: x: expected a dtype that torch knows, got <U1"),
    (lambda: fasthash.pack(np.zeros(())), ValueError, r"pack: x: .*at least 1 bit, got \(\)"),
    (lambda: fasthash.pack(np.zeros((3, 0))), ValueError, r"pack: x: .*at least 1 bit, got \(3, 0\)"),
    (lambda: fasthash.unpack(A.astype(np.int8), 16), TypeError, "unpack: codes: .*got torch.int8"),
    (lambda: fasthash.unpack(A, 17), ValueError, r"unpack: codes: expected shape \(..., 3\) for 17 bits, got \(3, 2\)"),
    (lambda: fasthash.unpack(A, 0), ValueError, "unpack: bits: expected at least 1, got 0"),
    (lambda: fasthash.unpack(A, 16.0), TypeError, "unpack: bits: expected a whole number, got float"),
    (lambda: fasthash.unpack(~A, 12), ValueError, "unpack: codes: expected zero spare bits after bit 12"),
    # tables
    (lambda: fasthash.hamming_distance(A.astype(np.float32), B), TypeError, "hamming_distance: a: .*got torch.float32"),
    (lambda: fasthash.hamming_distance(A, B.astype(np.int8)), ValueError, "b: .*int8; .*from_sentence_transformers"),
    (lambda: fasthash.hamming_distance(A, TB.to_sparse()), ValueError, "b: expected a dense tensor, got torch.sparse"),
    (lambda: fasthash.pack(np.zeros(3, dtype="V0")), TypeError, "pack: x: expected a dtype that torch knows"),
    (lambda: fasthash.hamming_distance(A, B[0]), ValueError, r"hamming_distance: b: .*\(rows, bytes\), got \(2,\)"),
    (lambda: fasthash.hamming_distance(A, B[:, :1]), ValueError, "hamming_distance: b: expected 2 bytes .*got 1"),
    (lambda: fasthash.hamming_distance(A[:, :0], B[:, :0]), ValueError, "hamming_distance: a: .*got 0"),
    (lambda: fasthash.hamming_distance(np.zeros((1, 8192), np.uint8), B), ValueError, "1 to 8191 bytes .*got 8192"),
    (lambda: fasthash.label_overlap(A, B[:, :1]), ValueError, "label_overlap: b: expected 2 bytes .*got 1"),
    (lambda: fasthash.hamming_distance(A, TB), TypeError, "hamming_distance: .*one kind, got a as a NumPy array and b"),
    (lambda: fasthash.hamming_topk(TA, META, 1), ValueError, "database: expected the device of queries .*got meta"),
    # k and radius
    (lambda: fasthash.hamming_topk(A, B, 0), ValueError, "hamming_topk: k: expected at least 1, got 0"),
    (lambda: fasthash.hamming_topk(A, B, -1), ValueError, "hamming_topk: k: expected at least 1, got -1"),
    (lambda: fasthash.hamming_topk(A, B, 1.5), TypeError, "hamming_topk: k: expected a whole number, got float"),
    (lambda: fasthash.hamming_topk(A, B, True), TypeError, "hamming_topk: k: expected a whole number, got bool"),
    (lambda: fasthash.hamming_range(A, B, -1), ValueError, "hamming_range: radius: expected at least 0, got -1"),
    (lambda: fasthash.hamming_range(A, B, "2"), TypeError, "hamming_range: radius: .*got str"),
    (lambda: fasthash.hamming_range_padded(A, B, -1, 1), ValueError, "hamming_range_padded: radius: .*least 0, got -1"),
    (lambda: fasthash.hamming_range_padded(A, B, 1, 0), ValueError, "hamming_range_padded: capacity: .*least 1, got 0"),
    (lambda: fasthash.hamming_range_padded(A, B, 1, 2.0), TypeError, "hamming_range_padded: capacity: .*got float"),
    (lambda: fasthash.hamming_range_padded(A, B, 1, 1, exclude=np.full(3, 9)), ValueError, "exclude: .*got 9"),
    (lambda: fasthash.hamming_topk(A, B, 2**63), ValueError, f"hamming_topk: k: expected at most {2**48 - 1}"),
    (lambda: fasthash.hamming_range(A, B, 2**70), ValueError, "hamming_range: radius: expected at most"),
    (lambda: fasthash.unpack(A, 2**63), ValueError, "unpack: bits: expected at most"),
    # mask and exclude
    (lambda: fasthash.hamming_topk(A, B, 1, mask=np.ones(4, bool)), ValueError, r"mask: expected shape \(5,\).*\(4,\)"),
    (
        lambda: fasthash.hamming_topk(A, B, 1, mask=np.ones(5)),
        TypeError,
        "mask: expected torch.bool, got torch.float64",
    ),
    (lambda: fasthash.hamming_range(A, B, 1, mask=np.ones((5, 1), bool)), ValueError, "hamming_range: mask: "),
    (lambda: fasthash.hamming_histogram(A, B, mask=np.ones(4, bool)), ValueError, "hamming_histogram: mask: "),
    (lambda: fasthash.hamming_topk(A, B, 1, exclude=np.zeros(5, int)), ValueError, r"exclude: expected shape \(3,\)"),
    (lambda: fasthash.hamming_topk(A, B, 1, exclude=np.zeros(3)), TypeError, "exclude: expected torch.int64"),
    (lambda: fasthash.hamming_topk(A, B, 1, exclude=np.full(3, 5)), ValueError, r"exclude: .*\(0 to 4\), got 5"),
    (lambda: fasthash.hamming_range(A, B, 1, exclude=np.full(3, -2)), ValueError, "exclude: .*got -2"),
    (lambda: fasthash.hamming_histogram(A, B, exclude=np.full(3, 9)), ValueError, "exclude: .*got 9"),
    (lambda: fasthash.hamming_topk(A, B, 1, mask=torch.ones(5, dtype=torch.bool)), TypeError, "one kind"),
    # labels
    (lambda: fasthash.relevance_histogram(A, B, IDS[0][:2], IDS[1]), ValueError, r"query_labels: .*got \(2,\)"),
    (lambda: fasthash.relevance_histogram(A, B, IDS[0], IDS[1][:2]), ValueError, r"database_labels: .*got \(2,\)"),
    (lambda: fasthash.relevance_histogram(A, B, IDS[0], np.zeros((5, 2))), ValueError, "database_labels: .*form of"),
    (lambda: fasthash.relevance_histogram(A, B, IDS[0] * 1.0, IDS[1]), TypeError, "query_labels: .*torch.float64"),
    (
        lambda: fasthash.overlap_histogram(A, B, IDS[0], np.zeros((5, 2))),
        ValueError,
        "overlap_histogram: database_labels",
    ),
    (lambda: fasthash.overlap_histogram(A, B, IDS[0] - 2, IDS[1]), ValueError, "overlap_histogram: query_labels: .*-2"),
    (lambda: fasthash.overlap_histogram(A, B, *IDS, exclude=np.full(3, 9)), ValueError, "exclude: .*got 9"),
    (lambda: fasthash.average_precision_counts(A, B, *IDS, k=0), ValueError, "average_precision_counts: k: .*got 0"),
    (lambda: fasthash.average_precision_counts(A, B, *IDS, k=2.0), TypeError, "average_precision_counts: k: .*float"),
    (
        lambda: fasthash.relevance_histogram(A, B, IDS[0] - 5, IDS[1]),
        ValueError,
        "query_labels: .*got -5",
    ),
    (lambda: fasthash.relevance_histogram(A, B, IDS[0].astype(np.uint64), IDS[1]), TypeError, "query_labels: .*uint64"),
    (
        lambda: fasthash.relevance_histogram(A, B, np.ones((3, 2), np.uint16), np.ones((5, 2), np.uint16)),
        TypeError,
        "query_labels: .*uint16",
    ),
    # rescoring
    (lambda: fasthash.rescore(A, B, ROWS), TypeError, "rescore: queries: expected floats, not packed.*torch.uint8"),
    (lambda: fasthash.rescore(FLOATS[0], B, ROWS), ValueError, r"rescore: queries: expected shape .*got \(16,\)"),
    (lambda: fasthash.rescore(FLOATS[:, :0], B, ROWS), ValueError, r"rescore: queries: .*got \(3, 0\)"),
    (lambda: fasthash.rescore(FLOATS, B.astype(int), ROWS), TypeError, "rescore: documents: .*got torch.int64"),
    (
        lambda: fasthash.rescore(FLOATS, B[0], ROWS),
        ValueError,
        r"documents: expected shape \(rows, bytes\), got \(2,\)",
    ),
    (lambda: fasthash.rescore(FLOATS, INT8[0], ROWS), ValueError, r"documents: expected shape \(documents, 16\)"),
    (
        lambda: fasthash.rescore(FLOATS, B[:, :1], ROWS),
        ValueError,
        "documents: expected 2 bytes .*16 dimensions, got 1",
    ),
    (lambda: fasthash.rescore(FLOATS, FLOATS[:, :9], ROWS), ValueError, "documents: expected 16 dimensions .*got 9"),
    (lambda: fasthash.rescore(FLOATS, INT8[:, :2], ROWS), ValueError, "got 2; .*from_sentence_transformers"),
    (lambda: fasthash.rescore(FLOATS, B, ROWS.astype(np.int32)), TypeError, "candidates: expected torch.int64, got"),
    (lambda: fasthash.rescore(FLOATS, B, ROWS[:2]), ValueError, r"candidates: expected shape \(3, candidates\)"),
    (lambda: fasthash.rescore(FLOATS, B, ROWS[0]), ValueError, r"candidates: expected shape .*got \(4,\)"),
    (
        lambda: fasthash.rescore(FLOATS, B, ROWS + 5),
        ValueError,
        r"candidates: expected -1 or a row of documents.*got 5",
    ),
    (lambda: fasthash.rescore(FLOATS, B, ROWS - 2), ValueError, r"candidates: .*\(0 to 4\), got -2"),
    (lambda: fasthash.rescore(FLOATS, B[:0], ROWS), ValueError, "candidates: .*documents has no rows, got 0"),
    (lambda: fasthash.rescore(FLOATS, B, ROWS, scale=2.0), ValueError, "scale: expected None, .*torch.uint8"),
    (lambda: fasthash.rescore(FLOATS, INT8, ROWS, scale="2"), TypeError, "rescore: scale: .*got str"),
    (lambda: fasthash.rescore(FLOATS, INT8, ROWS, scale=ROWS[0]), TypeError, "scale: expected floats, got torch.int64"),
    (
        lambda: fasthash.rescore(FLOATS, INT8, ROWS, scale=np.ones(5)),
        ValueError,
        r"scale: expected a number, shape \(16,\), one factor a dimension, or \(5, 1\), one a document, got \(5,\)",
    ),
    (lambda: fasthash.rescore(torch.zeros(3, 16), META, torch.zeros(3, 1).long()), ValueError, "documents: .*got meta"),
    (lambda: fasthash.rescore(FLOATS, TB, ROWS), TypeError, "rescore: .*one kind, got queries as a NumPy array"),
    (lambda: fasthash.topk_rescored(A, B, 1), TypeError, "topk_rescored: queries: .*not packed.*got torch.uint8"),
    (lambda: fasthash.topk_rescored(FLOATS, INT8, 1), ValueError, "topk_rescored: codes: expected packed codes"),
    (lambda: fasthash.topk_rescored(FLOATS, B[:, :1], 1), ValueError, "topk_rescored: codes: expected 2 bytes"),
    (lambda: fasthash.topk_rescored(FLOATS, B, 0), ValueError, "topk_rescored: k: expected at least 1, got 0"),
    (lambda: fasthash.topk_rescored(FLOATS, B, 1, oversample=0), ValueError, "topk_rescored: oversample: .*got 0"),
    (lambda: fasthash.topk_rescored(FLOATS, B, 1, oversample=1.5), TypeError, "topk_rescored: oversample: .*float"),
    (
        lambda: fasthash.topk_rescored(FLOATS, B, 1, documents=INT8[:4]),
        ValueError,
        "topk_rescored: documents: expected 5 rows, one for each of codes, got 4",
    ),
    (
        lambda: fasthash.topk_rescored(FLOATS, B, 1, documents=INT8[:, :9]),
        ValueError,
        "topk_rescored: documents: expected 16 dimensions",
    ),
    (lambda: fasthash.topk_rescored(FLOATS, B, 1, scale=0.5), ValueError, "topk_rescored: scale: .*not int8 but"),
    (lambda: fasthash.topk_rescored(FLOATS, B, 1, mask=np.ones(4, bool)), ValueError, "topk_rescored: mask: .*4,"),
    (lambda: fasthash.topk_rescored(FLOATS, B, 1, exclude=ROWS[:, 0] + 9), ValueError, "hamming_topk: exclude: .*9"),
    # levels
    (lambda: fasthash.set_cpu_level("mmx"), ValueError, r"set_cpu_level: name: .*scalar.*got 'mmx'"),
    (lambda: fasthash.set_cpu_level(2), TypeError, "set_cpu_level: name: expected a string, got int"),
    (lambda: fasthash.set_cuda_path(2), TypeError, "set_cuda_path: name: expected a string, got int"),
]


@pytest.mark.parametrize(("call", "error", "message"), CASES, ids=[case[2][:50] for case in CASES])
def test_bad_input_is_named(call: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_codes_on_two_devices() -> None:
    with pytest.raises(ValueError, match=r"hamming_distance: b: expected the device of a \(meta\), got cpu"):
        fasthash.hamming_distance(META, TB)


def test_pack_refuses_to_lose_a_gradient() -> None:
    x = torch.randn(3, 8, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"pack: x requires grad.*x.detach\(\)"):
        fasthash.pack(x)
    expected = fasthash.pack(x.detach())
    with torch.no_grad():
        assert torch.equal(fasthash.pack(x), expected)
    with torch.inference_mode():
        assert torch.equal(fasthash.pack(x), expected)


def test_label_ops_refuse_to_lose_a_gradient() -> None:
    wanted, plain = torch.rand(3, 4, requires_grad=True), torch.rand(5, 4)
    for op in (fasthash.relevance_histogram, fasthash.overlap_histogram, fasthash.average_precision_counts):
        with pytest.raises(RuntimeError, match=f"{op.__name__}: query_labels requires grad"):
            op(TA, TB, wanted, plain)
        with torch.no_grad():
            op(TA, TB, wanted, plain)


def test_cuda_without_kernels_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from fasthash.ops import _library

    monkeypatch.delattr(_library._C, "cuda", raising=False)
    with pytest.raises(RuntimeError, match="hamming_topk: this build has no CUDA kernels"):
        _library.cuda_kernels("hamming_topk")
