import pytest
import torch

from fasthash.teachers import pseudo_label_candidates


def as_lists(*matrices):
    return [matrix.int().tolist() for matrix in matrices]


def loop(logits, labels):
    """The table of SSDH's release, word for word, on multi-hot labels."""
    n = len(logits)
    positive, negative = torch.zeros(2, n, n, dtype=torch.bool)
    unlabelled = [not row.any() for row in labels]
    for i in range(n):
        if not unlabelled[i]:
            continue
        likeliest, unlikeliest = int(logits[i].argmax()), int(logits[i].argmin())
        for j in range(n):
            if unlabelled[j]:
                if int(logits[j].argmax()) == likeliest:
                    positive[i, j] = True
                elif int(logits[j].argmax()) == unlikeliest:
                    negative[i, j] = True
            elif labels[j, likeliest] and not labels[j, unlikeliest]:
                positive[i, j] = True
            elif labels[j, unlikeliest] and not labels[j, likeliest]:
                negative[i, j] = True
    return positive, negative


def test_worked_example():
    logits = torch.tensor([[2.0, 0.0, -1.0]] + [[0.0, 0.0, 0.0]] * 4)
    labels = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 0, 1], [1, 0, 1], [0, 1, 0]])
    positive, negative = pseudo_label_candidates(logits, labels)
    assert as_lists(positive[0], negative[0]) == [[1, 1, 0, 0, 0], [0, 0, 1, 0, 0]]
    assert not (positive[1:] | negative[1:]).any()


@pytest.mark.parametrize("seed", range(3))
def test_is_the_table_as_a_loop(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(40, 4, generator=generator)
    logits[5] = 0  # pl = nl
    labels = (torch.rand(40, 4, generator=generator) < 0.4) & (torch.arange(40) % 2 == 0)[:, None]
    expected, found = loop(logits, labels), pseudo_label_candidates(logits.requires_grad_(), labels.long())
    for a, b in zip(expected, found, strict=True):
        assert torch.equal(a, b)
        assert not b.requires_grad


def test_both_kinds_of_labels_agree():
    logits = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    ids = torch.arange(30) % 3
    ids[10:] = -1
    rows = torch.cat([torch.eye(3), torch.zeros(1, 3)])[ids]
    for a, b in zip(pseudo_label_candidates(logits, ids), pseudo_label_candidates(logits, rows), strict=True):
        assert torch.equal(a, b)


def test_errors_name_the_argument():
    with pytest.raises(TypeError, match=r"logits must be a floating tensor, got torch\.int64"):
        pseudo_label_candidates(torch.zeros(2, 3, dtype=torch.int64), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"with a class, labels .* got \(2, 0\) and \(2,\)"):
        pseudo_label_candidates(torch.zeros(2, 0), torch.tensor([-1, -1]))
    with pytest.raises(ValueError, match=r"got \(2, 3\) and \(3,\)"):
        pseudo_label_candidates(torch.zeros(2, 3), torch.tensor([-1, -1, 0]))
