"""The paths of a search on CUDA: equal results on each, which one a call takes, and whether its one scan suffices."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Array = NDArray[Any]


@pytest.fixture(params=["counting", "popcount", "tensor"])
def path(request: pytest.FixtureRequest, emulated: ModuleType) -> Iterator[str]:
    emulated.set_path(request.param)
    yield request.param
    emulated.set_path("auto")


def equal(got: Any, expected: Any) -> None:
    for one, other in zip(got, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def databases(name: str, queries: int, rows: int, width: int) -> tuple[Array, Array]:
    random = np.random.default_rng([queries, rows, width])
    q, d = random.integers(0, 256, (queries, width), np.uint8), random.integers(0, 256, (rows, width), np.uint8)
    if name == "equal":
        d[:] = d[0]
    elif name == "few distinct":
        pool = random.integers(0, 256, (5, width), np.uint8)
        q, d = pool[random.integers(0, 5, queries)], pool[random.integers(0, 5, rows)]
    elif name == "nearest last":
        q[:] = 0
        d = d[np.argsort(-np.unpackbits(d, axis=1).sum(1), kind="stable")]
    elif name == "alike in a run":  # all near codes side by side, as the frames of a film
        d[rows // 2 : rows // 2 + 60] = q[0] ^ (random.random((60, width)) < 0.3)
    return q, d


# Widths in bytes on both sides of what the tensor kernels are made for; 70 and 130 queries fill two and three warps.
@pytest.mark.parametrize(
    ("queries", "rows", "width", "k"),
    [
        (3, 700, 1, 7),
        (5, 900, 8, 10),
        (2, 640, 16, 1),
        (70, 520, 17, 3),
        (9, 800, 32, 20),
        (4, 700, 33, 5),
        (3, 1100, 64, 10),
        (2, 700, 65, 4),
        (2, 600, 128, 9),
        (2, 600, 129, 9),
        (130, 420, 4, 2),
    ],
)
@pytest.mark.parametrize("name", ["random", "equal", "few distinct", "nearest last", "alike in a run"])
def test_topk(
    unseeded: Any, reference: ModuleType, path: str, name: str, queries: int, rows: int, width: int, k: int
) -> None:
    unseeded.module.set_seed(rows)
    q, d = databases(name, queries, rows, width)
    random = np.random.default_rng(rows)
    options = {"mask": random.random(rows) < 0.7, "exclude": random.integers(-1, rows, queries)}
    equal(unseeded.hamming_topk(q, d, k), reference.hamming_topk(q, d, k))
    if name == "random":
        equal(unseeded.hamming_topk(q, d, k, **options), reference.hamming_topk(q, d, k, **options))


@pytest.mark.parametrize("offset", [1, 4, 8])
@pytest.mark.parametrize("width", [4, 8, 12, 32])
def test_codes_may_start_anywhere(
    kernels: Any, reference: ModuleType, random_codes: Any, path: str, width: int, offset: int
) -> None:
    memory = np.zeros(650 * width + 32, np.uint8)
    start = -memory.ctypes.data % 16 + offset
    database = memory[start : start + 650 * width].reshape(650, width)
    database[...] = random_codes(650, width)
    queries = database[:40:10].copy()
    equal(kernels.hamming_topk(queries, database, 5), reference.hamming_topk(queries, database, 5))


@pytest.mark.parametrize("kept", [0, 1, 4, 30])
def test_masks_that_leave_few(kernels: Any, reference: ModuleType, random_codes: Any, path: str, kept: int) -> None:
    queries, database = random_codes(3, 8), random_codes(900, 8, seed=1)
    mask = np.zeros(900, bool)
    mask[np.random.default_rng(kept).permutation(900)[:kept]] = True
    equal(
        kernels.hamming_topk(queries, database, 9, mask=mask), reference.hamming_topk(queries, database, 9, mask=mask)
    )


def answered(emulated: ModuleType, queries: Array, database: Array, k: int) -> Array:
    """The flags that a top-k leaves for its queries, which fit into one group here."""
    size = emulated.topk_workspace(len(queries), *database.shape, k)
    workspace = np.zeros(size, np.uint8)
    distances, indices = np.zeros((len(queries), k), np.int32), np.zeros((len(queries), k), np.int64)
    out = (distances.ctypes.data, indices.ctypes.data, workspace.ctypes.data, size)
    sides = (queries.ctypes.data, *queries.shape, database.ctypes.data, *database.shape)
    emulated.hamming_topk(*sides, k, 0, 0, *out, 0, -1)
    begin = emulated.topk_answered(len(queries), *database.shape, k)
    assert begin >= 0
    return workspace[begin : begin + 4 * len(queries)].view(np.int32)


@pytest.mark.parametrize("path", ["popcount", "tensor"], indirect=True)
@pytest.mark.parametrize("name", ["random", "equal", "few distinct", "nearest last", "alike in a run"])
def test_one_scan_suffices(emulated: ModuleType, path: str, name: str) -> None:
    """Else a list or a bound that is wrong would hide behind the search that follows."""
    for width, k in ((8, 10), (32, 3)):
        queries, database = databases(name, 20, 1500, width)
        assert answered(emulated, queries, database, k).tolist() == [1] * 20


@pytest.mark.parametrize("path", ["popcount", "tensor"], indirect=True)
def test_a_bound_too_low_and_a_list_too_short_are_seen(
    kernels: Any, emulated: ModuleType, reference: ModuleType, path: str
) -> None:
    """Where just the rows met first are near, the bound lets fewer than k through; where they are far, it lets all."""
    rows, width, k = 1536, 16, 30
    groups = np.arange(rows // 8, dtype=np.uint32)
    few = 8 * groups.astype(np.int64) + (groups * np.uint32(0x9E3779B1) >> 29)  # `chosen_of` in tensor_scan.cuh
    lost = []
    samples = np.arange(0, rows, 12), np.arange(0, rows, 24)  # of the two paths
    for first in (*samples, np.union1d(samples[1], few)):
        table = np.full((rows, width), 255, np.uint8)
        table[first] = np.random.default_rng(0).integers(0, 2, (len(first), width))
        for query in (0, 255):
            queries = np.full((3, width), query, np.uint8)
            equal(kernels.hamming_topk(queries, table, k), reference.hamming_topk(queries, table, k))
            lost.append(answered(emulated, queries, table, k).tolist())
    assert [0, 0, 0] in lost[::2]  # near: a bound too low
    assert [0, 0, 0] in lost[1::2]  # far: a list too short


@pytest.mark.parametrize("path", ["popcount", "tensor"], indirect=True)
def test_a_last_group_that_is_searched_again(
    kernels: Any, emulated: ModuleType, reference: ModuleType, random_codes: Any, path: str
) -> None:
    """Two queries more than a group: alone they would be planned with more parts, and a larger workspace."""
    queries, database = random_codes(130, 4), random_codes(2000, 4, seed=1)
    mask = np.ones(2000, bool)
    for step in (2000 // 64, 2000 // 128, 2000 // 256):
        mask[::step] = False  # nothing of the sample is left, so there is no bound
    equal(
        kernels.hamming_topk(queries, database, 3, mask=mask), reference.hamming_topk(queries, database, 3, mask=mask)
    )


@pytest.mark.parametrize("k", [150, 400])
def test_long_lists(kernels: Any, emulated: ModuleType, reference: ModuleType, path: str, k: int) -> None:
    """Sorted in more shared memory than a block has without asking."""
    queries, database = databases("random", 3, 1700, 8)
    equal(kernels.hamming_topk(queries, database, k), reference.hamming_topk(queries, database, k))
    if path != "counting":
        assert answered(emulated, queries, database, k).tolist() == [1, 1, 1]


@pytest.mark.parametrize("path", ["popcount", "tensor"], indirect=True)
@pytest.mark.parametrize(("a_rows", "b_rows"), [(1, 1), (5, 130), (70, 129), (130, 65)])
@pytest.mark.parametrize("width", [1, 8, 16, 17, 40, 64, 128, 130])
def test_matrices(
    kernels: Any, reference: ModuleType, random_codes: Any, path: str, width: int, a_rows: int, b_rows: int
) -> None:
    a, b = random_codes(a_rows, width), random_codes(b_rows, width, seed=1)
    for op in ("hamming_distance", "label_overlap"):
        equal([getattr(kernels, op)(a, b)], [getattr(reference, op)(a, b)])


@pytest.mark.parametrize(
    ("capability", "queries", "codes", "width", "k", "path"),
    [
        (9, 1000, 10**6, 32, 10, "tensor"),
        (8, 8, 10**7, 128, 100, "tensor"),
        (9, 7, 10**7, 128, 10, "popcount"),  # few queries
        (9, 1000, 10**6, 129, 10, "popcount"),  # long codes
        (10, 1000, 10**6, 32, 10, "popcount"),  # no native instruction
        (7, 1000, 10**6, 32, 10, "popcount"),
        (9, 1000, 10**6, 32, 10**5, "counting"),  # large k
        (9, 10, 1000, 32, 10, "counting"),  # little to do
    ],
)
def test_the_choice(
    emulated: ModuleType, capability: int, queries: int, codes: int, width: int, k: int, path: str
) -> None:
    assert emulated.choose_path(capability, queries, codes, width, k) == path


def test_only_paths_that_exist(emulated: ModuleType) -> None:
    with pytest.raises(ValueError, match="name: expected 'auto', 'counting', 'popcount' or 'tensor', got 'fast'"):
        emulated.set_path("fast")
    assert emulated.path() == "auto"
