import pytest
import torch

from fasthash.losses import draw_across, draw_by_label, draw_columns, draw_pairs, draw_triplets, label_similarity


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def test_columns_are_uniform_over_the_allowed_ones():
    row = torch.tensor([True, False, True, True, False])
    drawn = draw_columns(row.expand(3000, 5), draws=10, generator=stream())
    counts = torch.bincount(drawn.flatten(), minlength=5).tolist()
    assert counts[1] == counts[4] == 0
    assert all(abs(counts[i] - 10_000) < 400 for i in (0, 2, 3))  # five standard deviations


def test_columns_follow_their_generator():
    allowed = torch.ones(50, 50, dtype=torch.bool)
    draws = [draw_columns(allowed, generator=stream(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_columns_of_nothing():
    assert draw_columns(torch.zeros(3, 3, dtype=torch.bool)).tolist() == [-1, -1, -1]
    assert draw_columns(torch.zeros(2, 0, dtype=torch.bool), draws=2).tolist() == [[-1, -1]] * 2
    assert draw_columns(torch.zeros(0, 0, dtype=torch.bool)).shape == (0,)
    assert draw_columns(torch.zeros(0, 4, dtype=torch.bool), draws=3).shape == (0, 3)


def test_triplets_come_from_the_allowed_lists_at_equal_rates():
    labels = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0]])
    similarity, known = label_similarity(labels)
    generator = stream()
    drawn = torch.stack([draw_triplets(similarity, known, generator=generator) for _ in range(3000)])
    assert (drawn[:, 5] == -1).all()
    anchor, positive, negative = drawn[:, :5].reshape(-1, 3).T
    assert similarity[anchor, positive].all()
    assert (known & ~similarity)[anchor, negative].all()
    assert not similarity[positive, negative].any()
    # Item 0 shares a class with 0, 1 and 2, and none with 3 and 4.
    assert all(abs(int((drawn[:, 0, 1] == j).sum()) - 1000) < 130 for j in (0, 1, 2))
    assert all(abs(int((drawn[:, 0, 2] == j).sum()) - 1500) < 140 for j in (3, 4))


def test_a_triplet_that_is_never_accepted_is_skipped():
    # Positives of 0 are 0 and 1, its only negative is 2; item 1 shares a class with 2, so one draw in two is refused.
    labels = torch.tensor([[1, 0], [1, 1], [0, 1]])
    similarity, known = label_similarity(labels)
    generator = stream()
    trials = {
        draws: [draw_triplets(similarity, known, draws=draws, generator=generator)[0] for _ in range(400)]
        for draws in (1, 10)
    }
    skipped = {draws: sum(int(row[0] == -1) for row in rows) for draws, rows in trials.items()}
    assert abs(skipped[1] - 200) < 50
    assert skipped[10] < 5
    assert {tuple(row.tolist()) for row in trials[10]} <= {(0, 0, 2), (-1, -1, -1)}


@pytest.mark.parametrize("labels", [[], [3], [3, 3, 3], [-1, -1]])
def test_no_triplet_without_two_classes(labels):
    similarity, known = label_similarity(torch.tensor(labels, dtype=torch.int64))
    assert (draw_triplets(similarity, known) == -1).all()


def test_pairs_come_from_their_lists_at_equal_rates():
    near, far = torch.tensor([[0, 1], [1, 0], [2, -1]]), torch.tensor([[2, 3, 4]] * 3)
    generator = stream()
    drawn = torch.stack([draw_pairs(near, far, generator=generator) for _ in range(3000)])
    assert abs(int((drawn[:, 2, 0] == -1).sum()) - 1500) < 140
    for item in (0, 1):
        assert (drawn[:, item, 0] == item).all()
        assert all(abs(int((drawn[:, item, 1] == j).sum()) - 1500) < 140 for j in (0, 1))
        assert all(abs(int((drawn[:, item, 2] == j).sum()) - 1000) < 130 for j in (2, 3, 4))


def test_errors_name_the_argument():
    mask = torch.ones(3, 3, dtype=torch.bool)
    with pytest.raises(TypeError, match=r"draw_columns: allowed must be torch\.bool, got torch\.float32"):
        draw_columns(mask.float())
    with pytest.raises(ValueError, match=r"draw_columns: allowed must have shape \(n, m\), got \(3,\)"):
        draw_columns(mask[0])
    with pytest.raises(ValueError, match="draw_columns: draws must be >= 1, got 0"):
        draw_columns(mask, draws=0)
    with pytest.raises(ValueError, match=r"draw_triplets: known must have shape \(3, 3\), got \(2, 3\)"):
        draw_triplets(mask, mask[:2])
    with pytest.raises(ValueError, match=r"draw_pairs: near and far must have shapes .* got \(3, 0\), \(3, 3\)"):
        draw_pairs(mask.long()[:, :0], mask.long())


@pytest.mark.parametrize("multi_hot", [False, True])
@pytest.mark.parametrize("similar", [True, False])
@pytest.mark.parametrize("rows", [3, 1024])
def test_draw_by_label_is_uniform_over_what_the_labels_allow(multi_hot, similar, rows):
    generator = torch.Generator().manual_seed(0)
    labels, pool = (torch.randint(-1, 3, (n,), generator=generator) for n in (8, 15))
    if multi_hot:
        labels, pool = ((torch.rand(len(x), 4, generator=generator) < 0.3).long() for x in (labels, pool))
    similarity, known = label_similarity(labels, pool)
    allowed = similarity if similar else known & ~similarity
    drawn = draw_by_label(labels, pool, similar=similar, draws=4000, rows=rows, generator=generator)
    for row, columns in zip(drawn, allowed, strict=True):
        places = columns.nonzero()[:, 0].tolist()
        if not places:
            assert (row == -1).all()
            continue
        counts = torch.bincount(row, minlength=15)
        assert counts.nonzero()[:, 0].tolist() == places
        assert ((counts[places] / 4000 - 1 / len(places)).abs() < 0.05).all()


def test_draw_by_label_of_nothing():
    none, ids = torch.empty(0, dtype=torch.int64), torch.tensor([1, 2])
    assert draw_by_label(ids, none, similar=True).tolist() == [[-1], [-1]]
    assert draw_by_label(none, ids, similar=False, draws=3).shape == (0, 3)
    with pytest.raises(ValueError, match="draw_by_label: draws must be >= 1, got 0"):
        draw_by_label(ids, ids, similar=True, draws=0)


def test_draw_across_names_items_of_each_modality_or_none():
    labels = torch.tensor([0, 1, 0, 1, 2, 2])
    pools = [torch.tensor([0, 1, 2, 3]), torch.tensor([4, 0]), torch.tensor([], dtype=torch.int64)]
    table = draw_across(labels, torch.tensor([0, 3, 4]), pools, draws=50, generator=torch.Generator().manual_seed(0))
    assert table[:, 0].tolist() == [0] * 50 + [3] * 50 + [4] * 50
    found = [{tuple(row) for row in part[:, 1:].tolist()} for part in table.split(50)]
    assert {(p, n) for p, _, _, n, _, _ in found[0]} == {(p, n) for p in (0, 2) for n in (1, 3)}
    # Place 0 of the second modality is the query itself; class 1 has no item there, class 2 none in the first.
    assert {(p, n) for _, p, _, _, n, _ in found[0]} == {(0, 4)}
    assert {(p, n) for _, p, _, _, n, _ in found[1]} == {(-1, -1)}
    assert {(p, n) for p, _, _, n, _, _ in found[2]} == {(-1, -1)}
    assert (table[:, [3, 6]] == -1).all()
