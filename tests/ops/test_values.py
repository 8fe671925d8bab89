"""Every op equals its NumPy twin: at every CPU level, for odd sizes, ties, filters and any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from large_cases import table
from op_cases import BYTES, CODES, OPS, Op, assert_equal, codes

import fasthash
from fasthash.ops import reference


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
@pytest.mark.parametrize("threads", [1, 2])
def test_equals_the_reference(
    op: Op, threads: int, cpu_level: str, torch_threads: None, rng: np.random.Generator
) -> None:
    torch.set_num_threads(threads)
    for bytes_ in BYTES:
        for m in CODES:
            for q in (0, 5):
                for args, kwargs in op.inputs(rng, q, m, bytes_):
                    assert_equal(op(*args, **kwargs), op.expected(*args, **kwargs), (bytes_, m, q, kwargs))


def test_every_public_op_is_listed() -> None:
    converters = {"from_faiss", "to_faiss", "from_sentence_transformers", "to_sentence_transformers"}
    assert {op.name for op in OPS} | converters == set(fasthash.ops.__all__)


@pytest.mark.parametrize("kind", ["random", "clustered", "equal", "falling"])
@pytest.mark.parametrize(("queries", "bytes_"), [(1, 3), (5, 3), (70, 3), (5, 8), (5, 40)])
def test_large_searches_do_not_depend_on_threads(
    kind: str, queries: int, bytes_: int, cpu_level: str, torch_threads: None, rng: np.random.Generator
) -> None:
    """Large enough to be cut into batches of queries and parts of the database."""
    m = 70_000
    search = codes(rng, queries, bytes_)
    database = table(rng, kind, m, search)
    mask = rng.random(m) < 0.9
    distance = reference.hamming_distance(search, database)
    nearest = [reference.hamming_topk(search, database, k, mask=mask) for k in (10, 3000)]
    radius = 3 * bytes_ - 2
    within = reference.hamming_range(search, database, radius)
    first = [reference.hamming_range_padded(search, database, radius + 2, size, mask=mask) for size in (40, 90_000)]
    for threads in (1, 2, 3, 7):
        torch.set_num_threads(threads)
        for k, expected in zip((10, 3000), nearest, strict=True):
            assert_equal(fasthash.hamming_topk(search, database, k, mask=mask), expected, (threads, k))
        assert_equal(fasthash.hamming_range(search, database, radius), within, threads)
        for size, expected in zip((40, 90_000), first, strict=True):
            got = fasthash.hamming_range_padded(search, database, radius + 2, size, mask=mask)
            assert_equal(got, expected, (threads, size))
        histogram = fasthash.hamming_histogram(search, database)
        np.testing.assert_array_equal(histogram, [np.bincount(row, minlength=8 * bytes_ + 1) for row in distance])


@pytest.mark.parametrize("bytes_", [1, 2, 5, 8, 9, 33])
def test_many_queries_over_few_distinct_codes(
    bytes_: int, cpu_level: str, torch_threads: None, rng: np.random.Generator
) -> None:
    """So many that top-k groups equal rows first; some codes have a single row, which may be the excluded one."""
    m, q = 4_500, 260
    database = codes(rng, 200, bytes_)[(200 * rng.random(m) ** 4).astype(int)]
    search = np.concatenate([database[:50], codes(rng, q - 50, bytes_)])
    mask, exclude = rng.random(m) < 0.7, np.concatenate([np.arange(50), rng.integers(-1, m, q - 50)])
    few = mask & (np.arange(m) < 400)
    torch.set_num_threads(1)
    for k, filters in (
        (1, {}),
        (1, {"exclude": exclude}),
        (900, {"mask": mask, "exclude": exclude}),
        (500, {"mask": few}),
    ):
        expected = reference.hamming_topk(search, database, k, **filters)
        assert_equal(fasthash.hamming_topk(search, database, k, **filters), expected, (k, filters))
    torch.set_num_threads(2)
    distances, indices = fasthash.hamming_topk(np.tile(search, (2, 1)), database, k, mask=few)
    assert_equal((distances[:q], indices[:q]), expected)
    assert_equal((distances[q:], indices[q:]), expected)


def test_a_sample_that_misleads(cpu_level: str, rng: np.random.Generator) -> None:
    """Top-k starts from a sample at equal steps; here every 16th code is near and no other, so it promises too much."""
    m = 80_000
    database = codes(rng, m, 4) | 0xF0
    database[::16] = 0
    search = np.zeros((40, 4), dtype=np.uint8)
    for k in (3_000, 6_000):
        distances, indices = fasthash.hamming_topk(search, database, k)
        expected = reference.hamming_topk(search[:1], database, k)
        assert_equal((distances[:1], indices[:1]), expected, k)
        assert (distances == distances[:1]).all()
        assert (indices == indices[:1]).all()
    mask = np.zeros(m, dtype=bool)
    mask[16::16] = True
    assert_equal(
        fasthash.hamming_topk(search[:1], database, 5_500, mask=mask),
        reference.hamming_topk(search[:1], database, 5_500, mask=mask),
    )


def test_float_sums_do_not_depend_on_threads_or_level(torch_threads: None, rng: np.random.Generator) -> None:
    search, database = codes(rng, 9, 2), codes(rng, 40_000, 2)
    labels = rng.integers(0, 5, 9), rng.integers(0, 5, 40_000)
    seen = set()
    for level in fasthash.cpu_levels():
        fasthash.set_cpu_level(level)
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            seen.add(fasthash.average_precision_counts(search, database, *labels)[0].tobytes())
    assert len(seen) == 1


def test_widest_codes(cpu_level: str, rng: np.random.Generator) -> None:
    for bytes_ in (300, 512, 8191):
        search, database = codes(rng, 3, bytes_), codes(rng, 20, bytes_)
        database[3] = ~search[0]  # the largest distance there is
        assert_equal(fasthash.hamming_topk(search, database, 20), reference.hamming_topk(search, database, 20))
        assert_equal(fasthash.hamming_distance(search, database), reference.hamming_distance(search, database))


FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
INTEGERS = [torch.int8, torch.int16, torch.int32, torch.int64]


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, torch.bool], ids=str)
def test_pack_reads_every_dtype(dtype: torch.dtype, cpu_level: str) -> None:
    generator = torch.Generator().manual_seed(0)
    for bits in (1, 7, 8, 63, 64, 65, 100, 256, 4160):
        x = (torch.randn(9, bits, generator=generator) * 3).to(dtype)
        assert_equal(fasthash.pack(x), np.packbits((x > 0).numpy(), axis=-1), bits)


@pytest.mark.parametrize("bits", [1, 7, 12, 24, 65, 100, 511, 513])
def test_pack_of_many_rows(bits: int, cpu_level: str, torch_threads: None, rng: np.random.Generator) -> None:
    """More than a thread takes at a time, close together and apart."""
    x = rng.integers(-1, 2, (600_000 // bits, bits + 3)).astype(np.int16)
    torch.set_num_threads(3)
    for rows in (np.ascontiguousarray(x[:, :bits]), x[:, :bits], x[::2, 3:]):
        assert_equal(fasthash.pack(rows), np.packbits(rows > 0, axis=-1), rows.strides)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_pack_of_special_values(dtype: torch.dtype, cpu_level: str) -> None:
    info = torch.finfo(dtype)
    values = [0.0, -0.0, float("nan"), -float("nan"), float("inf"), -float("inf"), info.tiny, -info.tiny, info.max]
    values += [info.smallest_normal * info.eps, -info.smallest_normal * info.eps]  # smallest subnormals
    x = torch.tensor(values * 9, dtype=dtype)
    assert_equal(fasthash.pack(x), np.packbits((x > 0).numpy(), axis=-1))


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_pack_of_extreme_integers(dtype: torch.dtype, cpu_level: str) -> None:
    info = torch.iinfo(dtype)
    x = torch.tensor([info.min, -1, 0, 1, info.max] * 20, dtype=dtype)
    assert_equal(fasthash.pack(x), np.packbits((x > 0).numpy(), axis=-1))


def test_pack_of_booleans_that_are_not_0_or_1(cpu_level: str) -> None:
    """As masks of image libraries are, seen as bool."""
    x = np.array([255, 0, 128, 1, 0, 2] * 30, dtype=np.uint8).view(bool)
    assert_equal(fasthash.pack(x), np.packbits(x))


def test_pack_keeps_leading_dimensions(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 4, 20))
    assert_equal(fasthash.pack(x), np.packbits(x > 0, axis=-1))
    assert_equal(fasthash.pack(x[0, 0, 0]), np.packbits(x[0, 0, 0] > 0))
    assert fasthash.pack(np.zeros((0, 5, 12))).shape == (0, 5, 2)


def test_more_than_16_bits_of_codes_at_one_distance(cpu_level: str) -> None:
    database = np.zeros((70_000, 1), dtype=np.uint8)
    assert fasthash.hamming_histogram(database[:1], database)[0, 0] == 70_000
