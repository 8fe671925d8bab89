import dataclasses

import pytest
import torch
from by_hand import first_batch, items, parameters, run

from fasthash import methods
from fasthash.data import Batch, ItemSpec, Perturbation, TrainingSet
from fasthash.losses import classification, graph_embedding, pairwise_likelihood, triplet_ranking
from fasthash.networks import NetworkConfig
from fasthash.ops import pack, unpack

OPTIONS = {
    "bits": 12,
    "network": NetworkConfig("mlp", (16,), dropout=0.3),
    "perturbation": Perturbation(dropout=0.2, noise=0.1),
    "epochs": 3,
    "batch_size": 20,
    "labelled_fraction": 0.4,
}
STILL = {**OPTIONS, "network": NetworkConfig("mlp", (16,)), "perturbation": Perturbation()}
VARIANTS = [
    {},
    {"graph": "codes", "exclude_self": True},
    {"graph": "backbone", "far_window": (15, 3)},
    {"graph_scope": "bank"},
    {"cls": "none", "pseudo": False},
    {"teacher": True, "encode_with": "teacher", "ramp": 0.5},
    {"teacher": True, "pseudo_loss": "likelihood", "q": 0.1, "w_likelihood": 1.0},
]


def ssdh(options=OPTIONS, **more):
    return methods.create("ssdh", **{**options, **more})


def gradients(method, data, names):
    """Gradient of the sum of these terms in student and class head, None where there is none."""
    state, batch = first_batch(method, data)
    losses = method.losses(state, batch, epoch=0.0)
    sum(losses[name] for name in names).backward()
    return {name: [p.grad for p in module.parameters()] for name, module in state.modules.items()}


@pytest.mark.parametrize("multi_hot", [False, True])
@pytest.mark.parametrize("options", VARIANTS)
def test_hidden_labels_never_reach_a_loss(options, multi_hot):
    method = ssdh(**options)
    (one, batches, losses), (other, _, changed) = (run(method, items(hidden, multi_hot=multi_hot)) for hidden in (0, 2))
    assert losses == changed
    assert torch.equal(parameters(one.modules["student"]), parameters(other.modules["student"]))
    for batch in batches:
        assert batch.labelled == 8
        assert (batch.labels[8:] == (0 if multi_hot else -1)).all()


def test_terms_are_those_of_the_release_with_their_weights():
    method = ssdh(STILL, lam=0.3, w_rank=2.0, w_pair=0.5, cls="squared")
    state, batch = first_batch(method, items())
    losses = method.losses(state, batch, epoch=0.0)
    assert list(losses) == ["class", "rank", "embedding", "pseudo"]
    # The draws once more, from streams of the same names.
    again, _ = first_batch(method, items())
    network, head = again.modules["student"], again.modules["classifier"]
    features = network.features(batch.x)
    h, g = torch.sigmoid(network.logits(batch.x)), head(features)
    labels = batch.labels[:8]
    torch.testing.assert_close(losses["class"], classification(g[:8], labels, kind="squared"))
    drawn = methods.ssdh.draw_triplets(
        labels[:, None] == labels[None, :], torch.ones(8, 8).bool(), draws=1, generator=again.generator("triplets")
    )
    torch.testing.assert_close(losses["rank"], 2 * triplet_ranking(h, drawn))
    order = torch.cdist(h, h).sort(1).indices
    near, far = order[:, :6], order[:, 18:20]  # 20 items: k = 20 // 3, window from round(17.8), 2 long
    pairs = methods.ssdh.draw_pairs(near, far, generator=again.generator("graph"))
    torch.testing.assert_close(losses["embedding"], 0.15 * graph_embedding(h, pairs, margin=2.5))
    likeliest, unlikeliest = g.argmax(1), g.argmin(1)
    classes = torch.where(batch.labels < 0, likeliest, batch.labels)
    sides = [classes[None, :] == wanted[8:, None] for wanted in (likeliest, unlikeliest)]
    columns = methods.ssdh.draw_columns(torch.cat(sides), generator=again.generator("pseudo"))
    pairs = torch.stack([torch.arange(8, 20), *columns.view(2, 12)], 1)
    torch.testing.assert_close(losses["pseudo"], 0.3 * graph_embedding(h, pairs, margin=2.5))


def test_likelihood_of_pseudo_labels_asks_the_means_and_keeps_their_doubt():
    method = ssdh(STILL, teacher=True, pseudo_loss="likelihood", lam=0.3, w_pseudo=2.0)
    state, batch = first_batch(method, items())
    with torch.no_grad():
        state.modules["mean_student"].model.backbone[1].weight.mul_(2)  # else it would be the student
    loss = method.losses(state, batch, epoch=0.0)["pseudo"]
    posterior = state.modules["mean_classifier"](state.modules["mean_student"].model.features(batch.x)).softmax(1)
    posterior[:8] = torch.eye(posterior.shape[1])[batch.labels[:8]]
    u = torch.tanh(state.modules["student"].logits(batch.x) / 2)
    terms = []
    for i in range(8, 20):
        for j in range(20):
            if i != j:
                theta = u[i] @ u[j] / 2
                terms.append(torch.log1p(theta.exp()) - (posterior[i] @ posterior[j]) * theta)
    torch.testing.assert_close(loss, 0.6 * torch.stack(terms).mean())


def test_likelihood_of_labelled_pairs():
    state, batch = first_batch(method := ssdh(STILL, bits=24, w_likelihood=2.0), items())
    loss = method.losses(state, batch, epoch=0.0)["likelihood"]
    u = torch.tanh(state.modules["student"].logits(batch.x[:8]) / 2)
    similar = batch.labels[:8, None] == batch.labels[None, :8]
    torch.testing.assert_close(loss, 2 * pairwise_likelihood(u, similar, scale=1 / 3))


def test_means_follow_their_networks_and_encode_if_asked():
    method = ssdh(teacher=True, ema_ramp=0.5, ema_max=0.9, ramp=0.5, encode_with="teacher")
    state, _, _ = run(method, items())
    for name in ("student", "classifier"):
        mean, module = state.modules[f"mean_{name}"], state.modules[name]
        assert not torch.equal(parameters(mean), parameters(module))
        assert not any(p.requires_grad for p in mean.parameters())
    assert method.encoder(state.modules) is state.modules["mean_student"]


def test_lam_rises_from_nothing_over_the_ramp():
    method = ssdh(ramp=0.5)
    state, batch = first_batch(method, items())
    seen = [method.losses(state, batch, epoch=epoch) for epoch in (0.5, 1.01, 1.5, 3.0)]
    assert [bool(losses["pseudo"]) for losses in seen] == [False, True, True, True]
    assert seen[1]["embedding"] < seen[3]["embedding"]


def test_without_lam_unlabelled_items_get_no_gradient_and_change_nothing():
    data = items()
    method = ssdh(STILL, lam=0.0)
    state, batch = first_batch(method, data)
    x = batch.x.clone().requires_grad_()
    seen = dataclasses.replace(batch, views=(x,))
    sum(method.losses(state, seen, epoch=0.0).values()).backward()
    assert x.grad is not None
    assert x.grad[:8].abs().sum(1).min() > 0
    assert not x.grad[8:].any()
    with_all = dataclasses.replace(method, lam=0.1)
    state, _ = first_batch(with_all, data)
    x.grad = None
    sum(with_all.losses(state, seen, epoch=0.0).values()).backward()
    assert x.grad[8:].any()


def test_the_class_head_learns_from_the_class_loss_only():
    head = gradients(ssdh(), items(), ["class"])["classifier"]
    assert all(gradient is not None and gradient.any() for gradient in head)
    others = gradients(ssdh(), items(), ["rank", "embedding", "pseudo"])
    assert others["classifier"] == [None, None]
    assert all(gradient is not None and gradient.any() for gradient in others["student"])
    of_class = gradients(ssdh(), items(), ["class"])["student"]
    assert [gradient is None for gradient in of_class] == [False, False, True, True]  # the trunk, not the hash head


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize(
    ("labels", "labelled"),
    [([0, 1, 1], 3), ([0, 0, 0], 3), ([2, -1, -1], 1), ([-1, -1, -1], 0), ([0], 1), ([-1], 0)],
    ids=["no unlabelled", "one class", "one labelled", "no labelled", "one item", "one unlabelled item"],
)
@pytest.mark.parametrize("value", [0.0, 1.0, None], ids=["zeros", "duplicates", "different"])
def test_degenerate_batches_have_finite_losses_and_gradients(options, labels, labelled, value):
    method, count = ssdh(STILL, **options), len(labels)
    x = torch.randn(count, 6) if value is None else torch.full((count, 6), value)
    state, _ = first_batch(method, items())
    batch = Batch((x,), torch.tensor(labels), torch.arange(count), labelled, labelled)
    losses = method.losses(state, batch, epoch=0.0)
    assert all(loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    for module in state.modules.values():
        assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize("kind", ["labelled", "unlabelled"])
def test_data_of_one_kind_only_trains(kind):
    rows = [range(60), []]
    data = TrainingSet(torch.randn(60, 6), torch.arange(60) % 3, *(rows if kind == "labelled" else rows[::-1]))
    _, batches, history = run(ssdh(cls="squared"), data)
    assert batches[0].labelled == (20 if kind == "labelled" else 0)
    assert set(history[0]) == (
        {"class", "rank", "embedding", "pseudo"} if kind == "labelled" else {"rank", "embedding"}
    )
    assert (kind == "labelled") == (history[0]["rank"] > 0)


def test_class_loss_follows_the_kind_of_labels():
    def class_loss(data, **options):
        method = ssdh(STILL, **options)
        state, batch = first_batch(method, data)
        loss = method.losses(state, batch, epoch=0.0)["class"]
        g = state.modules["classifier"](state.modules["student"].features(batch.x))[:8]
        return loss, g, batch.labels[:8]

    loss, g, labels = class_loss(items())
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(g, labels))
    loss, g, labels = class_loss(items(multi_hot=True))
    torch.testing.assert_close(loss, (torch.sigmoid(g) - labels).square().sum() / 16)
    loss, g, labels = class_loss(items(multi_hot=True), cls="bce")
    expected = torch.nn.functional.binary_cross_entropy_with_logits(g, labels.float(), reduction="sum") / 8
    torch.testing.assert_close(loss, expected)
    with pytest.raises(ValueError, match='SSDH: cls must be "squared" or "bce" with multi-hot labels, got "softmax"'):
        ssdh(cls="softmax").plan(items(multi_hot=True), seed=0)


def test_the_bank_holds_the_codes_of_the_items_that_passed():
    method = ssdh(STILL, graph_scope="bank", w_rank=0.0, pseudo=False)
    state, batch = first_batch(method, items())
    losses = method.losses(state, batch, epoch=0.0)
    z = state.modules["student"].logits(batch.x)
    assert torch.equal(state.tensors["bank"][batch.index], pack(z.detach()))
    assert state.tensors["bank_seen"].nonzero()[:, 0].tolist() == sorted(batch.index.tolist())
    # Every pull is towards a code: with one near item a pair is the item and its own code, of which no gradient comes.
    alone = dataclasses.replace(method, k=1, w_pair=1.0, lam=1.0, margin_pair=0.0)
    loss = alone.losses(state, batch, epoch=0.0)["embedding"]
    codes = (unpack(pack(z.detach()), 12) + 1) / 2
    torch.testing.assert_close(loss, (torch.sigmoid(z) - codes).square().sum(1).mean() / 2)
    assert losses["embedding"].isfinite()
    state, _, _ = run(method, items())
    assert state.tensors["bank_seen"].all()


def test_codes_are_the_signs_of_the_logits_and_of_h():
    state, batch = first_batch(ssdh(STILL), items())
    network = state.modules["student"]
    z = network.logits(batch.x).detach()
    assert torch.equal(pack(z), pack(torch.sigmoid(z) - 0.5))
    assert torch.equal(pack(z), pack(network(batch.x).detach()))
    assert methods.create("ssdh").encoder(state.modules) is network


def test_margin_follows_the_bits():
    margins = {bits: ssdh(bits=bits).margin for bits in (12, 8, 16, 24, 48)}
    assert margins == pytest.approx({12: 2.5, 8: 0.72 * 8**0.5, 16: 2.88, 24: 3.0, 48: 3.0})
    assert ssdh(margin_pair=1.5).margin == 1.5


def test_both_heads_move_at_the_rate_of_the_heads():
    method = ssdh(optimiser=methods.OptimiserConfig(lr=1e-2, backbone_lr=1e-4))
    state, _ = first_batch(method, items())
    optimiser = method.student_optimiser(state)
    rates = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    assert {rates[id(p)] for p in state.modules["classifier"].parameters()} == {1e-2}
    assert {rates[id(p)] for p in state.modules["student"].head.parameters()} == {1e-2}
    assert {rates[id(p)] for p in state.modules["student"].backbone.parameters()} == {1e-4}


def test_the_class_head_is_decayed_as_the_hash_head():
    settings = {"kind": "sgd", "lr": 0.1, "weight_decay": 5e-4, "bias_factor": 2.0}
    method = ssdh(optimiser=methods.OptimiserConfig(**settings))
    state, _ = first_batch(method, items())
    groups = {id(p): group for group in method.student_optimiser(state).param_groups for p in group["params"]}
    for head in (state.modules["classifier"], state.modules["student"].head[-1]):
        assert (groups[id(head.weight)]["lr"], groups[id(head.weight)]["weight_decay"]) == (0.1, 5e-4)
        assert (groups[id(head.bias)]["lr"], groups[id(head.bias)]["weight_decay"]) == (0.2, 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"graph": "knn"}, "graph must be one of 'hash', 'backbone', 'codes', got 'knn'"),
        ({"labelled_fraction": 1.5}, r"labelled_fraction must lie in \[0, 1\], got 1\.5"),
        ({"lam": -1}, r"lam must lie in \[0, inf\), got -1"),
        ({"k": 0}, "k must be >= 1, got 0"),
        ({"far_window": (3, 0)}, r"far_window must be \(start >= 0, length >= 1\), got \(3, 0\)"),
        ({"cls": "none"}, 'pseudo must be False without a class head, got True and cls="none"'),
        ({"cls": "none", "pseudo": False, "w_rank": 0, "lam": 0}, "w_rank, lam and w_pair must leave a term, got none"),
        ({"epochs": 0}, r"epochs must lie in \(0, inf\), got 0"),
    ],
)
def test_options_are_checked_when_the_method_is_made(options, message):
    with pytest.raises(ValueError, match=f"SSDH: {message}"):
        ssdh(**options)


def test_networks_without_feature_vectors_are_refused():
    with pytest.raises(TypeError, match="SSDH: network must be a HashNetwork, got Linear"):
        ssdh().modules(torch.nn.Linear(6, 12), ItemSpec((6,), 3))
