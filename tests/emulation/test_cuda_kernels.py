"""Every CUDA kernel, run by the emulation, against its NumPy twin: exact equality, whatever order the threads take."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from emulation_cases import check_average_precision, equal, filters, labels
from numpy.typing import NDArray

Array = NDArray[Any]

WIDTHS = [1, 2, 3, 8, 16, 20, 32, 33, 128]
ROWS = [0, 1, 7, 97]
LIMITS = {np.float16: 0x7C00, np.float32: 0x7F800000, np.float64: 0x7FF0000000000000, np.int8: 127, np.int64: 2**63 - 1}


@pytest.mark.parametrize("bits", [1, 7, 8, 31, 32, 33, 48, 100, 136, 300])
@pytest.mark.parametrize("dtype", LIMITS)
def test_pack(kernels: Any, reference: ModuleType, dtype: type, bits: int) -> None:
    x = np.random.default_rng(bits).integers(-2, 3, (5, bits)).astype(dtype)
    if np.issubdtype(dtype, np.floating):
        special = [np.nan, -np.nan, np.inf, -np.inf, -0.0, np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max]
        x.flat[: len(special)] = special[: x.size]
    equal(kernels.pack(x, LIMITS[dtype]), reference.pack(x))


@pytest.mark.parametrize(("width", "first"), [(50, 0), (64, 0), (64, 3), (64, 16)])
@pytest.mark.parametrize("dtype", LIMITS)
def test_pack_reads_rows_with_a_stride(
    kernels: Any, reference: ModuleType, dtype: type, width: int, first: int
) -> None:
    x = np.random.default_rng(0).integers(-2, 3, (6, width)).astype(dtype)[::2, first : first + 43]
    equal(kernels.pack(x, LIMITS[dtype]), reference.pack(x))


@pytest.mark.parametrize("bits", [1, 4, 8, 31, 33, 36, 100, 300, 302])
def test_unpack(kernels: Any, reference: ModuleType, random_codes: Any, bits: int) -> None:
    codes = random_codes(5, -(-bits // 8))
    equal(kernels.unpack(codes, bits), reference.unpack(codes, bits))


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("width", WIDTHS)
def test_matrices(kernels: Any, reference: ModuleType, random_codes: Any, width: int, rows: int) -> None:
    a, b = random_codes(5, width), random_codes(rows, width, seed=1)
    equal(kernels.hamming_distance(a, b), reference.hamming_distance(a, b))
    equal(kernels.label_overlap(a, b), reference.label_overlap(a, b))


@pytest.mark.parametrize("offset", [1, 4])
@pytest.mark.parametrize("width", [4, 8, 12])
def test_codes_may_start_anywhere(
    kernels: Any, reference: ModuleType, random_codes: Any, width: int, offset: int
) -> None:
    memory = np.zeros(40 * width + 16, np.uint8)
    start = -memory.ctypes.data % 8 + offset
    database = memory[start : start + 40 * width].reshape(40, width)
    database[...] = random_codes(40, width)
    equal(kernels.hamming_distance(database[:3], database), reference.hamming_distance(database[:3], database))


@pytest.mark.parametrize("filtered", [False, True], ids=["all", "filtered"])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("width", WIDTHS)
def test_search(kernels: Any, reference: ModuleType, random_codes: Any, width: int, rows: int, filtered: bool) -> None:
    queries, database = random_codes(9, width), random_codes(rows, width, seed=1)
    options = filters(9, rows) if filtered else {}
    for k in (5, 200):
        equal(
            kernels.hamming_topk(queries, database, k, **options),
            reference.hamming_topk(queries, database, k, **options),
        )
    for radius in (0, 4 * width):
        equal(
            kernels.hamming_range(queries, database, radius, **options),
            reference.hamming_range(queries, database, radius, **options),
        )
        equal(
            kernels.hamming_range_padded(queries, database, radius, 20, **options),
            reference.hamming_range_padded(queries, database, radius, 20, **options),
        )
    equal(
        kernels.hamming_histogram(queries, database, **options),
        reference.hamming_histogram(queries, database, **options),
    )


@pytest.mark.parametrize("width", [1, 8, 33])
def test_ties_stand_by_index(kernels: Any, reference: ModuleType, random_codes: Any, width: int) -> None:
    queries, database = random_codes(4, width), random_codes(300, width, distinct=3)
    for k in (1, 50, 299, 300):
        equal(kernels.hamming_topk(queries, database, k), reference.hamming_topk(queries, database, k))
    radius = int(reference.hamming_distance(queries, database).max()) - 1
    equal(kernels.hamming_range(queries, database, radius), reference.hamming_range(queries, database, radius))


@pytest.mark.parametrize("queries", [1, 20])
def test_many_parts_and_tiles(kernels: Any, reference: ModuleType, random_codes: Any, queries: int) -> None:
    rows = 2500 if queries == 1 else 1100  # a part has 1024 rows at least
    a, b = random_codes(queries, 3), random_codes(rows, 3, distinct=50, seed=1)
    options = filters(queries, rows)
    query_labels, database_labels = labels("ids", queries, rows)
    for k in (1, 40, rows):
        equal(kernels.hamming_topk(a, b, k, **options), reference.hamming_topk(a, b, k, **options))
    equal(kernels.hamming_range(a, b, 9, **options), reference.hamming_range(a, b, 9, **options))
    for capacity in (15, rows):
        equal(
            kernels.hamming_range_padded(a, b, 9, capacity, **options),
            reference.hamming_range_padded(a, b, 9, capacity, **options),
        )
    equal(
        kernels.relevance_histogram(a, b, query_labels, database_labels, **options),
        reference.relevance_histogram(a, b, query_labels, database_labels, **options),
    )
    check_average_precision(kernels, reference, a, b, query_labels, database_labels, k=700, **options)


@pytest.mark.parametrize(("width", "count"), [(600, 5), (1200, 2)])
def test_wide_codes(kernels: Any, reference: ModuleType, random_codes: Any, width: int, count: int) -> None:
    """Few or no tables of counts fit in shared memory, and the workspace holds one to three queries at a time."""
    queries, database = random_codes(count, width), random_codes(40, width, distinct=20, seed=1)
    both, options = labels("ids", count, 40), filters(count, 40)
    radius = int(np.median(reference.hamming_distance(queries, database)))
    equal(
        kernels.hamming_topk(queries, database, 30, **options),
        reference.hamming_topk(queries, database, 30, **options),
    )
    equal(
        kernels.hamming_range(queries, database, radius, **options),
        reference.hamming_range(queries, database, radius, **options),
    )
    check_average_precision(kernels, reference, queries, database, *both, k=20, **options)
    equal(
        kernels.relevance_histogram(queries, database, *both),
        reference.relevance_histogram(queries, database, *both),
    )
    equal(
        kernels.overlap_histogram(queries, database, *both),
        reference.overlap_histogram(queries, database, *both),
    )


def test_widest_codes(kernels: Any, reference: ModuleType, random_codes: Any) -> None:
    queries, database = random_codes(2, 8191), random_codes(20, 8191, seed=1)
    equal(kernels.hamming_histogram(queries, database), reference.hamming_histogram(queries, database))


@pytest.mark.parametrize("filtered", [False, True], ids=["all", "filtered"])
@pytest.mark.parametrize("kind", ["ids", "sets3", "sets70"])
@pytest.mark.parametrize("rows", [0, 1, 97])
@pytest.mark.parametrize("width", [1, 8, 20])
def test_relevance(
    kernels: Any, reference: ModuleType, random_codes: Any, width: int, rows: int, kind: str, filtered: bool
) -> None:
    queries, database = random_codes(9, width), random_codes(rows, width, seed=1)
    options: dict[str, Any] = dict(filters(9, rows)) if filtered else {}
    both = labels(kind, 9, rows)
    equal(
        kernels.relevance_histogram(queries, database, *both, **options),
        reference.relevance_histogram(queries, database, *both, **options),
    )
    equal(
        kernels.overlap_histogram(queries, database, *both, **options),
        reference.overlap_histogram(queries, database, *both, **options),
    )
    for k in (None, 1, 30, 200):
        check_average_precision(kernels, reference, queries, database, *both, k=k, **options)


VALUES = {np.uint8: 0, np.int8: 1, np.float16: 2, np.float32: 4, np.float64: 5}


def documents_of(dtype: type, rows: int, dim: int) -> Array:
    """Packed codes for uint8, values otherwise."""
    x = np.random.default_rng([rows, dim]).standard_normal((rows, dim)) * 30
    return np.packbits(x > 0, axis=-1) if dtype is np.uint8 else x.astype(dtype)


@pytest.mark.parametrize("dtype", VALUES)
@pytest.mark.parametrize("dim", [1, 7, 16, 17, 31, 33, 100, 128, 384, 520, 1000])
def test_rescore(kernels: Any, reference: ModuleType, dim: int, dtype: type) -> None:
    """Equal to the last bit, though the contract between CPU and CUDA is looser."""
    random = np.random.default_rng(dim)
    queries = random.standard_normal((4, dim)).astype(np.float32)
    candidates = random.integers(-1, 30, (4, 11))
    documents = documents_of(dtype, 30, dim)
    options = {"scale": random.random((30, 1), np.float32)} if dtype is np.int8 else {}
    expected = reference.rescore(queries, documents, candidates, **options)
    equal(kernels.rescore(queries, documents, candidates, values=VALUES[dtype], **options), expected)


def test_rescore_of_every_half(kernels: Any, reference: ModuleType) -> None:
    bits = np.arange(2**16, dtype=np.uint16)[::7]
    query, every = np.ones((1, 1), np.float32), np.arange(len(bits))[None]
    halves = bits.view(np.float16)[:, None]
    brains = (bits.astype(np.uint32) << 16).view(np.float32)[:, None]
    with np.errstate(invalid="ignore"):  # some NaNs are signalling ones
        expected = reference.rescore(query, halves, every), reference.rescore(query, brains, every)
    equal(kernels.rescore(query, halves, every, values=2), expected[0])
    equal(kernels.rescore(query, bits[:, None], every, values=3), expected[1])


def test_rescore_of_rows_apart_and_of_rows_that_are_not_there(kernels: Any, reference: ModuleType) -> None:
    queries = np.random.default_rng(0).standard_normal((2, 20)).astype(np.float32)
    wide = documents_of(np.float32, 20, 30)
    candidates = np.array([[3, -1, 9, 10], [2**40, 0, -(2**40), 3]])
    expected = reference.rescore(
        queries, wide[::2, 4:24], np.where((candidates < 0) | (candidates > 9), -1, candidates)
    )
    equal(kernels.rescore(queries, wide[::2, 4:24], candidates, values=4), expected)
    spare = documents_of(np.uint8, 5, 24)  # of 20 bits
    cleaned = spare & np.array([255, 255, 0xF0], np.uint8)
    rows = np.array([[0, 1], [4, 3]])
    equal(kernels.rescore(queries, spare, rows, values=0), reference.rescore(queries, cleaned, rows))


def test_rescore_of_nothing(kernels: Any) -> None:
    queries, documents = np.ones((2, 9), np.float32), np.zeros((0, 2), np.uint8)
    none = np.full((2, 3), -1)
    equal(kernels.rescore(queries, documents, none, values=0), np.full((2, 3), -np.inf, np.float32))
    assert kernels.rescore(queries[:0], documents, none[:0], values=0).shape == (0, 3)
    assert kernels.rescore(queries, documents, none[:, :0], values=0).shape == (2, 0)


def test_no_queries(kernels: Any, reference: ModuleType, random_codes: Any) -> None:
    queries, database = random_codes(0, 8), random_codes(20, 8)
    both = labels("ids", 0, 20)
    equal(kernels.hamming_distance(queries, database), reference.hamming_distance(queries, database))
    equal(kernels.hamming_topk(queries, database, 3), reference.hamming_topk(queries, database, 3))
    equal(kernels.hamming_range(queries, database, 3), reference.hamming_range(queries, database, 3))
    equal(kernels.hamming_histogram(queries, database), reference.hamming_histogram(queries, database))
    check_average_precision(kernels, reference, queries, database, *both)


def test_sums_do_not_depend_on_the_order_of_threads(unseeded: Any, random_codes: Any) -> None:
    queries, database = random_codes(3, 2), random_codes(1500, 2, seed=1)
    sums = []
    for seed in (0, 5, 6):
        unseeded.module.set_seed(seed)
        sums.append(unseeded.average_precision_counts(queries, database, *labels("ids", 3, 1500))[0].tobytes())
    assert len(set(sums)) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query_rows": -1}, "hamming_topk: queries rows: expected at least 0, got -1"),
        ({"query_bytes": 0}, "hamming_topk: queries bytes: expected 1 to 8191, got 0"),
        ({"query_bytes": 8192}, "hamming_topk: queries bytes: expected 1 to 8191, got 8192"),
        ({"query_bytes": 2}, "hamming_topk: bytes: expected codes of one width, got 2 and 4"),
        ({"database": 0}, "hamming_topk: database: expected an address, got null"),
        ({"indices": 0}, "hamming_topk: indices: expected an address, got null"),
        ({"k": 0}, "hamming_topk: k: expected at least 1, got 0"),
        ({"workspace": 0}, "hamming_topk: workspace: expected an address, got null"),
        ({"workspace_bytes": 8}, r"hamming_topk: workspace_bytes: expected at least \d+, got 8"),
    ],
)
def test_the_binding_checks_sizes_again(
    emulated: ModuleType, random_codes: Any, change: dict[str, int], message: str
) -> None:
    codes, out = random_codes(6, 4), np.zeros(6, np.int64)
    workspace = np.zeros(emulated.topk_workspace(6, 6, 4, 1), np.uint8)
    sides = {"queries": codes.ctypes.data, "query_rows": 6, "query_bytes": 4}
    sides |= {"database": codes.ctypes.data, "database_rows": 6, "database_bytes": 4}
    outputs = {"distances": out.ctypes.data, "indices": out.ctypes.data}
    scratch = {"workspace": workspace.ctypes.data, "workspace_bytes": workspace.size}
    call = sides | {"k": 1, "mask": 0, "exclude": 0} | outputs | scratch | {"stream": 0, "device": -1}
    with pytest.raises(ValueError, match=message):
        emulated.hamming_topk(**(call | change))


def test_the_workspace_is_bounded(emulated: ModuleType) -> None:
    """2**15 words in the emulation, or what one query needs in one part: bins, twice, and a few words more."""
    for queries, rows, width in [(1, 10**9, 8), (10**6, 10**9, 128), (10, 10**8, 8191), (10**5, 1, 1)]:
        bins = 8 * width + 1
        sizes = [
            emulated.topk_workspace(queries, rows, width, 10**6),
            emulated.range_workspace(queries, rows, width, 8 * width),
            emulated.average_precision_workspace(queries, rows, width),
        ]
        for channels, size in zip((1, 1, 2), sizes, strict=True):
            assert 0 < size <= 8 * max(2**15, 2 * bins * channels + 8)
