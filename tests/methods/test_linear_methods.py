"""LSH, PCA hashing and ITQ: closed forms on a linear network."""

import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from fasthash import methods, training
from fasthash.data import TrainingSet, load_digits
from fasthash.evaluation import mean_average_precision
from fasthash.methods import State, _linear
from fasthash.methods.itq import rotate
from fasthash.networks import HashNetwork, NetworkConfig, build_network, linear_head
from fasthash.ops import unpack

NAMES = ["lsh", "pcah", "itq"]


def items(n=300, width=10, offset=5.0):
    generator = torch.Generator().manual_seed(0)
    mixed = torch.randn(n, width, generator=generator) @ torch.randn(width, width, generator=generator)
    return TrainingSet(mixed + offset, torch.arange(n) % 3, range(9), range(9, n))


def solved(name, data, **options):
    """The state after the plan, by hand."""
    method = methods.create(name, **options)
    state = State(data, method.modules(build_network(method.network, data.shape, method.bits), data.spec))
    (stage,) = method.plan(data, seed=0)
    stage.run(state, None)
    return method, state


def weights(state):
    (linear,) = state.modules["student"].head
    return linear.weight.detach(), linear.bias.detach()


@pytest.mark.parametrize("name", NAMES)
def test_runs_to_codes_of_their_own_kind(name, tmp_path):
    images, labels = load_digits()
    data = TrainingSet(images, labels, range(100), range(100, 1500))
    method = methods.create(name, bits=24)
    run = training.fit(method, data, training.Config(str(tmp_path / "run")), progress=training.Silent())
    assert run.finished
    assert run.method() == method
    codes = training.load(run).encode(images)
    found = training.load(run).network.logits(images).detach()
    assert torch.equal(unpack(codes, 24), torch.where(found > 0, 1.0, -1.0))
    score = mean_average_precision(codes[1500:], codes[:1500], labels[1500:], labels[:1500], bits=24)
    assert score > 0.25  # chance is 0.1


@pytest.mark.parametrize("name", NAMES)
def test_blocks_and_labels_change_nothing(name, monkeypatch):
    _, whole = solved(name, items(), bits=6)
    monkeypatch.setattr(_linear, "BLOCK", 7)
    unlabelled = items()
    unlabelled.labels.fill_(-1)
    _, parts = solved(name, unlabelled, bits=6)
    for one, other in zip(weights(whole), weights(parts), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_features_come_from_the_backbone(name):
    data, config = items(), NetworkConfig("mlp", (16,), dropout=0.5)
    torch.manual_seed(0)
    _, state = solved(name, data, bits=6, network=config)
    features = state.modules["student"].features(data.batch(torch.arange(300)).x).detach()
    torch.manual_seed(0)
    _, alone = solved(name, TrainingSet(features, None, [], range(300)), bits=6)
    for one, other in zip(weights(state), weights(alone), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_lsh_draws_from_the_normal_law_by_the_runs_seed():
    data = items(n=20, width=500)
    _, state = solved("lsh", data, bits=400)
    weight, bias = weights(state)
    assert abs(weight.mean()) < 5 / math.sqrt(weight.numel())
    assert abs(weight.var() - 1) < 5 * math.sqrt(2 / weight.numel())
    assert torch.equal(weights(solved("lsh", data, bits=400)[1])[0], weight)
    mean = data.batch(torch.arange(20)).x.mean(0)
    torch.testing.assert_close(bias, -weight @ mean, atol=1e-3, rtol=1e-4)
    _, state = solved("lsh", data, bits=400, centre=False)
    assert torch.equal(weights(state)[0], weight)
    assert not weights(state)[1].any()


def test_lsh_bits_differ_at_the_rate_of_the_angle():
    _, state = solved("lsh", items(n=20, width=2), bits=20_000, centre=False)
    angle = math.radians(50)
    codes = state.modules["student"].logits(torch.tensor([[1.0, 0.0], [math.cos(angle), math.sin(angle)]])) > 0
    share = float((codes[0] != codes[1]).double().mean())
    expected = angle / math.pi
    assert abs(share - expected) < 5 * math.sqrt(expected * (1 - expected) / 20_000)


def test_pcah_is_the_pca_of_scikit_learn_up_to_signs():
    data = items()
    _, state = solved("pcah", data, bits=6)
    x = data.batch(torch.arange(300)).x.double().numpy()
    pca = PCA(6, svd_solver="full").fit(x)
    weight, bias = (t.double().numpy() for t in weights(state))
    signs = np.sign((weight * pca.components_).sum(1, keepdims=True))
    np.testing.assert_allclose(weight, signs * pca.components_, atol=1e-5)
    np.testing.assert_allclose(x @ weight.T + bias, pca.transform(x) * signs.T, atol=1e-4)
    assert (weight.max(1) == np.abs(weight).max(1)).all()


def test_a_mean_far_from_zero_costs_no_digits():
    near, far = (solved("pcah", items(offset=offset), bits=6)[1] for offset in (0.0, 1000.0))
    torch.testing.assert_close(weights(near)[0], weights(far)[0], atol=1e-3, rtol=1e-3)


def itq_loop(v, rotation, turns):
    """The alternation, one item and one entry at a time."""
    objective = []
    for turn in range(turns + 1):
        rotated = [[sum(row[a] * rotation[a][b] for a in range(len(row))) for b in range(len(row))] for row in v]
        codes = [[1.0 if value > 0 else -1.0 for value in row] for row in rotated]
        terms = [(c - r) ** 2 for x, y in zip(codes, rotated, strict=True) for c, r in zip(x, y, strict=True)]
        objective.append(math.fsum(terms) / len(terms))
        if turn < turns:
            correlation = np.array(codes).T @ np.array(v)
            left, _, right = np.linalg.svd(correlation)
            rotation = (right.T @ left.T).tolist()
    return rotation, objective


def test_itq_is_the_plain_loop():
    generator = torch.Generator().manual_seed(3)
    v = torch.randn(40, 4, generator=generator, dtype=torch.float64)
    start = torch.linalg.qr(torch.randn(4, 4, generator=generator, dtype=torch.float64))[0]
    rotation, objective = rotate(v, start, 5, block=7)
    expected, values = itq_loop(v.tolist(), start.tolist(), 5)
    np.testing.assert_allclose(rotation.numpy(), expected, atol=1e-12)
    assert objective.tolist() == pytest.approx(values, rel=1e-12)


def test_itq_by_hand():
    """Corners of a square turned by 30 degrees: one alternation turns them back, and nothing is lost."""
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    angle = math.radians(30)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64)
    rotation, objective = rotate(corners @ turn, torch.eye(2, dtype=torch.float64), 1)
    torch.testing.assert_close(rotation, turn.T)
    # Each corner lies 30 degrees off its code: 2 * (2 - 2 cos 30) over two bits.
    assert objective.tolist() == pytest.approx([2 - 2 * math.cos(angle), 0.0], abs=1e-12)


def test_itq_objective_never_rises_and_the_directions_stay_orthonormal():
    data = items()
    method, state = solved("itq", data, bits=8)
    objective = state.tensors["objective"]
    assert objective.shape == (method.alternations + 1,)
    assert (objective.diff() <= 1e-12).all()
    assert objective[-1] < objective[0]
    weight, bias = (t.double() for t in weights(state))
    torch.testing.assert_close(weight @ weight.T, torch.eye(8, dtype=torch.float64), atol=1e-5, rtol=0)
    v = data.batch(torch.arange(300)).x.double() @ weight.T + bias
    lost = (torch.where(v > 0, 1.0, -1.0) - v).square().mean()
    assert float(lost) == pytest.approx(float(objective[-1]), rel=1e-4)
    _, start = solved("itq", data, bits=8, alternations=0)
    assert start.tensors["objective"].tolist() == pytest.approx(objective[:1].tolist())


def test_errors():
    for name in NAMES:
        with pytest.raises(ValueError, match=r"network\.head must be .linear., got .mlp."):
            methods.create(name, network={"backbone": "identity", "head": "mlp"})
        with pytest.raises(TypeError, match="network must be a HashNetwork with a linear head, got Linear"):
            methods.create(name).modules(torch.nn.Linear(4, 48), items().spec)
    with pytest.raises(ValueError, match="ITQ: alternations must be >= 0, got -1"):
        methods.create("itq", alternations=-1)
    for name in ("pcah", "itq"):
        with pytest.raises(ValueError, match="bits must be at most 10, the directions in which features vary, got 12"):
            solved(name, items(), bits=12)
        constant = TrainingSet(torch.ones(9, 4), None, [], range(9))
        with pytest.raises(ValueError, match="bits must be at most 0, the directions"):
            solved(name, constant, bits=2)


def test_any_linear_head_is_taken():
    network = HashNetwork(torch.nn.Flatten(), linear_head(10, 6)[0])
    data = items()
    method = methods.create("pcah", bits=6)
    state = State(data, method.modules(network, data.spec))
    method.plan(data, 0)[0].run(state, None)
    assert torch.equal(network.head.weight, weights(solved("pcah", data, bits=6)[1])[0])


@pytest.mark.parametrize("name", ["lsh", "itq", "pcah"])
def test_bits_are_checked_when_the_method_is_made(name):
    with pytest.raises(ValueError, match=f"{name.upper()}: bits must be >= 1, got 0"):
        methods.create(name, bits=0)
    with pytest.raises(TypeError, match=r"bits must be a whole number, got 8\.0"):
        type(methods.create(name))(bits=8.0)
