"""Laws that hold for any codes."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fasthash


@st.composite
def tables(draw: st.DrawFn, count: int) -> list[np.ndarray]:
    """Tables of one width; few byte values, so that ties are common."""
    bytes_ = draw(st.integers(1, 40))
    values = st.sampled_from([0, 1, 3, 255]) if draw(st.booleans()) else st.integers(0, 255)
    return [draw(hnp.arrays(np.uint8, (draw(st.integers(0, 30)), bytes_), elements=values)) for _ in range(count)]


@given(tables(2))
def test_distance_is_a_metric(ab: list[np.ndarray]) -> None:
    a, b = ab
    d = fasthash.hamming_distance(a, b)
    assert (np.diag(fasthash.hamming_distance(a, a)) == 0).all()
    np.testing.assert_array_equal(d, fasthash.hamming_distance(b, a).T)
    via = fasthash.hamming_distance(a, a)[:, :, None] + d[None, :, :]
    assert (d[:, None, :] <= via).all()


@given(tables(3))
def test_one_mask_on_all_codes_changes_nothing(abc: list[np.ndarray]) -> None:
    a, b, masks = abc
    for mask in masks[:1]:
        np.testing.assert_array_equal(fasthash.hamming_distance(a ^ mask, b ^ mask), fasthash.hamming_distance(a, b))


@given(tables(2), st.integers(1, 40))
def test_topk_is_the_head_of_the_sorted_row(ab: list[np.ndarray], k: int) -> None:
    a, b = ab
    full = fasthash.hamming_distance(a, b)
    distances, indices = fasthash.hamming_topk(a, b, k)
    held = min(k, len(b))
    np.testing.assert_array_equal(distances[:, :held], np.sort(full, axis=1)[:, :held])
    np.testing.assert_array_equal(np.take_along_axis(full, indices[:, :held], 1), distances[:, :held])
    assert (indices[:, held:] == -1).all()
    order = distances[:, :held].astype(np.int64) * (len(b) + 1) + indices[:, :held]
    assert (np.diff(order, axis=1) > 0).all()


@given(tables(2), st.integers(0, 330))
def test_range_is_the_filtered_row(ab: list[np.ndarray], radius: int) -> None:
    a, b = ab
    full = fasthash.hamming_distance(a, b)
    offsets, distances, indices = fasthash.hamming_range(a, b, radius)
    np.testing.assert_array_equal(np.diff(offsets), (full <= radius).sum(axis=1))
    for i in range(len(a)):
        mine = slice(offsets[i], offsets[i + 1])
        assert set(indices[mine]) == set(np.flatnonzero(full[i] <= radius))
        np.testing.assert_array_equal(distances[mine], np.sort(full[i][full[i] <= radius]))


@given(tables(2))
def test_histogram_sums_to_the_database(ab: list[np.ndarray]) -> None:
    a, b = ab
    histogram = fasthash.hamming_histogram(a, b)
    assert (histogram.sum(axis=1) == len(b)).all()
    bits = np.arange(histogram.shape[1])
    np.testing.assert_array_equal(histogram @ bits, fasthash.hamming_distance(a, b).sum(axis=1))


@settings(max_examples=50)
@given(hnp.arrays(np.float32, st.tuples(st.integers(0, 9), st.integers(1, 200))))
def test_unpack_undoes_pack(x: np.ndarray) -> None:
    np.testing.assert_array_equal(fasthash.unpack(fasthash.pack(x), x.shape[1]), np.where(x > 0, 1, -1))


@given(tables(2))
def test_overlap_counts_common_bits(ab: list[np.ndarray]) -> None:
    a, b = ab
    ones = lambda x: np.bitwise_count(x).sum(axis=1, dtype=np.int64)  # noqa: E731
    both = fasthash.label_overlap(a, b)
    np.testing.assert_array_equal(ones(a)[:, None] + ones(b)[None] - 2 * both, fasthash.hamming_distance(a, b))
