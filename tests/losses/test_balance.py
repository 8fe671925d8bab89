import itertools

import pytest
import torch

from fasthash.losses import bit_balance, bit_independence


def test_worked_example():
    u = torch.tensor([[1.0, 1.0, -0.5], [1.0, -1.0, -0.5]])
    assert float(bit_balance(u)) == pytest.approx((1 + 0 + 0.25) / 3)
    # Mean products: bits 0 and 1: 0, 0 and 2: -0.5, 1 and 2: 0.
    assert float(bit_independence(u)) == pytest.approx(2 * 0.25 / 6)


def test_independence_is_the_formula_as_a_loop():
    u = torch.rand(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
    terms = [float((u[:, k] * u[:, j]).mean()) ** 2 for k, j in itertools.permutations(range(4), 2)]
    assert float(bit_independence(u)) == pytest.approx(sum(terms) / 12)


def test_codes_that_are_balanced_and_independent_cost_nothing():
    u = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=3)))
    assert float(bit_balance(u)) == float(bit_independence(u)) == 0
