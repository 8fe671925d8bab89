import pytest
import torch

from fasthash.losses import l1_quantization, quantization

LOSSES = [quantization, l1_quantization]


def test_worked_example(student):
    assert float(quantization(student)) == pytest.approx(0.25)
    assert float(l1_quantization(student)) == pytest.approx(1.0)


def test_is_the_formula_as_a_loop():
    u = torch.randn(5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    squares = [(1 - x) ** 2 if x > 0 else (-1 - x) ** 2 for row in u.tolist() for x in row]
    sums = [sum(abs(abs(x) - 1) for x in row) for row in u.tolist()]
    assert float(quantization(u)) == pytest.approx(sum(squares) / 35, rel=1e-12)
    assert float(l1_quantization(u)) == pytest.approx(sum(sums) / 5, rel=1e-12)


def test_zero_counts_as_minus_one_as_in_packing():
    u = torch.zeros(1, 1, requires_grad=True)
    quantization(u).backward()
    assert u.grad is not None
    assert float(u.grad) == 2.0  # a step down, away from +1


@pytest.mark.parametrize("loss", LOSSES)
def test_mask_is_the_same_as_leaving_items_out(loss):
    u = torch.randn(5, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    keep = torch.tensor([True, False, True, True, False])
    torch.testing.assert_close(loss(u, mask=keep), loss(u[keep]))


@pytest.mark.parametrize("loss", LOSSES)
def test_errors_name_the_argument(loss):
    u, name = torch.zeros(3, 4), loss.__name__
    with pytest.raises(TypeError, match=f"{name}: u must be a floating tensor, got torch.uint8"):
        loss(u.byte())
    with pytest.raises(ValueError, match=rf"{name}: mask must have shape \(3,\), got \(2,\)"):
        loss(u, mask=torch.ones(2, dtype=torch.bool))
    with pytest.raises(TypeError, match=f"{name}: mask must be torch.bool, got torch.int64"):
        loss(u, mask=torch.ones(3, dtype=torch.int64))
