import math
from collections import Counter

import pytest
import torch

from fasthash.teachers import modal_vote, vote


@pytest.mark.parametrize("space", ["relaxed", "binary"])
@pytest.mark.parametrize("pool", ["all", "labelled"])
@pytest.mark.parametrize("rows", [1, 7, 30])
def test_pseudo_labels_are_a_plain_loop_over_lists(space, pool, rows):
    generator = torch.Generator().manual_seed(0)
    h = torch.rand(2, 30, 6, generator=generator)
    present = torch.rand(30, 2, generator=generator) < 0.8
    present[:, 0] |= ~present[:, 1]
    labels = torch.randint(0, 3, (30,), generator=generator)
    labels[12:] = -1
    pseudo, share = modal_vote(list(h), present, labels, 5, pool=pool, space=space, rows=rows)
    points = (h > 0.5).double() if space == "binary" else h.double()
    for place, (label, part) in enumerate(zip(pseudo.tolist(), share.tolist(), strict=True), start=12):
        rank, nearest = {}, (math.inf, -1)
        for m in range(2):
            if present[place, m]:
                d = {j: float((points[m, place] - points[m, j]).square().sum()) for j in range(30) if present[j, m]}
                order = sorted((j for j in d if pool == "all" or labels[j] >= 0), key=lambda j: (d[j], j))
                last = d[order[min(5, len(order)) - 1]]
                near = [j for j in order if d[j] <= last] if space == "binary" else order[:5]
                for r, j in enumerate(near):
                    if labels[j] >= 0:
                        rank[j] = min(r, rank.get(j, 99))
                nearest = min(nearest, *((d[j], j) for j in d if labels[j] >= 0), key=lambda one: one[0])
        assert len(rank) <= 2 * 5 or space == "binary"
        if not rank:
            assert (label, part) == (int(labels[nearest[1]]), 0)
            continue
        votes = Counter(int(labels[j]) for j in rank)
        first = {c: min(r for j, r in rank.items() if labels[j] == c) for c in votes}
        best = min(votes, key=lambda c: (-votes[c], first[c], c))
        assert label == best
        assert part == pytest.approx(votes[best] / len(rank))


def test_with_lists_of_all_items_the_most_frequent_label_wins():
    h = torch.rand(20, 4)
    labels = torch.tensor([2, 2, 2, 0, 0, 1] + [-1] * 14)
    pseudo, share = modal_vote([h], torch.ones(20, 1, dtype=torch.bool), labels, 20)
    assert pseudo.tolist() == [2] * 14
    assert share.tolist() == [0.5] * 14


def test_the_released_vote_is_the_last_label_and_depends_on_the_order():
    labels = torch.tensor([7, 7, 3, 7, 9])
    lists = torch.tensor([[0, 1, 2, 3, 4], [2, 1, 0, -1, -1]])
    assert vote(lists, labels)[0].tolist() == [7, 7]
    pseudo, share = vote(lists, labels, mode="last")
    assert pseudo.tolist() == [9, 3]
    assert share.tolist() == pytest.approx([0.2, 1 / 3])
    turned = vote(4 - lists[:1], labels.flip(0), mode="last")[0]
    assert turned.tolist() == [7]


def test_an_item_without_any_labelled_one_in_its_modality_stays_unlabelled():
    h = torch.rand(2, 4, 3)
    present = torch.tensor([[True, False], [True, False], [False, True], [True, True]])
    pseudo, share = modal_vote(list(h), present, torch.tensor([0, 0, -1, -1]), 2)
    assert pseudo.tolist() == [-1, 0]
    assert share[0] == 0


def test_each_modality_may_have_lists_of_its_own_length():
    h = list(torch.rand(2, 20, 3, generator=torch.Generator().manual_seed(0)))
    present, labels = torch.ones(20, 2, dtype=torch.bool), torch.tensor([0, 0, 0, 1, 1, 2] + [-1] * 14)
    assert torch.equal(modal_vote(h, present, labels, [3, 3])[0], modal_vote(h, present, labels, 3)[0])
    for lengths in ([20, 1], [1, 20]):  # the union with a list of all items
        pseudo, share = modal_vote(h, present, labels, lengths)
        assert pseudo.tolist() == [0] * 14
        assert share.tolist() == [0.5] * 14


@pytest.mark.parametrize(
    ("present", "k", "error", "message"),
    [
        (torch.ones(4, 2, dtype=torch.int64), 1, TypeError, r"present must be torch\.bool, got torch\.int64"),
        (torch.ones(4, 1, dtype=torch.bool), 1, ValueError, r"of n = 4, got \[\(4, 3\), \(4, 3\)\] and \(4, 1\)"),
        (
            torch.ones(4, 2, dtype=torch.bool),
            0,
            ValueError,
            "k must be >= 1, one for all or each of 2 modalities, got 0",
        ),
        (torch.ones(4, 2, dtype=torch.bool), [2], ValueError, r"each of 2 modalities, got \[2\]"),
    ],
)
def test_what_does_not_fit_is_refused(present, k, error, message):
    with pytest.raises(error, match=message):
        modal_vote(list(torch.rand(2, 4, 3)), present, torch.tensor([0, 1, -1, -1]), k)
