import math

import pytest
import torch

from fasthash.losses import classification

G = torch.tensor([[math.log(3), 0.0]], dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("labels", [torch.tensor([0]), torch.tensor([[1, 0]]), torch.tensor([[1.0, 0.0]])])
def test_worked_example(labels):
    squared = classification(G, labels, kind="squared")
    assert squared.item() == pytest.approx(0.15625)
    assert torch.autograd.grad(squared, G)[0][0].tolist() == pytest.approx([-0.046875, 0.125])
    bce = classification(G, labels, kind="bce")
    assert bce.item() == pytest.approx(math.log(4 / 3) + math.log(2))
    assert torch.autograd.grad(bce, G)[0][0].tolist() == pytest.approx([-0.25, 0.5])


def test_softmax_is_the_cross_entropy_of_one_class():
    assert classification(G, torch.tensor([0]), kind="softmax").item() == pytest.approx(math.log(4 / 3))
    both = classification(G.expand(2, 2), torch.tensor([0, 1]), kind="softmax")
    assert both.item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)


def test_multi_hot_labels_are_sets():
    twice = classification(G, torch.tensor([[2, 2]]), kind="squared").item()
    assert twice == pytest.approx((0.25**2 + 0.5**2) / 2)


def test_errors_name_the_argument():
    with pytest.raises(TypeError, match=r"logits must be a floating tensor, got torch\.int64"):
        classification(torch.zeros(2, 3, dtype=torch.int64), torch.tensor([0, 1]), kind="bce")
    with pytest.raises(ValueError, match=r"labels \(n,\) or the same, got \(1, 2\) and \(2,\)"):
        classification(G, torch.tensor([0, 1]), kind="bce")
    with pytest.raises(ValueError, match='kind must be "squared", "bce" or "softmax", got \'hinge\''):
        classification(G, torch.tensor([0]), kind="hinge")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='labels must be class ids for "softmax", got multi-hot rows'):
        classification(G, torch.tensor([[1, 0]]), kind="softmax")
