from __future__ import annotations

import math

import numpy as np
import pytest

from fasthash.evaluation.harmonic import harmonic_difference


@pytest.mark.parametrize("start", [0, 1, 7, 200, 1_023, 1_024, 65_535, 2**20 - 10, 2**20, 2**20 + 1, 2_000_000])
@pytest.mark.parametrize("count", [0, 1, 2, 50, 300, 20_000])
def test_difference_is_the_sum_of_reciprocals(start, count):
    exact = math.fsum(1 / i for i in range(start + 1, start + count + 1))
    assert float(harmonic_difference(np.array(start), np.array(count))) == pytest.approx(exact, rel=1e-12, abs=0)


def test_shapes_broadcast_and_large_numbers_keep_their_digits():
    result = harmonic_difference(np.array([10**12, 10**15])[:, None], np.array([0, 1, 10**6]))
    assert result.shape == (2, 3)
    assert (result[:, 0] == 0).all()
    assert result[:, 1] == pytest.approx([1e-12, 1e-15], rel=1e-11)
