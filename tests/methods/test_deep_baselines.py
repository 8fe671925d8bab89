"""DSH and HashNet, on the labelled stream of a batch."""

import math

import pytest
import torch

from fasthash import methods, training
from fasthash.data import TrainingSet, load_digits
from fasthash.evaluation import mean_average_precision
from fasthash.methods import State
from fasthash.methods.hashnet import shared_share
from fasthash.networks import HashNetwork, NetworkConfig, build_network, linear_head

SMALL = {"bits": 12, "epochs": 4, "batch_size": 20, "labelled": 8, "network": {"widths": (16,)}}
U = torch.tensor([[0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]])


def items(hidden=0):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    labels[15:] = hidden
    return TrainingSet(torch.randn(60, 6, generator=generator), labels, range(15), range(15, 60))


def test_dsh_by_hand():
    """E = 1, 2, 1 for the pairs 01 (similar), 02, 12; margin 4: the mean of 1/2, 2/2, 3/2. Each | |u| - 1 | is 1/2."""
    labels = torch.tensor([0, 0, 1])
    losses = methods.create("dsh", bits=2).supervised(U, labels)
    assert losses["dsh"] == pytest.approx((0.5 + 1 + 1.5) / 3)
    assert losses["quantization"] == pytest.approx(0.02 * 1.0)
    losses = methods.create("dsh", bits=2, margin=1.5, q=1.0).supervised(U, labels)
    assert losses["dsh"] == pytest.approx((0.5 + 0 + 0.25) / 3)
    assert losses["quantization"] == pytest.approx(1.0)


def hashnet_loop(u, labels, alpha):
    """The paper's sum over pairs, divided by their number."""
    pairs = [(i, j) for i in range(len(u)) for j in range(len(u)) if i != j]
    similar = {(i, j): bool(set(labels[i]) & set(labels[j])) for i, j in pairs}
    ones = sum(similar.values())
    total = 0.0
    for i, j in pairs:
        product = alpha * sum(a * b for a, b in zip(u[i], u[j], strict=True))
        shared, either = set(labels[i]) & set(labels[j]), set(labels[i]) | set(labels[j])
        c = len(shared) / len(either) if shared else 1.0
        weight = c * len(pairs) / (ones if similar[i, j] else len(pairs) - ones)
        total += weight * (math.log(1 + math.exp(product)) - similar[i, j] * product)
    return total / len(pairs)


def test_hashnet_is_the_papers_sum():
    found = methods.create("hashnet", bits=2).supervised(U, torch.tensor([0, 0, 1]))["hashnet"]
    # Products 0, -0.5 and 0, alpha 5: similar pairs cost log 2, dissimilar ones log(1 + e^-2.5) and log 2.
    log2 = math.log(2)
    assert float(found) == pytest.approx(log2 + (math.log(1 + math.exp(-2.5)) + log2) / 2)
    assert float(found) == pytest.approx(hashnet_loop(U.tolist(), [[0], [0], [1]], 5.0))


def test_hashnet_weighs_pairs_by_the_share_of_their_labels():
    sets = [[0, 1], [0], [1, 2, 3], [4], [0, 1]]
    labels = torch.zeros(5, 5, dtype=torch.int64)
    for row, classes in enumerate(sets):
        labels[row, classes] = 1
    share = shared_share(labels)
    assert share[0].tolist() == pytest.approx([1, 1 / 2, 1 / 4, 1, 1])
    u = torch.rand(5, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1
    found = methods.create("hashnet", bits=4, alpha=0.7).supervised(u, labels)["hashnet"]
    assert float(found) == pytest.approx(hashnet_loop(u.tolist(), sets, 0.7), rel=1e-5)


def test_beta_grows_as_in_the_release():
    method = methods.create("hashnet", epochs=100)
    for iteration in (0, 200, 5000, 10_000):
        assert method.beta(iteration / 100) == pytest.approx(math.sqrt(1 + 0.005 * iteration))
    data = items()
    method = methods.create("hashnet", **SMALL, beta_max=3.0)
    state = State(data, method.modules(build_network(method.network, data.shape, 12), data.spec))
    batch = state.batch(torch.arange(20), 0)
    z = state.modules["student"](batch.x[:15])
    for epoch in (0.0, 1.0, 4.0):
        expected = method.supervised(torch.tanh(method.beta(epoch) * z), batch.labels[:15])["hashnet"]
        assert torch.equal(method.losses(state, batch, epoch)["hashnet"], expected)


@pytest.mark.parametrize("name", ["dsh", "hashnet"])
def test_hidden_labels_never_reach_a_loss(name, tmp_path):
    codes = []
    for hidden in (0, 2):
        folder = str(tmp_path / str(hidden))
        run = training.fit(
            methods.create(name, **SMALL), items(hidden), training.Config(folder), progress=training.Silent()
        )
        codes.append(training.load(run).network.logits(items().batch(torch.arange(60)).x))
    assert torch.equal(*codes)


@pytest.mark.parametrize("name", ["dsh", "hashnet"])
def test_digits_are_learnt(name, tmp_path):
    images, labels = load_digits()
    data = TrainingSet(images, labels, range(400), [])
    method = methods.create(name, bits=24, network={"widths": (64,)}, epochs=200, batch_size=64)
    run = training.fit(method, data, training.Config(str(tmp_path / "run")), progress=training.Silent())
    hasher = training.load(run)
    queries, database = hasher.encode(images[1500:]), hasher.encode(images[400:1500])
    assert mean_average_precision(queries, database, labels[1500:], labels[400:1500], bits=24) > 0.6


def test_errors():
    with pytest.raises(ValueError, match=r"DSH: margin must lie in \(0, inf\), got 0"):
        methods.create("dsh", margin=0)
    with pytest.raises(ValueError, match=r"DSH: q must lie in \[0, inf\), got -1"):
        methods.create("dsh", q=-1)
    with pytest.raises(ValueError, match=r"DSH: labelled must be <= batch_size 128, got 200"):
        methods.create("dsh", labelled=200)
    with pytest.raises(ValueError, match=r'DSH: network\.relaxation must be "tanh" or "none"'):
        methods.create("dsh", network={"relaxation": "sigmoid"})
    with pytest.raises(ValueError, match=r"HashNet: alpha must lie in \(0, inf\), got 0"):
        methods.create("hashnet", alpha=0)
    with pytest.raises(ValueError, match=r"HashNet: beta_max must lie in \[1, inf\), got 0\.5"):
        methods.create("hashnet", beta_max=0.5)
    with pytest.raises(ValueError, match=r'HashNet: network\.relaxation must be "none", .* got \'tanh\''):
        methods.create("hashnet", network=NetworkConfig())
    with pytest.raises(ValueError, match=r'HashNet: network must have relaxation "none", got \'tanh\''):
        methods.create("hashnet").modules(HashNetwork(torch.nn.Flatten(), linear_head(6, 48)), items().spec)
