from __future__ import annotations

import math

import numpy as np
import pytest

from fasthash.evaluation.discount import discount_sum


@pytest.mark.parametrize("ranks", [0, 1, 2, 3, 100, 50_000, 2**20 - 1, 2**20, 2**20 + 1, 2**21, 3_000_000])
def test_is_the_sum_of_discounts(ranks):
    exact = math.fsum(1 / math.log2(1 + i) for i in range(1, ranks + 1))
    assert float(discount_sum(np.array(ranks))) == pytest.approx(exact, rel=1e-14, abs=0)


def test_neighbours_differ_by_one_discount():
    start = np.array([4095, 2**20 - 1, 2**20, 2**21, 2**31])
    assert discount_sum(start + 1) - discount_sum(start) == pytest.approx(1 / np.log2(start + 2), rel=1e-6)


def test_shapes_are_kept():
    assert discount_sum(np.zeros((2, 0), dtype=int)).shape == (2, 0)
    assert discount_sum(np.array([[1, 5000], [0, 2**48]])).shape == (2, 2)
    assert np.isfinite(discount_sum(np.array(2**48)))
