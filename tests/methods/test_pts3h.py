import dataclasses

import pytest
import torch
from by_hand import first_batch, items, parameters, run

from fasthash import methods
from fasthash.data import Perturbation
from fasthash.losses import (
    balanced_likelihood,
    draw_columns,
    graph_contrastive,
    label_similarity,
    neighbour_consistency,
    pair_consistency,
    pairwise_likelihood,
    quantization,
)
from fasthash.networks import NetworkConfig, build_network
from fasthash.ops import hamming_distance, pack, unpack
from fasthash.teachers import knn_graph, pseudo_similarity

OPTIONS = {
    "bits": 12,
    "network": NetworkConfig("mlp", (16,), dropout=0.3),
    "perturbation": Perturbation(dropout=0.2, noise=0.1),
    "epochs": 3,
    "batch_size": 20,
    "labelled": 8,
}
STILL = {**OPTIONS, "network": NetworkConfig("mlp", (16,)), "perturbation": Perturbation()}
TERMS = {"w_max": 5.0, "g_point": 0.5, "g_graph": 1.0, "graph_loss": "likelihood", "g_nb": 0.5}
VARIANTS = [
    {},
    {"graph": "knn", "k": 4, "pair": "sigmoid"},
    {"graph_scope": "bank", "graph_loss": "margin", "near": 0.3},
    {"graph_scope": "bank", "graph": "knn", "sup": "balanced"},
]


def pts3h(options=STILL, **more):
    return methods.create("pts3h", **{**options, **more})


def test_without_weight_the_student_is_the_supervised_baseline_bit_for_bit():
    baseline, _, _ = run(methods.create("dpsh", **OPTIONS), items())
    student, _, _ = run(methods.create("pts3h", **OPTIONS, **{**TERMS, "w_max": 0.0}), items())
    assert torch.equal(parameters(baseline.modules["student"]), parameters(student.modules["student"]))
    weighted, _, _ = run(methods.create("pts3h", **OPTIONS, **TERMS), items())
    assert not torch.equal(parameters(baseline.modules["student"]), parameters(weighted.modules["student"]))


@pytest.mark.parametrize("multi_hot", [False, True])
@pytest.mark.parametrize("options", [None, *VARIANTS])
def test_hidden_labels_never_reach_a_loss(options, multi_hot):
    method = methods.create("dpsh", **OPTIONS) if options is None else pts3h(OPTIONS, **{**TERMS, **options})
    (one, batches, losses), (other, _, changed) = (run(method, items(hidden, multi_hot=multi_hot)) for hidden in (0, 2))
    assert losses == changed
    assert torch.equal(parameters(one.modules["student"]), parameters(other.modules["student"]))
    for batch in batches:
        assert batch.labelled == 8
        assert (batch.labels[8:] == (0 if multi_hot else -1)).all()


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
    method = pts3h(w_max=3.0, ramp=0.0, g_graph=0.5, near=0.2, far=0.5)
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


def outputs(method, data, seed=0):
    """State and batch before the first step, with a teacher that is not the student, and the outputs of both."""
    state, batch = first_batch(method, data)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in state.modules["teacher"].parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=generator))
    return state, batch, state.modules["student"](batch.x), state.modules["teacher"](batch.x)


@pytest.mark.parametrize("graph", ["threshold", "knn"])
def test_neighbour_profiles_follow_the_graph(graph):
    method = pts3h(w_max=2.0, ramp=0.0, g_pair=0.0, g_nb=0.5, graph=graph, k=3, near=0.3, far=0.45)
    state, batch, u, v = outputs(method, items())
    loss = method.losses(state, batch, epoch=2.0)["neighbour"]
    k = None if graph == "threshold" else 3
    similar, _ = pseudo_similarity(pack(v), 12, near=0.3, far=0.45, k=k, labels=batch.labels)
    again, _ = first_batch(method, items())
    drawn = draw_columns(similar, generator=again.generator("neighbours"))
    torch.testing.assert_close(loss, neighbour_consistency(u, v, drawn))


def test_knn_pairs_take_the_place_of_the_threshold():
    method = pts3h(w_max=1.0, ramp=0.0, g_graph=1.0, graph="knn", k=3, far=0.5, graph_margin=0.9)
    state, batch, u, v = outputs(method, items())
    near = torch.zeros(20, 20, dtype=torch.bool).scatter_(1, knn_graph(pack(v), 3), True)
    by_label, labelled = label_similarity(batch.labels)
    similar = torch.where(labelled, by_label, near | near.T)
    known = similar | labelled | (hamming_distance(pack(v), pack(v)) >= 6)
    expected = graph_contrastive(u, similar, known, margin=0.9)
    torch.testing.assert_close(method.losses(state, batch, epoch=2.0)["graph"], expected)


@pytest.mark.parametrize("graph", ["threshold", "knn"])
def test_the_bank_gives_near_items_and_the_batch_far_ones(graph):
    method = pts3h(w_max=1.0, ramp=0.0, g_graph=1.0, graph=graph, graph_scope="bank", k=5, near=0.3, far=0.5)
    data = items()
    state, batch, u, v = outputs(method, data)
    # Codes that passed before: those of all items by the student; the batch then writes its own.
    codes = pack(state.modules["student"](data.batch(torch.arange(60)).x).detach())
    state.tensors["bank"], state.tensors["bank_seen"] = codes.clone(), torch.ones(60, dtype=torch.bool)
    loss = method.losses(state, batch, epoch=2.0)["graph"]
    codes[batch.index] = pack(v)
    assert torch.equal(state.tensors["bank"], codes)
    terms, hits = [], 0
    distance = hamming_distance(codes, codes)[batch.index]
    for i, place in enumerate(batch.index.tolist()):
        for j in range(20):
            known_by_label = i < 8 and j < 8
            if i != j and (known_by_label or (distance[i, batch.index[j]] >= 6)):
                same = known_by_label and bool(batch.labels[i] == batch.labels[j])
                terms.append((u[i], u[j], same))
        order = [j for j in distance[i].sort(stable=True).indices.tolist() if j != place][:5]
        for j in order:
            known_by_label = i < 8 and j < 15
            if known_by_label or graph == "knn" or distance[i, j] <= 3:
                same = bool(batch.labels[i] == data.labels[j]) if known_by_label else True
                terms.append((u[i], unpack(codes[j][None], 12)[0], same))
                hits += 1
    squared = torch.stack([(a - b).square().sum() / 48 for a, b, _ in terms])
    same = torch.tensor([similar for _, _, similar in terms])
    expected = torch.where(same, squared, (0.75 - squared.sqrt()).clamp(min=0).square()).mean()
    assert hits > 10
    torch.testing.assert_close(loss, expected)


def test_profiles_of_the_bank_are_those_of_its_codes():
    method = pts3h(w_max=1.0, ramp=0.0, g_pair=0.0, g_nb=1.0, graph="knn", graph_scope="bank", k=1)
    state, batch, u, v = outputs(method, items())
    loss = method.losses(state, batch, epoch=2.0)["neighbour"]
    # Nothing but the batch is in the bank yet, in the order of its places.
    by_place = torch.argsort(batch.index)
    ranks = knn_graph(pack(v)[by_place], 1)[:, 0]
    nearest = torch.empty(20, dtype=torch.int64)
    nearest[by_place] = by_place[ranks]
    both = (batch.labels >= 0) & (batch.labels[nearest] >= 0)
    apart = both & (batch.labels != batch.labels[nearest])
    neighbours = torch.where(apart[:, None], v, unpack(pack(v)[nearest], 12))
    torch.testing.assert_close(loss, neighbour_consistency(u, v, neighbours))


def test_quantisation_of_unlabelled_items_too():
    state, batch, u, _ = outputs(pts3h(), items())
    losses = pts3h(q=0.5, q_unlabelled=True).losses(state, batch, epoch=0.0)
    torch.testing.assert_close(losses["quantization"], 0.5 * quantization(u))
    losses = pts3h(q=0.5).losses(state, batch, epoch=0.0)
    torch.testing.assert_close(losses["quantization"], 0.5 * quantization(u[:8]))


def test_balanced_supervision():
    method = methods.create("dpsh", **{**OPTIONS, "sup": "balanced"})
    u, labels = torch.rand(6, 12) * 2 - 1, torch.tensor([0, 0, 1, 2, 2, 2])
    losses = method.supervised(u, labels)
    torch.testing.assert_close(losses["balanced"], balanced_likelihood(u, label_similarity(labels)[0]))
    torch.testing.assert_close(losses["quantization"], 0.1 * quantization(u))


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_identical_items_have_finite_losses_and_gradients(options, value):
    method = pts3h(**{**TERMS, "ramp": 0.0, **options})
    state, batch = first_batch(method, items())
    same = dataclasses.replace(batch, views=(torch.full_like(batch.x, value),))
    losses = method.losses(state, same, epoch=2.0)
    assert all(loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in state.modules["student"].parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"graph": "radius"}, "graph must be one of 'threshold', 'knn', got 'radius'"),
        ({"graph_scope": "all"}, "graph_scope must be one of 'batch', 'bank', got 'all'"),
        ({"w_max": -1.0}, r"w_max must lie in \[0, inf\), got -1\.0"),
        ({"ramp": 2}, r"ramp must lie in \[0, 1\], got 2"),
        ({"ema_max": 1.0}, r"ema_max must lie in \[0, 1\), got 1\.0"),
        ({"k": 0}, "k must be >= 1, got 0"),
        ({"labelled": 30}, "labelled must be <= batch_size 20, got 30"),
        ({"near": 0.5}, r"got near=0\.5, far=0\.4 at bits=12"),
    ],
)
def test_options_are_checked_when_the_method_is_made(options, message):
    with pytest.raises(ValueError, match=message):
        pts3h(**options)


def test_dsh_has_its_own_regulariser():
    method = methods.create("dpsh", **{**OPTIONS, "sup": "dsh"})
    losses = method.supervised(torch.tensor([[0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]]), torch.tensor([0, 0, 1]))
    assert losses["dsh"] == pytest.approx(1.0)
    assert losses["quantization"] == pytest.approx(0.02)
    losses = dataclasses.replace(method, sup="dpsh", q=1.0).supervised(torch.full((2, 2), 0.5), torch.tensor([0, 0]))
    assert losses["quantization"] == pytest.approx(0.25)
