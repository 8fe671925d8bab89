import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fasthash.data import TwoStreamSampler


@given(st.integers(1, 20), st.integers(1, 40), st.integers(1, 9), st.integers(1, 9), st.integers(0, 3))
def test_each_stream_gives_every_item_once_a_pass(labelled_items, unlabelled_items, labelled, unlabelled, seed):
    sampler = TwoStreamSampler(
        labelled_items, unlabelled_items, batch_size=labelled + unlabelled, labelled=labelled, seed=seed
    )
    batches = torch.stack([sampler.batch(n) for n in range(sampler.steps(epochs=3))])
    for stream, first, items in (
        (batches[:, :labelled], 0, labelled_items),
        (batches[:, labelled:], labelled_items, unlabelled_items),
    ):
        drawn = stream.flatten()
        for start in range(0, len(drawn) - items + 1, items):
            assert sorted(drawn[start : start + items].tolist()) == list(range(first, first + items))
    assert batches[:, labelled:].numel() >= 3 * unlabelled_items


def test_rounds_have_orders_of_their_own():
    sampler = TwoStreamSampler(10, 50, batch_size=8, labelled=3, seed=1)
    batches = [batch for batch, _ in zip(sampler, range(10), strict=False)]
    rounds = {}
    for key in ((), (1,), (2,), (1, 1), (2, 1), (1, 2)):
        found = [batch for batch, _ in zip(sampler.in_rounds(key), range(10), strict=False)]
        rounds[tuple(torch.stack(found).flatten().tolist())] = key
        assert torch.equal(sampler.in_rounds(key).batch(7), found[7])
    assert len(rounds) == 6
    assert rounds[tuple(torch.stack(batches).flatten().tolist())] == ()


def test_resumes_exactly_and_follows_the_seed():
    def sampler(seed):
        return TwoStreamSampler(10, 50, batch_size=8, labelled=3, seed=seed)

    whole = sampler(1)
    batches = [batch for batch, _ in zip(whole, range(20), strict=False)]
    stopped = sampler(1)
    for _ in zip(stopped, range(7), strict=False):
        pass
    # zip draws one batch more than it uses.
    assert stopped.state_dict() == {"next": 8}
    resumed = sampler(1)
    resumed.load_state_dict(stopped.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(resumed, batches[8:], strict=False))
    assert not torch.equal(sampler(2).batch(0), batches[0])


def test_one_stream_alone():
    supervised = TwoStreamSampler(10, 0, batch_size=4, labelled=4)
    assert supervised.epoch_length == 2.5
    assert supervised.batch(0).max() < 10
    unsupervised = TwoStreamSampler(0, 10, batch_size=4, labelled=0)
    assert sorted(torch.cat([unsupervised.batch(n) for n in range(5)]).tolist()) == sorted([*range(10)] * 2)


@pytest.mark.parametrize(
    ("items", "batch", "labelled", "message"),
    [
        ((0, 5), 4, 2, "needs labelled items for 2 a batch, got 0"),
        ((5, 0), 4, 2, "needs unlabelled items for 2 a batch, got 0"),
        ((5, 5), 4, 5, r"labelled must lie in \[0, batch_size\], got 5 and batch_size 4"),
        ((5, 5), 0, 0, "got 0 and batch_size 0"),
    ],
)
def test_errors(items, batch, labelled, message):
    with pytest.raises(ValueError, match=f"TwoStreamSampler: .*{message}"):
        TwoStreamSampler(*items, batch_size=batch, labelled=labelled)
