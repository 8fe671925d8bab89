"""ADSH and MAH: turns against dense matrices, the schedule, the codes of every length, and what heads share."""

import copy

import pytest
import torch
from by_hand import items, parameters, start

from fasthash import methods, training
from fasthash.data import TrainingSet
from fasthash.evaluation import mean_average_precision
from fasthash.losses import group_consensus, label_similarity, signs
from fasthash.methods import Cursor, State, walk
from fasthash.networks import HashNetwork, build_network, linear_head

SMALL = {
    "bits": 4,
    "network": {"widths": (16,)},
    "optimiser": {"lr": 1e-2},
    "num_samples": 13,
    "outer_iters": 3,
    "inner_epochs": 2,
    "batch_size": 5,
}
GROUP = {**SMALL, "lengths": (4, 6, 10)}


def mah(**options):
    return methods.create("mah", **{**GROUP, **options})


def stages(method, data):
    """By path."""
    return dict(walk(method.plan(data, seed=0)))


def run(method, data, turns=1, seed=0):
    """The state after so many turns, and the losses of each step."""
    torch.manual_seed(seed)
    network = build_network(method.network, data.shape, method.bits)
    state = State(data, method.modules(network, data.spec), seed)
    optimiser, history = method.student_optimiser(state), []
    for path, stage in stages(method, data).items():
        if path[1:2] >= (turns,):
            break
        if stage.run is not None:
            stage.run(state, Cursor(path))
            continue
        for step, batch in zip(range(stage.length), stage.reads(state, Cursor(path)), strict=False):
            for group in optimiser.param_groups:
                group["lr"] = method.optimiser.lr * stage.rate(Cursor(path, step))
            losses = stage.step(state, batch, Cursor(path, step))
            optimiser.zero_grad()
            sum(losses.values()).backward()
            optimiser.step()
            history.append({name: value.item() for name, value in losses.items()})
    return state, history


def dense_turn(method, data, state, codes, network):
    """One turn on the items that `state` has drawn, in matrices: the codes after it, outputs and losses."""
    pool, index = data.labelled, state.tensors["index"]
    similar = label_similarity(data.labels[index], data.labels[:pool])[0].float()
    s = torch.where(similar > 0, 1.0, -similar.sum() / (1 - similar).sum())
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-2, weight_decay=5e-4)
    outputs, history = [torch.zeros(len(index), bits) for bits in method.code_lengths], []
    for _ in range(method.inner_epochs):
        for rows in torch.arange(len(index)).split(method.batch_size):
            us = [torch.tanh(z) for z in network.head.logits(network.features(data.take(index[rows])))]
            losses = []
            for u, v, kept, weight in zip(us, codes, outputs, method.weights, strict=True):
                kept[rows] = u.detach()
                pairs = (u @ v.T - u.shape[1] * s[rows]).square().sum()
                rounding = method.gamma * (u - v[index[rows]]).square().sum()
                losses.append(weight * (pairs + rounding) / (pool * len(rows)))
            optimiser.zero_grad()
            sum(losses).backward()
            optimiser.step()
            history.append([loss.item() for loss in losses])
    found = []
    for u, v in zip(outputs, codes, strict=True):
        v, full = v.clone(), torch.zeros_like(v)
        full[index] = u
        q, w = -2 * u.shape[1] * s.T @ u - 2 * method.gamma * full, u.T @ u
        w.fill_diagonal_(0)
        for c in range(u.shape[1]):
            v[:, c] = signs(-(q[:, c] + 2 * v @ w[:, c]))
        found.append(v)
    return found, outputs, history


@pytest.mark.parametrize("multi_hot", [False, True])
@pytest.mark.parametrize("structure", ["flat", "cascade"])
def test_two_turns_are_those_of_dense_matrices(structure, multi_hot):
    data, method = items(multi_hot=multi_hot, labelled=40), mah(structure=structure)
    network = start(method, data).modules["student"]
    codes = [torch.zeros(40, bits) for bits in method.code_lengths]
    for turns in (1, 2):
        state, history = run(method, data, turns)
        codes, outputs, expected = dense_turn(method, data, state, codes, network)
        for bits, v, u in zip(method.code_lengths, codes, outputs, strict=True):
            assert torch.equal(state.tensors[f"codes_{bits}"].float(), v)
            torch.testing.assert_close(state.tensors[f"outputs_{bits}"], u, rtol=1e-3, atol=1e-4)
        found = torch.tensor([list(losses.values()) for losses in history[-len(expected) :]])
        torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-3, atol=1e-4)
    assert set(codes[0].unique().tolist()) == {-1, 1}


def test_codes_get_no_gradient_and_hidden_labels_never_reach_them():
    for options in ({}, {"consensus_weight": 0.1, "grad_rescale": "branches", "structure": "flat"}):
        (one, losses), (other, changed) = (run(mah(**options), items(hidden)) for hidden in (0, 2))
        assert losses == changed
        assert torch.equal(parameters(one.modules["student"]), parameters(other.modules["student"]))
        assert all(torch.equal(one.tensors[key], other.tensors[key]) for key in one.tensors)
        assert not any(tensor.requires_grad for tensor in one.tensors.values())
        assert len(one.tensors["codes_4"]) == 15


@pytest.mark.parametrize("structure", ["flat", "cascade"])
def test_one_length_is_adsh_bit_for_bit(structure, tmp_path):
    runs = []
    for name, options in (("adsh", {}), ("mah", {"lengths": (4,), "structure": structure})):
        config = training.Config(str(tmp_path / name))
        runs.append(training.fit(methods.create(name, **SMALL, **options), items(), config, progress=training.Silent()))
    one, other = (training.load(run) for run in runs)
    assert torch.equal(parameters(one.network), parameters(other.network))
    assert torch.equal(one.database_codes(), other.database_codes())


def test_a_weight_of_one_length_is_the_rate_times_it_and_the_decay_divided():
    """What the control of benchmarks/method_low_bit.py stands for."""
    small = {key: value for key, value in SMALL.items() if key != "optimiser"}
    louder = methods.create("adsh", **small, optimiser={"lr": 0.04, "weight_decay": 0.05})
    weighted = mah(lengths=(4,), head_weights=(4.0,), optimiser={"lr": 0.01, "weight_decay": 0.2})
    (one, _), (other, _) = (run(method, items(), turns=3) for method in (louder, weighted))
    ours, theirs = (parameters(state.modules["student"]) for state in (one, other))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    plain, _ = run(methods.create("adsh", **SMALL), items(), turns=3)
    assert not torch.allclose(ours, parameters(plain.modules["student"]), atol=1e-3)


def test_the_default_course_is_the_published_one():
    method = methods.create("mah")
    assert method.code_lengths == (8, 16, 32)
    assert method.weights == (4, 2, 1)
    data = TrainingSet(torch.randn(3000, 4), torch.arange(3000) % 10, range(3000), [])
    plan = stages(method, data)
    assert [stage.name for stage in list(plan.values())[:5]] == ["init", "sample", "network", "codes", "sample"]
    assert len(plan) == 1 + 3 * 50
    train = plan[1, 0, 1]
    assert train.length == 3 * 32
    falls = [round(1 / train.rate(Cursor((1, turn, 1), 5))) for turn in (0, 10, 11, 20, 21, 49)]
    assert falls == [1, 1, 10, 10, 100, 10_000]
    state = start(method, data)
    (group,) = {(g["lr"], g["weight_decay"]) for g in method.student_optimiser(state).param_groups}
    assert group == (1e-3, 5e-4)
    assert method.student_optimiser(state).defaults["momentum"] == 0


def test_one_order_in_all_passes_or_another_in_each():
    data = items(labelled=40)
    for shuffle in (False, True):
        method = mah(shuffle_inner=shuffle)
        state, _ = run(method, data)
        train = stages(method, data)[1, 0, 1]
        batches = [batch.index for batch, _ in zip(train.reads(state, Cursor((1, 0, 1))), range(6), strict=False)]
        first, second = torch.cat(batches[:3]), torch.cat(batches[3:])
        assert [len(batch) for batch in batches] == [5, 5, 3] * 2
        assert torch.equal(first.sort()[0], state.tensors["index"].sort()[0])
        assert torch.equal(second.sort()[0], first.sort()[0])
        assert torch.equal(first, second) != shuffle
        later = next(train.reads(state, Cursor((1, 0, 1), 4))).index
        assert torch.equal(later, batches[4])


def test_no_more_items_are_drawn_than_there_are():
    data, method = items(labelled=40), mah(num_samples=1000)
    state, history = run(method, data)
    assert state.tensors["index"].sort()[0].tolist() == list(range(40))
    assert len(history) == 2 * 8


def test_fresh_outputs_are_those_of_the_trained_network_in_evaluation_mode(monkeypatch):
    monkeypatch.setattr("fasthash.methods._items.ITEMS", 5)
    data = items(labelled=40)
    method = mah(u_for_codes="fresh", network={"widths": (16,), "dropout": 0.5})
    state, _ = run(method, data)
    network = state.modules["student"]
    assert network.training
    x = data.take(state.tensors["index"])
    assert torch.allclose(state.tensors["outputs_4"], copy.deepcopy(network).eval()(x), atol=1e-6)
    recorded, _ = run(mah(network={"widths": (16,), "dropout": 0.5}), data)
    assert not torch.allclose(recorded.tensors["outputs_4"], state.tensors["outputs_4"], atol=1e-2)


def test_consensus_is_the_mean_over_the_lengths():
    data, method = items(labelled=40), mah(consensus_weight=0.3)
    state, _ = run(mah(), data)
    batch = state.batch(state.tensors["index"][:5], 0)
    a, b, c = method.outputs(state, batch)
    losses = method.losses(state, batch, Cursor((1, 0, 1)))
    expected = 0.1 * (group_consensus(a, [b, c]) + group_consensus(b, [a, c]) + group_consensus(c, [a, b]))
    torch.testing.assert_close(losses["consensus"], expected)
    assert "consensus" not in mah().losses(state, batch, Cursor((1, 0, 1)))


@pytest.mark.parametrize(
    ("structure", "rescale", "factors"),
    [
        ("flat", "none", (1, 1)),
        ("flat", "branches", (3, 2)),
        ("flat", "weights", (7, 1)),
        ("cascade", "branches", (2, 2)),
        ("cascade", "weights", (7, 1)),
    ],
)
def test_gradients_are_rescaled_by_branches_or_weights(structure, rescale, factors):
    head = start(mah(structure=structure, grad_rescale=rescale), items()).modules["student"].head
    assert (head.divide_all, head.divide_links) == factors
    assert head.structure == structure


def test_flat_heads_with_nothing_shared_are_warned_of():
    alone = {"structure": "flat", "network": {"backbone": "identity"}}
    with pytest.warns(UserWarning, match="they are separate runs of ADSH"):
        start(mah(**alone), items())
    start(mah(structure="flat", network={"backbone": "identity", "head": "mlp", "hidden": 8}), items())
    start(mah(structure="cascade", network={"backbone": "identity"}), items())


def gaussians(seed=0):
    """Ten classes in 64 dimensions: 3,000 items, then 300 queries."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(10, 64, generator=generator)
    labels = torch.arange(3300) % 10
    return centres[labels] + 1.5 * torch.randn(3300, 64, generator=generator), labels


@pytest.mark.parametrize("structure", ["flat", "cascade"])
def test_short_codes_are_learnt(structure, tmp_path):
    x, labels = gaussians()
    data = TrainingSet(x, labels, range(3000), [])
    method = methods.create(
        "mah",
        bits=4,
        structure=structure,
        network={"widths": (128,)},
        optimiser={"lr": 1e-2},
        num_samples=500,
        outer_iters=8,
    )
    run = training.fit(method, data, training.Config(str(tmp_path / "run")), progress=training.Silent())
    hasher = training.load(run)
    scores = [
        mean_average_precision(
            hasher.encode(x[3000:], length=length),
            hasher.database_codes(length),
            labels[3000:],
            labels[:3000],
            bits=length,
        )
        for length in (4, 8, 16)
    ]
    assert scores[0] > 0.5
    assert scores[1] > 0.8
    assert scores[2] > 0.95


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"lengths": (6, 8)}, ValueError, r"MAH: lengths must ascend from bits 4, got \(6, 8\)"),
        ({"lengths": (4, 8, 8)}, ValueError, r"MAH: lengths must ascend from bits 4, got \(4, 8, 8\)"),
        ({"head_weights": (2.0, 1.0)}, ValueError, r"MAH: head_weights must be one for each of \(4, 6, 10\)"),
        ({"head_weights": (2.0, 1.0, 0.0)}, ValueError, r"MAH: head_weights must lie in \(0, inf\), got 0\.0"),
        ({"structure": "tree"}, ValueError, "must be one of 'cascade', 'flat', got 'tree'"),
        ({"grad_rescale": "all"}, ValueError, "must be one of 'none', 'branches', 'weights', got 'all'"),
        ({"lengths": (4,), "consensus_weight": 1.0}, ValueError, "must be .* with one length"),
        ({"gamma": -1.0}, ValueError, r"MAH: gamma must lie in \[0, inf\), got -1"),
        ({"num_samples": 0}, ValueError, "MAH: num_samples must be >= 1, got 0"),
        ({"milestones": (-1,)}, ValueError, "MAH: milestones must be >= 0, got -1"),
        ({"zero_sign": 1}, TypeError, "zero_sign must be one of -1, 0, got 1"),
        ({"network": {"relaxation": "none"}}, ValueError, r'MAH: network\.relaxation must be "tanh"'),
    ],
)
def test_options_are_checked_when_they_are_made(options, kind, message):
    with pytest.raises(kind, match=message):
        mah(**options)


def test_errors():
    method, spec = methods.create("adsh", **SMALL), items().spec
    with pytest.raises(TypeError, match="ADSH: network must be a HashNetwork, got Linear"):
        method.modules(torch.nn.Linear(6, 4), spec)
    with pytest.raises(ValueError, match="ADSH: network must have relaxation \"tanh\", got 'none'"):
        method.modules(HashNetwork(torch.nn.Flatten(), linear_head(6, 4), relaxation="none"), spec)
    x = torch.randn(6, 6)
    with pytest.raises(ValueError, match="ADSH: data must have items with labels, got none"):
        method.plan(TrainingSet(x, None, [], range(6)), 0)
    with pytest.raises(ValueError, match="ADSH: data must have items with labels, got pairs"):
        method.plan(TrainingSet(x, None, [], range(6), pairs=[[0, 1, 1], [2, 3, 0]]), 0)


@pytest.mark.parametrize(
    ("sizes", "ranks", "message"),
    [
        ({"num_samples": 67, "batch_size": 16}, 2, "multiples of 2 processes, got num_samples 67 of 80 .* 16, .* of 3"),
        ({"num_samples": 64, "batch_size": 9}, 3, "multiples of 3 processes, got num_samples 64 of 80 .* 9, .* of 1"),
        ({"num_samples": 8, "batch_size": 5}, 1, None),
        ({"num_samples": 65, "batch_size": 16}, 1, "at least 2 items for batch norm, got num_samples 65 of 80 .* of 1"),
        ({"num_samples": 999, "batch_size": 79}, 1, "2 items for batch norm, got num_samples 999 of 80 .* of 1"),
        ({"num_samples": 66, "batch_size": 16}, 2, "at least 2 items for batch norm, got num_samples 66 of 80 .* of 2"),
        ({"num_samples": 68, "batch_size": 16}, 2, None),
    ],
)
def test_batches_that_cannot_be_trained_on_are_refused_before_the_first_step(sizes, ranks, message):
    data = TrainingSet(torch.randn(80, 6), torch.arange(80) % 3, range(80), [])
    method = mah(**sizes)
    network = HashNetwork(torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.BatchNorm1d(8)), linear_head(8, 4))
    state = State(data, method.modules(network, data.spec), ranks=ranks)
    init = stages(method, data)[(0,)]
    if message is None:
        init.run(state, Cursor((0,)))
        return
    with pytest.raises(ValueError, match=f"MAH: num_samples and batch_size must give .*{message}"):
        init.run(state, Cursor((0,)))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.eval()
    if ranks == 1:  # statistics that stand still take one item
        init.run(state, Cursor((0,)))
