from collections import Counter

import pytest
import torch

from fasthash.teachers import vote


def loop(lists, labels):
    """Majority among the labelled members of the union, then by nearest supporter; None = nobody."""
    winners = []
    for rows in zip(*(x.tolist() for x in lists), strict=True):
        nearest = {}
        for row in rows:
            for rank, j in enumerate(row):
                if j >= 0 and int(labels[j].max()) >= (0 if labels.ndim == 1 else 1):
                    nearest[j] = min(rank, nearest.get(j, 99))
        votes = Counter(tuple(labels[j].flatten().tolist()) for j in nearest)
        first = {
            kind: min(r for j, r in nearest.items() if tuple(labels[j].flatten().tolist()) == kind) for kind in votes
        }
        best = min(votes, key=lambda kind: (-votes[kind], first[kind], kind), default=None)
        winners.append((best, votes[best] / len(nearest) if nearest else 0.0))
    return winners


def test_hand_case():
    labels = torch.tensor([7, 7, 3, 7, 9, -1])  # in index order A, A, B, A, C: the released loop returns C
    pseudo, share = vote(torch.tensor([[0, 1, 2, 3, 4], [4, 3, 2, 1, 0]]), labels)
    assert pseudo.tolist() == [7, 7]
    assert share.tolist() == pytest.approx([0.6, 0.6])


def test_ties_go_to_the_nearest_supporter():
    labels = torch.tensor([1, 2, 2, 1, 5])
    pseudo, share = vote(torch.tensor([[1, 0, 3, 2], [4, 0, 3, 1], [3, 4, -1, -1]]), labels)
    assert pseudo.tolist() == [2, 1, 1]
    assert share.tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("multi_hot", [False, True])
@pytest.mark.parametrize("lists", [1, 3])
@pytest.mark.parametrize("rows", [1, 7, 1024])
def test_is_the_rule_as_a_loop(multi_hot, lists, rows):
    generator = torch.Generator().manual_seed(0)
    neighbours = [torch.rand(20, 30, generator=generator).argsort(1)[:, :6] for _ in range(lists)]
    neighbours[0][3, 2:] = -1
    ids = torch.randint(-1, 3, (30,), generator=generator)
    labels = (torch.rand(30, 3, generator=generator) < 0.4).long() if multi_hot else ids
    pseudo, share = vote(neighbours if lists > 1 else neighbours[0], labels, rows=rows)
    for row, part, (expected, votes) in zip(pseudo, share, loop(neighbours, labels), strict=True):
        nothing = (0, 0, 0) if multi_hot else (-1,)
        assert tuple(row.flatten().tolist()) == (expected or nothing)
        assert float(part) == pytest.approx(votes)


def test_an_item_of_two_lists_votes_once():
    labels = torch.tensor([1, 2, 3])
    pseudo, share = vote([torch.tensor([[1, 0]]), torch.tensor([[1, 2]])], labels)
    assert pseudo.tolist() == [2]
    assert share.tolist() == pytest.approx([1 / 3])


@pytest.mark.parametrize("multi_hot", [False, True])
def test_without_a_labelled_neighbour_the_fallback_counts(multi_hot):
    ids = torch.tensor([1, -1, -1])
    labels = torch.cat([torch.eye(2), torch.zeros(1, 2)]).long()[ids] if multi_hot else ids
    neighbours = torch.tensor([[1, 2], [-1, -1], [1, 0]])
    pseudo, share = vote(neighbours, labels)
    assert pseudo.tolist() == ([[0, 0], [0, 0], [0, 1]] if multi_hot else [-1, -1, 1])
    assert share.tolist() == [0, 0, 1]
    pseudo, share = vote(neighbours, labels, fallback=torch.tensor([0, 0, 0]))
    assert pseudo.tolist() == ([[0, 1]] * 3 if multi_hot else [1, 1, 1])
    assert share.tolist() == [0, 0, 1]


def test_all_items_as_neighbours_give_everyone_the_most_frequent_label():
    labels = torch.tensor([0, 1, 1, 2, 1, -1])
    pseudo, _ = vote(torch.rand(6, 6, generator=torch.Generator().manual_seed(0)).argsort(1), labels)
    assert pseudo.tolist() == [1] * 6


def test_per_class():
    labels = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 1, 1], [0, 1, 0], [0, 0, 0]])
    pseudo, share = vote(torch.tensor([[0, 1, 2, 3, 4], [4, 1, -1, -1, -1]]), labels, mode="per_class")
    assert pseudo.tolist() == [[1, 1, 0], [1, 0, 0]]
    assert share.tolist() == pytest.approx([(0.5 + 0.75) / 2, 1.0])


def test_no_items():
    pseudo, share = vote(torch.empty(0, 3, dtype=torch.int64), torch.tensor([1, 2]))
    assert (pseudo.shape, share.shape) == ((0,), (0,))


def test_errors_name_the_argument():
    lists, labels = torch.zeros(2, 3, dtype=torch.int64), torch.zeros(4, dtype=torch.int64)
    with pytest.raises(TypeError, match=r"vote: neighbours must be torch\.int64, got torch\.int32"):
        vote(lists.int(), labels)
    with pytest.raises(ValueError, match=r"vote: neighbours must have shape \(q, k\), each of one q, got \(1, 3\)"):
        vote([lists, lists[:1]], labels)
    with pytest.raises(ValueError, match=r'vote: mode must be "majority", "per_class" or "last", got \'first\''):
        vote(lists, labels, mode="first")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"vote: labels must have shape \(n, classes\), got \(4,\)"):
        vote(lists, labels, mode="per_class")
    with pytest.raises(ValueError, match=r"vote: fallback must have shape \(2,\), got \(3,\)"):
        vote(lists, labels, fallback=torch.zeros(3, dtype=torch.int64))
