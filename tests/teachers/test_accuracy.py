import math

import pytest
import torch

from fasthash.teachers import block_accuracy, label_accuracy, list_accuracy, pair_accuracy


@pytest.mark.parametrize("multi_hot", [False, True])
def test_pairs_by_hand(multi_hot):
    ids = torch.tensor([0, 0, 1, 1])
    labels = torch.eye(2)[ids] if multi_hot else ids
    similar = torch.zeros(4, 4, dtype=torch.bool)
    known = torch.eye(4, dtype=torch.bool)
    for i, j, near in [(0, 1, True), (0, 2, True), (1, 2, False), (2, 3, False)]:
        similar[i, j] = similar[j, i] = near
        known[i, j] = known[j, i] = True
    report = pair_accuracy(similar, known, labels)
    # 6 unordered pairs; called near: 01 right, 02 wrong; far: 12 right, 23 wrong; true: 01, 23.
    assert report.decided == pytest.approx(4 / 6)
    assert report.near == pytest.approx(2 / 6)
    assert (report.near_precision, report.near_recall, report.far_precision) == (0.5, 0.5, 0.5)
    without_first = torch.ones(4, 4, dtype=torch.bool)
    without_first[0] = without_first[:, 0] = False
    report = pair_accuracy(similar, known, labels, counted=without_first)
    assert report.decided == pytest.approx(2 / 3)
    assert math.isnan(report.near_precision)
    assert (report.near_recall, report.far_precision) == (0, 0.5)
    with pytest.raises(ValueError, match=r"pair_accuracy: known must have shape \(4, 4\), got \(3, 4\)"):
        pair_accuracy(similar, known[:3], labels)


@pytest.mark.parametrize("multi_hot", [False, True])
@pytest.mark.parametrize("rows", [1, 7, 40])
def test_blocks_give_the_shares_of_the_whole_matrix(rows, multi_hot):
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(-1, 2, (40, 40), generator=generator, dtype=torch.int8)
    labels = torch.randint(3, (40,), generator=generator)
    labels = torch.eye(3)[labels] if multi_hot else labels
    assert block_accuracy(signs.split(rows), labels) == pair_accuracy(signs > 0, signs != 0, labels)
    nothing = block_accuracy(torch.zeros(40, 40).split(rows), labels)
    assert nothing.decided == nothing.near == nothing.near_recall == 0
    assert math.isnan(nothing.near_precision)
    for wrong in (signs[:39].split(rows), signs[:, :39].split(rows), [signs, signs]):
        with pytest.raises(ValueError, match="block_accuracy: blocks must be 40 rows of 40, got"):
            block_accuracy(wrong, labels)


@pytest.mark.parametrize("multi_hot", [False, True])
def test_lists_by_hand(multi_hot):
    def labels(*ids):
        return torch.eye(9)[list(ids)] if multi_hot else torch.tensor(ids)

    lists = torch.tensor([[1, 2], [0, -1], [0, 1]])
    assert list_accuracy(lists, labels(7, 7, 8)) == pytest.approx(2 / 5)
    assert list_accuracy(lists, labels(7, 7, 8), labels(8, 7, 7)) == pytest.approx(3 / 5)
    assert math.isnan(list_accuracy(torch.full((3, 2), -1), labels(7, 7, 8)))
    with pytest.raises(ValueError, match=r"list_accuracy: neighbours must have shape \(2, k\), got \(3, 2\)"):
        list_accuracy(lists, labels(1, 2))


def test_labels_by_hand():
    assert label_accuracy(torch.tensor([1, 2, -1]), torch.tensor([1, 3, 3])) == 0.5
    sets = torch.tensor([[1, 1], [0, 1], [0, 0]])
    assert label_accuracy(sets, torch.tensor([[1, 1], [1, 1], [1, 0]])) == 0.5
    with pytest.raises(ValueError, match=r"label_accuracy: true_labels must have shape \(3, 2\), got \(3,\)"):
        label_accuracy(sets, torch.tensor([1, 1, 1]))
