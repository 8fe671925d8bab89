"""The scan of the CUDA kernels: edges of tiles, parts and steps, every way to load a row and to add up words."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from emulation_cases import check_average_precision, equal, filters, labels
from numpy.typing import NDArray

Array = NDArray[Any]


def check_all(kernels: Any, reference: ModuleType, queries: Array, database: Array, radius: int) -> None:
    """Each kind of visitor once, filtered."""
    options = filters(len(queries), len(database))
    both = labels("ids", len(queries), len(database))
    equal(kernels.hamming_distance(queries, database), reference.hamming_distance(queries, database))
    equal(
        kernels.hamming_topk(queries, database, 20, **options), reference.hamming_topk(queries, database, 20, **options)
    )
    equal(
        kernels.hamming_range(queries, database, radius, **options),
        reference.hamming_range(queries, database, radius, **options),
    )
    equal(
        kernels.relevance_histogram(queries, database, *both, **options),
        reference.relevance_histogram(queries, database, *both, **options),
    )
    check_average_precision(kernels, reference, queries, database, *both, **options)


@pytest.mark.parametrize("width", [4, 5, 7, 12, 13, 31, 48, 63, 64, 65, 96, 97, 127, 129, 160])
def test_widths_between(kernels: Any, reference: ModuleType, random_codes: Any, width: int) -> None:
    """Those whose words are added up in another way, or whose last word is not full."""
    check_all(kernels, reference, random_codes(5, width), random_codes(70, width, seed=1), 4 * width)


@pytest.mark.parametrize("words", [3, 4, 7, 8, 16, 24, 32, 40])
def test_every_carry(kernels: Any, reference: ModuleType, words: int) -> None:
    """The bits of one position in eight words take all 256 values, for eight words at a time; the others are random."""
    random = np.random.default_rng(words)
    values = np.arange(256)[:, None] >> np.arange(8) & 1
    for first in range(0, words, 8):
        bits = random.integers(0, 2, (8, 32 * words))
        for word in range(first, min(first + 8, words)):
            bits[:, 32 * word : 32 * word + 32] = values[:, word - first].reshape(8, 32)
        database = np.packbits(bits, axis=-1)
        queries = np.concatenate([np.zeros_like(database[:1]), np.full_like(database[:1], 255), database[:2]])
        equal(kernels.hamming_distance(queries, database), reference.hamming_distance(queries, database))


@pytest.mark.parametrize("offset", [1, 2, 4, 8])
@pytest.mark.parametrize("width", [2, 4, 8, 16, 24, 32, 48, 96, 160])
def test_rows_may_start_anywhere(
    kernels: Any, reference: ModuleType, random_codes: Any, width: int, offset: int
) -> None:
    """The widest load that all rows allow depends on where the first one lies."""
    memory = np.zeros(40 * width + 32, np.uint8)
    start = -memory.ctypes.data % 16 + offset
    database = memory[start : start + 40 * width].reshape(40, width)
    database[...] = random_codes(40, width)
    queries = random_codes(3, width, seed=1)
    equal(kernels.hamming_distance(queries, database), reference.hamming_distance(queries, database))
    equal(kernels.hamming_distance(database[:3], database), reference.hamming_distance(database[:3], database))
    equal(kernels.hamming_topk(database[:3], database, 5), reference.hamming_topk(database[:3], database, 5))


@pytest.mark.parametrize("width", [2, 8, 32, 140])
@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("tiles", [1, 2])
def test_tile_edges(kernels: Any, reference: ModuleType, random_codes: Any, tiles: int, more: int, width: int) -> None:
    queries = random_codes(tiles * kernels.module.TILE_QUERIES + more, width)
    check_all(kernels, reference, queries, random_codes(40, width, distinct=15, seed=1), 4 * width)


@pytest.mark.parametrize("width", [1, 8, 12, 32])
@pytest.mark.parametrize("rows", [31, 33, 64, 65, 127, 129, 255, 257])
def test_step_edges(kernels: Any, reference: ModuleType, random_codes: Any, rows: int, width: int) -> None:
    database = random_codes(rows, width, distinct=15, seed=1)
    check_all(kernels, reference, random_codes(2, width), database, 4 * width)


@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("parts", [1, 2, 8, 9, 16])
def test_part_edges(kernels: Any, reference: ModuleType, random_codes: Any, parts: int, more: int) -> None:
    database = random_codes(parts * kernels.module.MIN_PART_ROWS + more, 2, distinct=40, seed=1)
    check_all(kernels, reference, random_codes(2, 2), database, 5)


@pytest.mark.parametrize("width", [2, 8, 40, 140])
@pytest.mark.parametrize("share", [0, 0.5, 0.9, 1])
def test_answered_queries_stay_as_they_are(
    kernels: Any, reference: ModuleType, random_codes: Any, share: float, width: int
) -> None:
    """The workspace of as many queries is several tables; tiles are open, answered, or mixed."""
    tile, rows, k = kernels.module.TILE_QUERIES, 300, 7
    queries, database = random_codes(4 * tile, width), random_codes(rows, width, distinct=90, seed=1)
    answered = (np.random.default_rng(width).random(len(queries)) < share).astype(np.int32)
    answered[:tile] = 1 if share > 0 else 0
    distances, indices = np.full((len(queries), k), -5, np.int32), np.full((len(queries), k), -6)
    kernels.module.topk_of_unanswered(
        queries.ctypes.data,
        len(queries),
        width,
        database.ctypes.data,
        rows,
        k,
        answered.ctypes.data,
        distances.ctypes.data,
        indices.ctypes.data,
    )
    expected = reference.hamming_topk(queries, database, k)
    kept = answered.astype(bool)
    equal(distances, np.where(kept[:, None], np.int32(-5), expected[0]))
    equal(indices, np.where(kept[:, None], -6, expected[1]))


@pytest.mark.parametrize("classes", [1, 8, 9, 60, 64, 65, 130])
@pytest.mark.parametrize("width", [1, 8, 33])
def test_label_sets(kernels: Any, reference: ModuleType, random_codes: Any, width: int, classes: int) -> None:
    """Sets of one word are held by the lanes, longer ones are read pair by pair."""
    queries, database = random_codes(7, width), random_codes(150, width, seed=1)
    both = labels(f"sets{classes}", 7, 150)
    equal(
        kernels.relevance_histogram(queries, database, *both), reference.relevance_histogram(queries, database, *both)
    )
    equal(kernels.overlap_histogram(queries, database, *both), reference.overlap_histogram(queries, database, *both))
    check_average_precision(kernels, reference, queries, database, *both)
