import dataclasses

import pytest
import torch

from fasthash import methods
from fasthash.data import Perturbation, TrainingSet
from fasthash.losses import graph_contrastive, pair_consistency, pairwise_likelihood
from fasthash.methods import Cursor, State
from fasthash.networks import NetworkConfig, build_network

OPTIONS = {
    "bits": 12,
    "network": NetworkConfig("mlp", (16,), dropout=0.3),
    "perturbation": Perturbation(dropout=0.2, noise=0.1),
    "epochs": 3,
    "batch_size": 20,
    "labelled": 8,
}
TERMS = {"w_max": 5.0, "g_point": 0.5, "g_graph": 1.0, "graph_loss": "likelihood"}


def items(labels_of_unlabelled=0):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    labels[15:] = labels_of_unlabelled
    return TrainingSet(torch.randn(60, 6, generator=generator), labels, range(15), range(15, 60))


def run(method, data, steps=None):
    """The plan by hand: every batch, every step's losses, and the state at the end."""
    torch.manual_seed(0)
    state = State(data, method.modules(build_network(method.network, data.shape, method.bits), data.spec))
    (stage,) = method.plan(data, seed=0)
    optimiser = stage.optimisers["student"](state)
    batches, history = [], []
    for step, batch in zip(range(steps or stage.length), stage.reads(state, Cursor((0,))), strict=False):
        losses = stage.step(state, batch, Cursor((0,), step))
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
        stage.after_step(state, Cursor((0,), step + 1))
        batches.append(batch)
        history.append({name: float(value.detach()) for name, value in losses.items()})
    return state, batches, history


def parameters(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def test_without_weight_the_student_is_the_supervised_baseline_bit_for_bit():
    baseline, _, _ = run(methods.create("dpsh", **OPTIONS), items())
    student, _, _ = run(methods.create("pts3h", **OPTIONS, **{**TERMS, "w_max": 0.0}), items())
    assert torch.equal(parameters(baseline.modules["student"]), parameters(student.modules["student"]))
    weighted, _, _ = run(methods.create("pts3h", **OPTIONS, **TERMS), items())
    assert not torch.equal(parameters(baseline.modules["student"]), parameters(weighted.modules["student"]))


@pytest.mark.parametrize("name", ["dpsh", "pts3h"])
def test_hidden_labels_never_reach_a_loss(name):
    method = methods.create(name, **OPTIONS, **(TERMS if name == "pts3h" else {}))
    (one, batches, losses), (other, _, changed) = run(method, items(0)), run(method, items(2))
    assert losses == changed
    assert torch.equal(parameters(one.modules["student"]), parameters(other.modules["student"]))
    for batch in batches:
        assert batch.labelled == 8
        assert batch.labels[:8].min() >= 0
        assert (batch.labels[8:] == -1).all()


def test_the_teacher_gets_no_gradient_and_is_the_running_mean():
    method = methods.create("pts3h", **OPTIONS, **TERMS, ema_ramp=0.5, ema_max=0.5)
    torch.manual_seed(0)
    start = parameters(build_network(method.network, (6,), 12))
    state, _, _ = run(method, items(), steps=1)
    after_one = parameters(state.modules["student"])
    assert torch.allclose(parameters(state.modules["teacher"]), (start + after_one) / 2)
    state, _, _ = run(method, items())
    assert all(p.grad is None and not p.requires_grad for p in state.modules["teacher"].parameters())
    x = torch.randn(4, 6)
    assert not method.forward(state, "teacher", x, "teacher").requires_grad


def test_ramp_starts_after_the_first_epoch_and_the_decay_changes_after_it():
    method = methods.create("pts3h", **{**OPTIONS, "epochs": 10}, w_max=5.0, ramp=0.4)
    state, _, history = run(method, items())
    first_epoch = [losses["pair"] for losses in history[:4]]
    assert first_epoch == [0] * 4
    assert all(losses["pair"] > 0 for losses in history[4:])
    teacher = state.modules["teacher"]
    method.after_step(state, step=15, epoch_length=3.75)
    assert teacher.decay_max == method.ema_max
    method.after_step(state, step=14, epoch_length=3.75)
    assert teacher.decay_max == method.ema_ramp


def test_terms_are_the_published_ones_with_their_weights():
    data = items()
    still = {**OPTIONS, "network": NetworkConfig("mlp", (16,)), "perturbation": Perturbation()}
    method = methods.create("pts3h", **still, w_max=3.0, ramp=0.0, g_graph=0.5, near=0.2, far=0.5)
    state, (batch,), _ = run(method, data, steps=1)
    u = state.modules["student"](batch.x)
    v = state.modules["teacher"](batch.x)
    losses = method.losses(state, batch, epoch=2.0)
    assert torch.allclose(losses["pair"], 3 * pair_consistency(u, v))
    distance = ((v > 0)[:, None] != (v > 0)[None, :]).sum(2)
    similar, known = distance <= 2, (distance <= 2) | (distance >= 6)
    both = torch.arange(20) < 8
    both = both[:, None] & both[None, :]
    similar = torch.where(both, batch.labels[:, None] == batch.labels[None, :], similar)
    assert torch.allclose(losses["graph"], 1.5 * graph_contrastive(u, similar, known | both))
    likely = dataclasses.replace(method, graph_loss="likelihood", bits=12)
    expected = 1.5 * pairwise_likelihood(u, similar, mask=known | both, scale=0.5)
    assert torch.allclose(likely.losses(state, batch, epoch=2.0)["graph"], expected)
    assert method.encoder(state.modules) is state.modules["teacher"]
    assert dataclasses.replace(method, encode_with="student").encoder(state.modules) is state.modules["student"]


def test_dsh_has_its_own_regulariser():
    method = methods.create("dpsh", **{**OPTIONS, "sup": "dsh"})
    losses = method.supervised(torch.tensor([[0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]]), torch.tensor([0, 0, 1]))
    assert losses["dsh"] == pytest.approx(1.0)
    assert losses["quantization"] == pytest.approx(0.02)
    losses = dataclasses.replace(method, sup="dpsh", q=1.0).supervised(torch.full((2, 2), 0.5), torch.tensor([0, 0]))
    assert losses["quantization"] == pytest.approx(0.25)
