import pytest
import torch

from fasthash.losses import group_consensus


def test_the_formula_as_loops():
    generator = torch.Generator().manual_seed(0)
    u, *others = [torch.rand(3, bits, generator=generator) * 2 - 1 for bits in (2, 4, 5)]
    total = 0.0
    for i in range(3):
        for j in range(3):
            mean = sum(float(g[i] @ g[j]) / g.shape[1] for g in others) / 2
            total += (float(u[i] @ u[j]) / 2 - mean) ** 2
    assert float(group_consensus(u, others)) == pytest.approx(total, rel=1e-5)


def test_the_others_are_constants():
    u, other = torch.rand(3, 2, requires_grad=True), torch.rand(3, 4, requires_grad=True)
    group_consensus(u, [other]).backward()
    assert u.grad.any()
    assert other.grad is None


def test_errors():
    for others, sizes in (([], r"\[\]"), ([torch.rand(2, 4)], r"\[2\]")):
        with pytest.raises(ValueError, match=f"others must be outputs of the 3 items of u, got {sizes}"):
            group_consensus(torch.rand(3, 2), others)
    with pytest.raises(TypeError, match=r"group_consensus: others\[0\] must be a floating tensor"):
        group_consensus(torch.rand(3, 2), [torch.ones(3, 2).long()])
