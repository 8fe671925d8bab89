import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fasthash.data import TrainingSet, TwoStreamSampler

PAIRS = torch.tensor([[8, 3, 1], [3, 6, 0], [1, 8, 0]])


def paired(pairs=PAIRS, **options):
    x = torch.arange(10.0)[:, None]
    return TrainingSet(x, None, labelled=[], unlabelled=range(10), pairs=pairs, **options)


def test_items_of_pairs_come_first():
    data = paired()
    assert data.rows.tolist() == [1, 3, 6, 8, 0, 2, 4, 5, 7, 9]
    assert (data.labelled, data.unlabelled, data.spec.classes) == (4, 6, 0)
    assert data.pairs.tolist() == [[3, 1, 1], [1, 2, 0], [0, 3, 0]]
    assert data.labels.tolist() == [-1] * 10
    changed = PAIRS.clone()
    changed[0, 2] = 0
    assert paired(changed).digest() != data.digest()


@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(0, 12))
def test_a_batch_has_the_pairs_among_its_items(seed, count, size):
    numbers = torch.Generator().manual_seed(seed)
    rows = torch.combinations(torch.arange(10))
    chosen = rows[torch.randperm(len(rows), generator=numbers)[:count]]
    pairs = torch.cat([chosen.flip(1), torch.randint(2, (len(chosen), 1), generator=numbers)], 1)
    data = paired(pairs)
    index = torch.randint(data.labelled, (size,), generator=numbers)
    known = {frozenset(pair[:2]): pair[2] for pair in pairs.tolist()}
    items = data.rows[index].tolist()
    expected = [
        [a, b, known[frozenset((items[a], items[b]))]]
        for a in range(size)
        for b in range(a + 1, size)
        if frozenset((items[a], items[b])) in known
    ]
    batch = data.batch(index)
    assert sorted(batch.pairs.tolist()) == expected
    similar, among = batch.pair_similarity()
    assert torch.equal(among, among.T)
    assert among.sum() == 2 * len(expected)
    assert [[a, b, int(similar[a, b])] for a, b in among.triu().nonzero().tolist()] == expected
    assert not (similar & ~among).any()


def test_the_sampler_brings_pairs_together():
    data = paired()
    sampler = TwoStreamSampler(data.labelled, data.unlabelled, batch_size=7, labelled=4, seed=0, pairs=data.pairs)
    seen = []
    for step in range(6):
        index = sampler.batch(step)
        assert (index[4:] >= 4).all()
        seen += index[:4].reshape(2, 2).tolist()
        batch = data.batch(index, step=step)
        assert (batch.labelled, len(batch.labels)) == (4, 7)
        assert {(0, 1), (2, 3)} <= {tuple(pair[:2]) for pair in batch.pairs.tolist()}
    assert sorted(seen) == sorted(data.pairs[:, :2].tolist() * 4)
    assert sampler.epoch_length == 2
    assert batch.to(torch.device("cpu")).pairs.tolist() == batch.pairs.tolist()


def test_batches_of_labels_have_none():
    data = TrainingSet(torch.zeros(3, 1), torch.arange(3), [0, 1], [2])
    batch = data.batch(torch.tensor([0, 2]))
    assert batch.pairs is None
    assert batch.pair_similarity() is None


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [
        ([[0.0, 1.0, 1.0]], TypeError, "expected integers, got torch.float"),
        ([[0, 1]], ValueError, r"expected shape \(pairs, 3\), at least one, got \(1, 2\)"),
        (torch.zeros(0, 3, dtype=torch.int64), ValueError, r".* at least one, got \(0, 3\)"),
        ([[0, 10, 1]], ValueError, "expected items of unlabelled, got others"),
        ([[1, 1, 1]], ValueError, "expected two different items"),
        ([[0, 1, 2]], ValueError, "expected 1 = similar or 0 = not"),
        ([[0, 1, 1], [1, 0, 0]], ValueError, "expected each pair once"),
    ],
)
def test_errors(pairs, error, message):
    with pytest.raises(error, match=f"^TrainingSet: pairs: {message}"):
        paired(pairs)


def test_pairs_stand_in_place_of_labels():
    with pytest.raises(ValueError, match="TrainingSet: pairs: expected None with labels, got both"):
        TrainingSet(torch.zeros(10, 1), torch.zeros(10, dtype=torch.int64), [], range(10), pairs=PAIRS)
    with pytest.raises(ValueError, match="TwoStreamSampler: labelled must be even with pairs, got 3"):
        TwoStreamSampler(4, 6, batch_size=7, labelled=3, pairs=PAIRS)
