import pytest
import torch

from fasthash.losses import label_similarity
from fasthash.teachers import class_pair_probability


def logits(generator, n, classes=3):
    return torch.randn(n, classes, generator=generator, dtype=torch.float64)


def test_class_pair_probability_by_hand():
    g = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, torch.log(torch.tensor(3.0))]], dtype=torch.float64)
    q = class_pair_probability(g, torch.tensor([-1, 1, -1]))
    # Posteriors: (1/2, 1/2), the label (0, 1), (1/4, 3/4).
    expected = torch.tensor([[1 / 2, 1 / 2, 1 / 2], [1 / 2, 1, 3 / 4], [1 / 2, 3 / 4, 5 / 8]], dtype=torch.float64)
    torch.testing.assert_close(q, expected)


def test_of_several_classes_any_common_one_counts():
    zero = torch.zeros(2, 2, dtype=torch.float64)
    q = class_pair_probability(zero, torch.tensor([[0, 0], [1, 1]]), kind="sigmoid")
    # Posteriors (1/2, 1/2) and (1, 1): 1 - (1 - 1/4)^2, 1 - (1 - 1/2)^2, 1.
    torch.testing.assert_close(q, torch.tensor([[7 / 16, 3 / 4], [3 / 4, 1]], dtype=torch.float64))


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_labelled_pairs_are_certain_whatever_the_head_says(kind):
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0, 2, 2, 1, -1, -1])
    q = class_pair_probability(logits(generator, 6), labels, kind=kind)
    similar, known = label_similarity(labels)
    torch.testing.assert_close(q[known], similar[known].to(q.dtype))
    assert ((q >= 0) & (q <= 1)).all()
    torch.testing.assert_close(q, q.T)


def test_class_pair_probability_carries_no_gradient():
    g = torch.zeros(3, 2, requires_grad=True)
    assert not class_pair_probability(g, torch.tensor([0, -1, -1])).requires_grad


@pytest.mark.parametrize(
    ("labels", "kind", "match"),
    [
        (torch.tensor([0, 1]), "softmax", "labels"),
        (torch.tensor([0, 1, 1]), "hard", "kind"),
        (torch.ones(3, 2, dtype=torch.int64), "softmax", "kind"),
    ],
)
def test_errors_of_class_pair_probability(labels, kind, match):
    with pytest.raises(ValueError, match=match):
        class_pair_probability(torch.zeros(3, 2), labels, kind=kind)


def test_logits_are_floating():
    with pytest.raises(TypeError, match="floating"):
        class_pair_probability(torch.zeros(3, 2, dtype=torch.int64), torch.tensor([0, 1, 1]))
