"""The worked example of SKDCH: its losses on three codes of two bits."""

import pytest
import torch

from fasthash.losses import improved_triplet, partner_likelihood, selection_error, triplet_hinge
from fasthash.ops import hamming_distance, pack
from fasthash.teachers import selector_reward

Q, P, N = torch.tensor([[[0.9, 0.1]], [[0.8, 0.3]], [[0.2, 0.6]]])
YES, NO = torch.tensor([True]), torch.tensor([False])


def test_the_worked_example():
    assert float(triplet_hinge(Q, P, N)) == pytest.approx(4.31)
    terms = float(partner_likelihood(Q, P, YES)), float(partner_likelihood(Q, N, NO))
    assert terms == pytest.approx((0.718460, 0.390090), abs=1e-6)
    assert 4.31 + 0.1 * sum(terms) == pytest.approx(4.420855, abs=1e-6)
    released = 0.1 * float(partner_likelihood(Q, P, NO) + partner_likelihood(Q, N, NO))
    assert released == pytest.approx(0.105855, abs=1e-6)
    intended, as_released = (float(improved_triplet(Q, P, N, pull_form=form)) for form in ("d - mu", "d + mu"))
    assert (intended, as_released) == pytest.approx((4.455, 4.458))
    assert intended + 0.1 * sum(terms) == pytest.approx(4.565855, abs=1e-6)
    assert as_released + 0.1 * sum(terms) == pytest.approx(4.568855, abs=1e-6)
    assert float(selector_reward(torch.tensor(0.05), torch.tensor(0.74), margin=5.0)) == pytest.approx(
        4.898e-5, rel=1e-3
    )
    assert float(selection_error(-torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 0.1]]))) == pytest.approx(0.2)


def test_gradients_of_the_improved_triplet():
    q, p, n = (x.clone().requires_grad_() for x in (Q, P, N))
    improved_triplet(q, p, n).backward()
    for x, expected in ((q, (-0.5, 0.1)), (p, (-0.8, 0.7)), (n, (1.3, -0.8))):
        assert x.grad[0].tolist() == pytest.approx(expected)


def test_distances_of_codes_are_hamming_distances():
    generator = torch.Generator().manual_seed(0)
    a, b, c = (torch.rand(3, 30, 12, generator=generator) < 0.5).float()
    d = hamming_distance(pack(a), pack(b)).diagonal(), hamming_distance(pack(a), pack(c)).diagonal()
    expected = (20 + d[0] - d[1]).float().mean()
    assert float(triplet_hinge(a, b, c, margin=20.0)) == pytest.approx(float(expected))


def test_the_improved_triplet_is_the_plain_one_where_the_negative_is_as_far_from_both():
    q, p, n = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[0.3, 0.3]]])
    assert float(improved_triplet(q, p, n, pull=0.0)) == pytest.approx(float(triplet_hinge(q, p, n)))


def test_the_reward_is_1_one_margin_beyond_the_positive():
    reward = selector_reward(torch.tensor([0.5, 0.5, 3.0]), torch.tensor([5.5, 90.0, 0.0]), margin=5.0)
    assert reward[0] == 1
    assert ((reward >= 0) & (reward <= 1)).all()
