import pytest
import torch

from fasthash.teachers import fit_calibration


def test_calibration_is_the_logistic_fit():
    generator = torch.Generator().manual_seed(0)
    theta = 4 * torch.randn(20_000, generator=generator)
    similar = torch.rand(20_000, generator=generator) < (0.5 * theta - 1).sigmoid()
    a, b = fit_calibration(theta, similar)
    assert a == pytest.approx(0.5, abs=0.03)
    assert b == pytest.approx(-1, abs=0.06)
    z = (a * theta + b).double().requires_grad_()
    torch.nn.functional.binary_cross_entropy_with_logits(z, similar.double()).backward()
    assert z.grad.sum().abs() < 1e-4
    assert (z.grad * theta).sum().abs() < 1e-4
    # Labels that a threshold separates, and labels that fall with Theta.
    assert 1 < fit_calibration(theta, theta > 0)[0] < 1e4
    assert fit_calibration(theta, theta < 0)[0] == 1e-6


def test_labels_of_one_kind_and_equal_products_give_finite_numbers():
    theta = torch.linspace(-3, 3, 50)
    for similar in (torch.ones(50).bool(), torch.zeros(50).bool()):
        a, b = fit_calibration(theta, similar)
        assert 0 < a < 1
        assert 3 < abs(b) < 30
        assert (b > 0) == bool(similar[0])
    a, b = fit_calibration(torch.zeros(4), torch.tensor([True, False, False, False]))
    assert (a, b) == (1e-6, pytest.approx(-torch.tensor(3.0).log().item(), abs=1e-3))


def test_shapes_that_do_not_fit_are_named():
    h = torch.zeros(4, 3)
    with pytest.raises(ValueError, match=r"fit_calibration: theta and similar must have one shape \(pairs,\)"):
        fit_calibration(h[0], h > 0)
    with pytest.raises(ValueError, match=r"at least one, got \(0,\) and \(0,\)"):
        fit_calibration(h[0, :0], h[0, :0] > 0)
