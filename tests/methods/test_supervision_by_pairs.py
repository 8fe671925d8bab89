"""Methods that learn from labelled items learn from known pairs of them as well."""

from __future__ import annotations

import pytest
import torch

from fasthash import methods
from fasthash.data import TrainingSet, load_digits, make_split
from fasthash.evaluation import mean_average_precision
from fasthash.methods import State
from fasthash.networks import build_network
from fasthash.training import Config, Silent, fit, load

PAIRWISE = ("dpsh", "dsh", "hashnet", "pts3h")


@pytest.mark.parametrize("name", PAIRWISE)
def test_terms_are_those_of_labels_that_say_the_same(name):
    numbers = torch.Generator().manual_seed(0)
    u, labels = torch.randn(12, 8, generator=numbers), torch.randint(3, (12,), generator=numbers)
    first, second = torch.triu_indices(12, 12, 1)
    pairs = torch.stack([first, second, (labels[first] == labels[second]).long()], 1)
    data = TrainingSet(torch.randn(12, 2), None, [], range(12), pairs=pairs)
    batch = data.batch(torch.arange(12))
    method = methods.create(name, bits=8)
    by_pairs = method.supervised(u, batch.labels, batch.pair_similarity())
    by_labels = method.supervised(u, labels)
    assert by_pairs.keys() == by_labels.keys()
    for term, value in by_labels.items():
        assert torch.allclose(by_pairs[term], value)
    nothing = method.supervised(u, batch.labels)[next(iter(by_labels))]
    assert not torch.allclose(nothing, by_labels[next(iter(by_labels))])


@pytest.mark.parametrize("scope", ["batch", "bank"])
def test_known_pairs_overrule_the_codes_of_the_teacher(scope):
    """All items are the same, so every code is near; the pairs say otherwise."""
    pairs = torch.tensor([[0, 1, 0], [2, 3, 0], [1, 2, 1], [5, 0, 0]])
    data = TrainingSet(torch.ones(12, 4), None, [], range(12), pairs=pairs)
    method = methods.create("pts3h", bits=8, g_graph=1.0, graph_scope=scope, k=11, batch_size=12, labelled=5)
    network = build_network(method.network, data.shape, 8)
    state = State(data, method.modules(network, data.spec))
    batch = data.batch(torch.arange(12))
    v = torch.ones(12, 8)
    graph = method.teacher_graph(state, batch, v)
    expected = torch.ones(12, 12, dtype=torch.bool)
    for one, other, similar in data.pairs.tolist():
        expected[one, other] = expected[other, one] = bool(similar)
    if scope == "batch":
        assert torch.equal(graph.similar, expected)
        assert graph.known.all()
    else:
        others = ~torch.eye(12, dtype=torch.bool)
        # The bank's rows come in the order of the items, each item's own left out.
        assert torch.equal(graph.near, expected[others].view(12, 11))
        assert graph.decided.all()
        given = torch.zeros(12, 12, dtype=torch.bool)
        for one, other, _ in data.pairs.tolist():
            given[one, other] = given[other, one] = True
        assert torch.equal(graph.known, given)


def test_training_on_pairs_alone_learns_the_classes(tmp_path):
    images, labels = load_digits()
    split = make_split("digits-semi", labels)
    rows = torch.combinations(torch.from_numpy(split.labelled))
    pairs = torch.cat([rows, (labels[rows[:, :1]] == labels[rows[:, 1:]]).long()], 1)
    data = TrainingSet(images, None, [], [*split.labelled, *split.unlabelled], pairs=pairs)
    options = {"bits": 16, "epochs": 10, "network": {"widths": [128]}, "optimiser": {"lr": 0.003}}
    run = fit(methods.create("dpsh", **options), data, Config(str(tmp_path / "run")), progress=Silent())
    codes = load(run).encode(images)

    def score(codes):
        known = (labels[split.queries], labels[split.database])
        return mean_average_precision(codes[split.queries], codes[split.database], *known, bits=16)

    untrained = load(fit(methods.create("lsh", bits=16), data, Config(str(tmp_path / "lsh")), progress=Silent()))
    assert score(codes) > score(untrained.encode(images)) + 0.1


def test_ssdh_needs_classes():
    pairs = torch.tensor([[0, 1, 1]])
    data = TrainingSet(torch.randn(12, 2), None, [], range(12), pairs=pairs)
    with pytest.raises(ValueError, match="SSDH: data must have labels, got pairs"):
        methods.create("ssdh").plan(data, 0)
