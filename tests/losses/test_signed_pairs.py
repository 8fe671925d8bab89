import itertools

import pytest
import torch

from fasthash.losses import signed_pairs

H = torch.tensor([[0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]], dtype=torch.float64)
S = torch.tensor([[1, 1, -1], [1, 1, 1], [-1, 1, 1]])
T = torch.tensor([[1, 1, -1], [1, 1, 0], [-1, 0, 1]])
KINDS = ("l2", "likelihood")


@pytest.mark.parametrize(("target", "l2", "likelihood"), [(S, 0.756944, None), (T, 0.534722, 0.609427)])
def test_losses_are_those_of_the_worked_example(target, l2, likelihood):
    assert float(signed_pairs(H, target, kind="l2")) == pytest.approx(l2, abs=1e-6)
    if likelihood:
        assert float(signed_pairs(H, target, kind="likelihood")) == pytest.approx(likelihood, abs=1e-6)
        assert float(signed_pairs(H, target - torch.eye(3), kind="likelihood")) == pytest.approx(0.634543, abs=1e-6)


def test_losses_are_plain_loops_with_gradients_to_both_sides():
    generator = torch.Generator().manual_seed(0)
    h = (torch.rand(5, 4, generator=generator, dtype=torch.float64) * 2 - 1).requires_grad_()
    target = torch.randint(-1, 2, (5, 5), generator=generator)
    squares, terms = [], []
    for i, j in itertools.product(range(5), repeat=2):
        t, product = int(target[i, j]), h[i] @ h[j]
        squares.append(abs(t) * (product / 4 - t) ** 2)
        if t:
            terms.append(torch.log1p(torch.exp(product / 2)) - (t == 1) * product / 2)
    expected = {"l2": sum(squares) / 25, "likelihood": sum(terms) / len(terms)}
    for kind in KINDS:
        torch.testing.assert_close(signed_pairs(h, target, kind=kind), expected[kind])
        (gradient,) = torch.autograd.grad(signed_pairs(h, target, kind=kind), h)
        torch.testing.assert_close(gradient, *torch.autograd.grad(expected[kind], h, retain_graph=True))
        assert torch.autograd.gradcheck(lambda u, kind=kind: signed_pairs(u, target, kind=kind), (h,))


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_kept_pair_loss_and_gradient_are_zero(kind):
    h = H.clone().requires_grad_()
    loss = signed_pairs(h, torch.zeros(3, 3), kind=kind)
    assert loss.item() == 0
    assert not torch.autograd.grad(loss, h)[0].any()


def test_more_dropped_pairs_weaken_l2_and_leave_the_likelihood():
    wide, target = torch.cat([H, torch.zeros(3, 2)]), torch.zeros(6, 6)
    target[:3, :3] = T
    wide = torch.cat([H, 0.1 * torch.ones(3, 2)])
    torch.testing.assert_close(signed_pairs(wide, target, kind="l2"), signed_pairs(H, T, kind="l2") / 4)
    torch.testing.assert_close(signed_pairs(wide, target, kind="likelihood"), signed_pairs(H, T, kind="likelihood"))


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="signed_pairs: kind must be 'l2' or 'likelihood', got 'l1'"):
        signed_pairs(H, T, kind="l1")
    with pytest.raises(ValueError, match=r"signed_pairs: signs must have shape \(3, 3\), got \(2, 3\)"):
        signed_pairs(H, T[:2])
