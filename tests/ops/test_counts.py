"""Counts where the work is cut up: many queries, many slices, many parts; wide codes; many classes and labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from op_cases import assert_equal, clustered, codes

import fasthash
from fasthash.ops import reference


def expected_overlaps(
    search: np.ndarray,
    database: np.ndarray,
    labels: tuple[np.ndarray, np.ndarray],
    mask: np.ndarray | None = None,
    exclude: np.ndarray | None = None,
) -> np.ndarray:
    """The table of overlap_histogram, a query at a time; the other histograms are its sums."""
    keep = reference.allowed(len(search), len(database), mask, exclude)
    classes = labels[0].shape[1] if labels[0].ndim == 2 else 1
    shape = (8 * search.shape[1] + 1, classes + 1)
    out = np.zeros((len(search), *shape), dtype=np.int64)
    for i in range(len(search)):
        distance = reference.hamming_distance(search[i : i + 1], database)[0].astype(np.int64)
        shared = reference.shared_labels(labels[0][i : i + 1], labels[1])[0]
        key = (distance * shape[1] + shared)[keep[i]]
        out[i] = np.bincount(key, minlength=shape[0] * shape[1]).reshape(shape)
    return out


def check(search: np.ndarray, database: np.ndarray, labels: tuple[np.ndarray, np.ndarray], **filters: Any) -> None:
    """All three histograms."""
    expected = expected_overlaps(search, database, labels, **filters)
    all_codes, relevant = expected.sum(axis=2), expected[:, :, 1:].sum(axis=2)
    assert_equal(fasthash.hamming_histogram(search, database, **filters), all_codes)
    got = fasthash.relevance_histogram(search, database, *labels, **filters)
    assert_equal(got, np.stack([all_codes, relevant], axis=2))
    assert_equal(fasthash.overlap_histogram(search, database, *labels, **filters), expected)


def ids_and_sets(rng: np.random.Generator, q: int, m: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Class ids with some -1, and label sets with some empty."""
    return [
        (rng.integers(-1, 4, q), rng.integers(-1, 4, m)),
        (rng.random((q, 11)) < 0.2, rng.random((m, 11)) < 0.2),
    ]


@pytest.mark.parametrize("kind", ["random", "clustered", "equal", "sorted"])
def test_many_queries_and_codes(kind: str, cpu_level: str, torch_threads: None, rng: np.random.Generator) -> None:
    """More queries than share their planes, more codes than are counted before the counts move on."""
    q, m, bytes_ = 300, 70_000, 3
    database = clustered(rng, m, bytes_) if kind == "clustered" else codes(rng, m, bytes_)
    search = codes(rng, q, bytes_)
    if kind == "equal":
        database[:] = search[:] = database[0]
    if kind == "sorted":
        database = database[np.lexsort(database.T)]
    mask, exclude = rng.random(m) < 0.95, rng.integers(-1, m, q)
    for labels in ids_and_sets(rng, q, m):
        expected = expected_overlaps(search, database, labels, mask, exclude)
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            got = fasthash.overlap_histogram(search, database, *labels, mask=mask, exclude=exclude)
            assert_equal(got, expected, threads)
        got = fasthash.relevance_histogram(search, database, *labels, mask=mask, exclude=exclude)
        assert_equal(got, np.stack([expected.sum(axis=2), expected[:, :, 1:].sum(axis=2)], axis=2))
        assert_equal(fasthash.hamming_histogram(search, database, mask=mask, exclude=exclude), expected.sum(axis=2))


@pytest.mark.parametrize("bytes_", [1, 4, 5, 8, 9, 15, 16, 17, 24, 33, 64, 130])
def test_every_width(bytes_: int, cpu_level: str, rng: np.random.Generator) -> None:
    """With queries enough for bit planes, and a slice and a bit of codes."""
    q, m = 40, 1100
    search, database = codes(rng, q, bytes_), codes(rng, m, bytes_)
    database[:q] = search
    database[q : 2 * q] = ~search  # the largest distance there is
    for labels in ids_and_sets(rng, q, m):
        check(search, database, labels)
        check(search[:3], database, (labels[0][:3], labels[1]), mask=rng.random(m) < 0.5)


def test_the_widest_codes(cpu_level: str, rng: np.random.Generator) -> None:
    search, database = codes(rng, 1040, 8191), codes(rng, 3, 8191)
    database[0], database[1] = ~search[0], search[0]
    distance = reference.hamming_distance(search[:2], database)
    histogram = fasthash.hamming_histogram(search, database)
    for row, expected in zip(histogram, distance, strict=False):
        assert_equal(row, np.bincount(expected, minlength=8 * 8191 + 1))
    assert (histogram.sum(axis=1) == 3).all()


def test_many_classes(cpu_level: str, rng: np.random.Generator) -> None:
    """Ids of any size, most of them of no query."""
    names = rng.integers(0, 2**62, 500)
    search, database = codes(rng, 200, 2), codes(rng, 3000, 2)
    check(search, database, (rng.choice(names, 200), rng.choice(names, 3000)))


def test_many_labels(cpu_level: str, rng: np.random.Generator) -> None:
    """Up to 300 shared ones."""
    search, database = codes(rng, 30, 2), codes(rng, 1500, 2)
    labels = rng.random((30, 300)) < rng.random((30, 1)), rng.random((1500, 300)) < rng.random((1500, 1))
    labels[0][0] = labels[1][0] = True
    check(search, database, labels)


@pytest.mark.parametrize("queries", [1, 2, 9])
def test_average_precision_over_many_parts(
    queries: int, cpu_level: str, torch_threads: None, rng: np.random.Generator
) -> None:
    """Parts go to threads when queries are few; the sums stay the same, bit for bit."""
    m = 600_000
    search, database = codes(rng, queries, 2), clustered(rng, m, 2)
    mask, exclude = rng.random(m) < 0.9, rng.integers(-1, m, queries)
    for labels in ids_and_sets(rng, queries, m):
        arguments = (search, database, *labels)
        for k in (None, 5000):
            seen = set()
            for threads in (1, 3, 7):
                torch.set_num_threads(threads)
                got = fasthash.average_precision_counts(*arguments, k=k, mask=mask, exclude=exclude)
                seen.add(b"".join(x.tobytes() for x in got))
            assert len(seen) == 1
            assert_equal(got, reference.average_precision_counts(*arguments, k=k, mask=mask, exclude=exclude), k)


def test_a_query_does_not_depend_on_its_company(cpu_level: str, rng: np.random.Generator) -> None:
    search, database = codes(rng, 70, 6), clustered(rng, 5000, 6)
    for labels in ids_and_sets(rng, 70, 5000):
        many = fasthash.average_precision_counts(search, database, *labels)
        for i in (0, 69):
            one = fasthash.average_precision_counts(search[i : i + 1], database, labels[0][i : i + 1], labels[1])
            assert_equal(one, tuple(x[i : i + 1] for x in many))
            assert one[0].tobytes() == many[0][i : i + 1].tobytes()


def test_label_sets_of_any_dtype(rng: np.random.Generator) -> None:
    """Above zero is a label: of bytes that are neither 0 nor 1 as well."""
    search, database = codes(rng, 4, 2), codes(rng, 50, 2)
    own, others = rng.random((4, 11)) < 0.3, rng.random((50, 11)) < 0.3
    expected = fasthash.overlap_histogram(search, database, own, others)
    for scale, dtype in ((255, np.uint8), (3, np.int16), (0.5, np.float32)):
        labels = [(x * scale).astype(dtype) for x in (own, others)]
        np.testing.assert_array_equal(fasthash.overlap_histogram(search, database, *labels), expected)
    negative = [np.where(x, 1, -1) for x in (own, others)]
    np.testing.assert_array_equal(fasthash.overlap_histogram(search, database, *negative), expected)
