"""SKDCH: the worked examples of its losses, its parts as plain loops, and whole runs on small data."""

import copy
import dataclasses
import math
from collections import Counter

import pytest
import torch
from run_helpers import same_weights

from fasthash import methods
from fasthash.data import Modalities, TrainingSet
from fasthash.losses import draw_by_label, improved_triplet, partner_likelihood, selection_error, triplet_hinge
from fasthash.methods import Cursor, State, walk
from fasthash.methods.across import Side, sides_of
from fasthash.ops import hamming_distance, pack
from fasthash.teachers import modal_vote, selector_reward, vote
from fasthash.training import Config, Silent, Validation, fit, load

SMALL = {
    "bits": 8,
    "network": {"hidden": 16},
    "batch_size": 16,
    "epochs": 2,
    "adversarial_rounds": 2,
    "selector_epochs": 1,
    "selector_queries": 4,
    "selector_share": 0.3,
    "refine_rounds": 2,
}
Q, P, N = torch.tensor([[[0.9, 0.1]], [[0.8, 0.3]], [[0.2, 0.6]]])
YES, NO = torch.tensor([True]), torch.tensor([False])


def skdch(**options):
    return methods.create("skdch", **{**SMALL, **options})


def items(names=("image", "text"), hidden=0, missing=False, multi_hot=False):
    """40 objects of three classes, 15 of them labelled; with `missing`, half of the last modality is not a number."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 3
    centres = torch.randn(3, 5, generator=generator)
    sources = {name: centres[labels] + torch.randn(40, 5, generator=generator) for name in names}
    present = {names[-1]: torch.arange(40) % 4 > 1} if missing else {}
    for name, there in present.items():
        sources[name][~there] = torch.nan
    labels[15:] = hidden
    if multi_hot:
        labels = torch.nn.functional.one_hot(labels, 3) | torch.nn.functional.one_hot((labels + labels // 2) % 3, 3)
    return TrainingSet(Modalities(sources, present), labels, range(15), range(15, 40))


def start(method, data):
    torch.manual_seed(0)
    return State(data, method.modules(method.hash_network(data.spec), data.spec))


def squared(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


# The worked example of the losses.


def test_the_worked_example():
    assert float(triplet_hinge(Q, P, N)) == pytest.approx(4.31)
    terms = float(partner_likelihood(Q, P, YES)), float(partner_likelihood(Q, N, NO))
    assert terms == pytest.approx((0.718460, 0.390090), abs=1e-6)
    assert 4.31 + 0.1 * sum(terms) == pytest.approx(4.420855, abs=1e-6)
    released = 0.1 * float(partner_likelihood(Q, P, NO) + partner_likelihood(Q, N, NO))
    assert released == pytest.approx(0.105855, abs=1e-6)
    intended, as_released = (float(improved_triplet(Q, P, N, pull_form=form)) for form in ("d - mu", "d + mu"))
    assert (intended, as_released) == pytest.approx((4.455, 4.458))
    assert intended + 0.1 * sum(terms) == pytest.approx(4.565855, abs=1e-6)
    assert as_released + 0.1 * sum(terms) == pytest.approx(4.568855, abs=1e-6)
    assert float(selector_reward(torch.tensor(0.05), torch.tensor(0.74), margin=5.0)) == pytest.approx(
        4.898e-5, rel=1e-3
    )
    assert float(selection_error(-torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 0.1]]))) == pytest.approx(0.2)


def test_gradients_of_the_improved_triplet():
    q, p, n = (x.clone().requires_grad_() for x in (Q, P, N))
    improved_triplet(q, p, n).backward()
    for x, expected in ((q, (-0.5, 0.1)), (p, (-0.8, 0.7)), (n, (1.3, -0.8))):
        assert x.grad[0].tolist() == pytest.approx(expected)


def test_distances_of_codes_are_hamming_distances():
    generator = torch.Generator().manual_seed(0)
    a, b, c = (torch.rand(3, 30, 12, generator=generator) < 0.5).float()
    d = hamming_distance(pack(a), pack(b)).diagonal(), hamming_distance(pack(a), pack(c)).diagonal()
    expected = (20 + d[0] - d[1]).float().mean()
    assert float(triplet_hinge(a, b, c, margin=20.0)) == pytest.approx(float(expected))


def test_the_improved_triplet_is_the_plain_one_where_the_negative_is_as_far_from_both():
    q, p, n = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[0.3, 0.3]]])
    assert float(improved_triplet(q, p, n, pull=0.0)) == pytest.approx(float(triplet_hinge(q, p, n)))


def test_the_reward_is_1_one_margin_beyond_the_positive():
    reward = selector_reward(torch.tensor([0.5, 0.5, 3.0]), torch.tensor([5.5, 90.0, 0.0]), margin=5.0)
    assert reward[0] == 1
    assert ((reward >= 0) & (reward <= 1)).all()


# The losses of a batch, of networks and places.


@pytest.mark.parametrize("improved", [False, True])
@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("missing", [False, True])
def test_losses_are_a_plain_loop(improved, joint, missing):
    data = items(("image", "text", "sound"), missing=missing)
    method = skdch(joint=joint, beta=3.0, lam=0.5)
    state = start(method, data)
    side = sides_of(data, joint=joint, among=data.is_labelled)[0]
    among, generator = data.is_labelled, torch.Generator().manual_seed(1)
    table = method._triplets(state, side, data.labels, among, 3, generator)
    found = method.losses(state, "teacher", side, table, improved=improved)
    triplets, likely = [], ([], [])
    h = state.modules["teacher"]
    for row in table.tolist():
        query, others = row[0], [(name, *row[1 + m :: len(side.others)]) for m, name in enumerate(side.others)]
        others = [(name, p, n) for name, p, n in others if p >= 0]
        q = h(data.take(torch.tensor([query]), side.query), side.query)[0]
        near = far = across = 0
        for name, p, n in others:
            hp, hn = (h(data.take(torch.tensor([i]), name), name)[0] for i in (p, n))
            near, far, across = near + squared(q, hp), far + squared(q, hn), across + squared(hp, hn)
            for terms, d, partner in ((likely[0], squared(q, hp), p == query), (likely[1], squared(q, hn), False)):
                terms.append(torch.log(1 + torch.exp(d if partner else -d)))
        if not others:
            continue
        parts = len(others) if missing else 1
        near, far, across = near / parts, far / parts, across / parts
        if improved:
            triplets.append((3 + near - (far + across) / 2).clamp(min=0) + 0.5 * (near - 0.1).clamp(min=0))
        else:
            triplets.append((3 + near - far).clamp(min=0))
    assert len(triplets) > 10
    torch.testing.assert_close(found["triplet"], torch.stack(triplets).mean())
    expected = 0.1 * sum(torch.stack(terms).mean() for terms in likely)
    torch.testing.assert_close(found["partner"], expected)


def test_partners_are_items_met_in_another_modality_unless_released():
    data = items()
    method, side = skdch(), Side("image", ("text",))
    state = start(method, data)
    own, other = torch.tensor([[0, 0, 1]]), torch.tensor([[0, 3, 1]])
    for places, options, differs in ((own, {}, True), (other, {}, False), (own, {"partner_label": False}, False)):
        one, two = (m.losses(state, "teacher", side, places) for m in (skdch(**options), skdch(partner_label=False)))
        assert (float(one["partner"].detach()) != float(two["partner"].detach())) == differs


def test_pairs_of_two_modalities_are_the_two_directions():
    data = items()
    sides = sides_of(data, joint=False, among=data.is_labelled)
    assert sides == [Side("image", ("text",)), Side("text", ("image",))]
    assert sides == sides_of(data, joint=True, among=data.is_labelled)
    turns, mean = (skdch(pairs=pairs) for pairs in ("turns", "mean"))
    state = start(mean, data)
    stage, one_by_one = mean.plan(data, 0)[0], turns.plan(data, 0)[0]
    assert one_by_one.length == 2 * stage.length
    batch = next(stage.reads(state, Cursor((0,))))
    both = stage.step(state, batch, Cursor((0,)))
    parts = [
        mean.losses(state, "teacher", side, places) for side, places in zip(sides, batch.index.split(16), strict=True)
    ]
    for key, value in both.items():
        torch.testing.assert_close(value, (parts[0][key] + parts[1][key]) / 2)


def test_weight_decay_is_the_penalty_on_weights_and_biases():
    data = items()
    method = skdch()
    stage = method.plan(data, 0)[0]
    state = start(method, data)
    plain, decayed = state.modules["teacher"], copy.deepcopy(state.modules["teacher"])
    optimiser = stage.optimisers["teacher"](state)
    explicit = torch.optim.SGD(decayed.parameters(), lr=method.lr)
    for step, batch in zip(range(3), stage.reads(state, Cursor((0,))), strict=False):
        optimiser.zero_grad()
        sum(stage.step(state, batch, Cursor((0,), step)).values()).backward()
        optimiser.step()
        other = dataclasses.replace(state, modules={**state.modules, "teacher": decayed})
        penalty = 0.5 * method.omega * sum(p.square().sum() for p in decayed.parameters())
        explicit.zero_grad()
        (sum(stage.step(other, batch, Cursor((0,), step)).values()) + penalty).backward()
        explicit.step()
    for one, two in zip(plain.parameters(), decayed.parameters(), strict=True):
        torch.testing.assert_close(one, two)


# The selector.


@pytest.mark.parametrize("prob", ["pair", "candidates"])
def test_selector_and_teacher_do_not_move_each_other(prob):
    data = items()
    method = skdch(selector_prob=prob)
    state = start(method, data)
    side = Side("image", ("text",))
    terms = method.selector.losses(state, side, torch.arange(6))
    assert terms.keys() == {"selection", "classes"}
    sum(terms.values()).backward()
    assert all(p.grad is None for p in state.modules["teacher"].parameters())
    assert all(p.grad is not None for p in state.modules["selector"].branch("text").parameters())
    for p in state.modules["selector"].parameters():
        p.grad = None
    table = method._triplets(state, side, data.labels, data.is_labelled, 4, torch.Generator())
    method.selector.put_negatives(state, side, table, 4, torch.Generator())
    sum(method.losses(state, "teacher", side, table).values()).backward()
    assert all(p.grad is None for p in state.modules["selector"].parameters())
    assert all(p.grad is not None for p in state.modules["teacher"].parameters())


@pytest.mark.parametrize("prob", ["pair", "candidates"])
def test_the_loss_of_the_selector_is_a_plain_loop(prob):
    data = items(missing=True)
    method, side, queries = skdch(selector_prob=prob), Side("image", ("text",)), torch.arange(6)
    found = method.selector.losses(start(method, data), side, queries)
    state = start(method, data)
    generator = state.generator("selector")
    pool = data.present[:, 1].nonzero()[:, 0]
    known = pool[pool < 15]
    positives = known[
        draw_by_label(data.labels[queries], data.labels[known], similar=True, draws=2, generator=generator)
    ]
    kept = pool[torch.randint(len(pool), (6, round(0.3 * len(pool))), generator=generator)]

    def h(module, name, place):
        return state.modules[module](data.take(torch.tensor([place]), name), name)[0]

    def classes(name, place):
        branch = state.modules["selector"].branch(name)
        head = state.modules["classes"][["image", "text"].index(name)]
        p = torch.sigmoid(head(torch.tanh(branch.head[0](data.take(torch.tensor([place]), name)))))[0]
        y = torch.nn.functional.one_hot(data.labels[place], 3)
        return -(y * p.log() + (1 - y) * (1 - p).log()).mean()

    apart = [
        torch.stack([squared(h("selector", "image", q), h("selector", "text", u)) for u in row.tolist()])
        for q, row in zip(range(6), kept, strict=True)
    ]
    shares = torch.stack([(-d).softmax(0) for d in apart])
    drawn = torch.multinomial(shares.detach(), 2, replacement=True, generator=generator)
    errors, of_queries, of_picked = [], [], []
    for q in range(6):
        picked = kept[q, drawn[q]].tolist()
        chosen = shares[q, drawn[q]] if prob == "candidates" else (-apart[q][drawn[q]]).softmax(0)
        for j, u in enumerate(picked):
            near = squared(h("teacher", "image", q), h("teacher", "text", int(positives[q, j])))
            far = squared(h("teacher", "image", q), h("teacher", "text", u))
            errors.append((chosen[j] - 10 ** -(5 + near - far).abs().detach()).abs())
            of_picked += [classes("text", u)] if u < 15 else []
        of_queries.append(classes("image", q))
    assert 0 < len(of_picked) < 12
    torch.testing.assert_close(found["selection"], torch.stack(errors).mean())
    torch.testing.assert_close(found["classes"], torch.stack(of_queries).mean() + torch.stack(of_picked).mean())


def test_selected_negatives_are_near_and_never_known_positives():
    data = items()
    method, side = skdch(selector_share=1.0), Side("image", ("text",))
    state = start(method, data)
    table = method._triplets(state, side, data.labels, data.is_labelled, 4, torch.Generator().manual_seed(0))
    before = table.clone()
    method.selector.put_negatives(state, side, table, 4, torch.Generator().manual_seed(1))
    changed = table.view(15, 4, 3)
    assert torch.equal(changed[:, 2:], before.view(15, 4, 3)[:, 2:])
    assert torch.equal(table[:, :2], before[:, :2])
    negatives = changed[:, :2, 2]
    assert (negatives >= 15).any()
    assert (data.labels[negatives] != data.labels[changed[:, :1, 0]]).all()


# The vote.


@pytest.mark.parametrize("space", ["relaxed", "binary"])
@pytest.mark.parametrize("pool", ["all", "labelled"])
@pytest.mark.parametrize("rows", [1, 7, 30])
def test_pseudo_labels_are_a_plain_loop_over_lists(space, pool, rows):
    generator = torch.Generator().manual_seed(0)
    h = torch.rand(2, 30, 6, generator=generator)
    present = torch.rand(30, 2, generator=generator) < 0.8
    present[:, 0] |= ~present[:, 1]
    labels = torch.randint(0, 3, (30,), generator=generator)
    labels[12:] = -1
    pseudo, share = modal_vote(list(h), present, labels, 5, pool=pool, space=space, rows=rows)
    points = (h > 0.5).double() if space == "binary" else h.double()
    for place, (label, part) in enumerate(zip(pseudo.tolist(), share.tolist(), strict=True), start=12):
        rank, nearest = {}, (math.inf, -1)
        for m in range(2):
            if present[place, m]:
                d = {j: float((points[m, place] - points[m, j]).square().sum()) for j in range(30) if present[j, m]}
                order = sorted((j for j in d if pool == "all" or labels[j] >= 0), key=lambda j: (d[j], j))
                last = d[order[min(5, len(order)) - 1]]
                near = [j for j in order if d[j] <= last] if space == "binary" else order[:5]
                for r, j in enumerate(near):
                    if labels[j] >= 0:
                        rank[j] = min(r, rank.get(j, 99))
                nearest = min(nearest, *((d[j], j) for j in d if labels[j] >= 0), key=lambda one: one[0])
        assert len(rank) <= 2 * 5 or space == "binary"
        if not rank:
            assert (label, part) == (int(labels[nearest[1]]), 0)
            continue
        votes = Counter(int(labels[j]) for j in rank)
        first = {c: min(r for j, r in rank.items() if labels[j] == c) for c in votes}
        best = min(votes, key=lambda c: (-votes[c], first[c], c))
        assert label == best
        assert part == pytest.approx(votes[best] / len(rank))


def test_with_lists_of_all_items_the_most_frequent_label_wins():
    h = torch.rand(20, 4)
    labels = torch.tensor([2, 2, 2, 0, 0, 1] + [-1] * 14)
    pseudo, share = modal_vote([h], torch.ones(20, 1, dtype=torch.bool), labels, 20)
    assert pseudo.tolist() == [2] * 14
    assert share.tolist() == [0.5] * 14


def test_the_released_vote_is_the_last_label_and_depends_on_the_order():
    labels = torch.tensor([7, 7, 3, 7, 9])
    lists = torch.tensor([[0, 1, 2, 3, 4], [2, 1, 0, -1, -1]])
    assert vote(lists, labels)[0].tolist() == [7, 7]
    pseudo, share = vote(lists, labels, mode="last")
    assert pseudo.tolist() == [9, 3]
    assert share.tolist() == pytest.approx([0.2, 1 / 3])
    turned = vote(4 - lists[:1], labels.flip(0), mode="last")[0]
    assert turned.tolist() == [7]


def test_an_item_without_any_labelled_one_in_its_modality_stays_unlabelled():
    h = torch.rand(2, 4, 3)
    present = torch.tensor([[True, False], [True, False], [False, True], [True, True]])
    pseudo, share = modal_vote(list(h), present, torch.tensor([0, 0, -1, -1]), 2)
    assert pseudo.tolist() == [-1, 0]
    assert share[0] == 0


# Whole runs.


def trained(tmp_path, folder, method, data, **more):
    return fit(method, data, Config(str(tmp_path / folder), accelerator="cpu"), progress=Silent(), **more)


@pytest.mark.parametrize("multi_hot", [False, True])
def test_hidden_labels_change_nothing(multi_hot, tmp_path):
    method = skdch()
    runs = [trained(tmp_path, str(hidden), method, items(hidden=hidden, multi_hot=multi_hot)) for hidden in (0, 2)]
    assert same_weights(*runs)


@pytest.mark.parametrize("options", [{"joint": True}, {"pairs": "mean", "knn_space": "binary", "vote": "last"}])
def test_three_modalities_one_of_which_is_often_missing(options, tmp_path):
    names = ("image", "text", "sound")
    data = items(names, missing=True)
    queries = items(names).source.select(range(10))
    validation = Validation(queries, torch.arange(10) % 3, data.source.select(range(15)), torch.arange(15) % 3)
    run = trained(tmp_path, "run", skdch(**options), data, validation=validation)
    stages = {line["stage"] for line in run.metrics()}
    assert stages == {"teacher", "selector", "adversarial", "student", "refine"}
    assert run.best["score"] > 0
    hasher = load(run)
    for name in names:
        codes = hasher.encode(queries, modality=name)
        assert torch.equal(codes, hasher.encode(queries.modality(name).take(torch.arange(10)), modality=name))
        assert codes.shape == (10, 1)
    with pytest.raises(ValueError, match="modality must be one of 'image', 'text', 'sound', got None"):
        hasher.encode(torch.zeros(2, 5))


def test_stages_and_what_makes_the_codes(tmp_path):
    data = items()
    names = [stage.name for _, stage in walk(skdch().plan(data, 0))]
    assert names == ["teacher", *["selector", "adversarial"] * 2, "vote", "student", "refine", "refine"]
    alone = skdch(distil=False, adversarial=False)
    assert [stage.name for _, stage in walk(alone.plan(data, 0))] == ["teacher"]
    assert start(alone, data).modules.keys() == {"teacher"}
    run = trained(tmp_path, "run", skdch(), data)
    x = data.take(torch.arange(40), "text")
    teacher = dataclasses.replace(run.method(), encode_with="teacher")
    assert not torch.equal(load(run).encode(x, modality="text"), load(run, method=teacher).encode(x, modality="text"))


def test_the_mean_class_size_is_the_length_of_a_list():
    assert skdch().neighbours(items()) == round(40 / 3)
    assert skdch().neighbours(items(multi_hot=True)) > round(40 / 3)
    assert skdch(knn_k=9).neighbours(items()) == 9
    assert methods.create("skdch", preset="released_code").vote == "last"


def test_weights_are_drawn_as_released_or_by_fan_in():
    wide = start(skdch(network={"hidden": 200}), items()).modules
    weights = [layer.head[0].weight for layer in wide["student"].branches]
    assert all(w.abs().max() <= 0.2 and 0.08 < w.std() < 0.1 for w in weights)
    assert not torch.equal(wide["student"].branch("text").head[0].weight, wide["teacher"].branch("text").head[0].weight)
    assert (wide["student"].branch("text").head[0].bias == 0).all()
    narrow = start(skdch(init="fan_in", network={"hidden": 200}), items()).modules["student"]
    assert narrow.branch("text").head[2].weight.abs().max() <= 1 / math.sqrt(200)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vote": "first"}, "vote must be one of 'majority', 'per_class', 'last', got 'first'"),
        ({"distil": False, "encode_with": "student"}, "encode_with must be one of 'teacher', None, got 'student'"),
        ({"network": {"relaxation": "tanh"}}, "network.relaxation must be \"sigmoid\", got 'tanh'"),
        ({"selector_share": 0.0}, r"selector_share must lie in \(0, 1\], got 0"),
        ({"epochs": 0}, "epochs must be >= 1, got 0"),
    ],
)
def test_options_are_checked_when_the_method_is_made(options, message):
    with pytest.raises(ValueError, match=message):
        skdch(**options)


def test_data_that_do_not_fit_are_refused(tmp_path):
    one = TrainingSet(torch.randn(20, 5), torch.arange(20) % 2, range(5), range(5, 20))
    with pytest.raises(ValueError, match=r"SKDCH: data must be data\.Modalities of two or more, got 0"):
        trained(tmp_path, "run", skdch(), one)
    with pytest.raises(ValueError, match='vote must be "majority" or "last" with class ids, got "per_class"'):
        trained(tmp_path, "run", skdch(vote="per_class"), items())
    assert not (tmp_path / "run").exists()


def test_a_student_finds_more_than_a_teacher_of_a_tenth_of_the_labels(tmp_path):
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(500) % 5
    source = Modalities(
        {
            name: torch.randn(5, size, generator=generator)[labels] + 2.2 * torch.randn(500, size, generator=generator)
            for name, size in (("image", 30), ("text", 20))
        }
    )
    data = TrainingSet(source, labels, range(40), range(40, 400), standardise=True)
    sides = (source.select(range(400, 500)), labels[400:], source.select(range(400)), labels[:400])
    options = {"bits": 16, "network": {"hidden": 64}, "epochs": 20, "lr": 0.1, "refine_rounds": 5, "refine_lr": 1e-2}
    method = methods.create("skdch", **options, adversarial=False)
    run = trained(tmp_path, "run", method, data)
    score = {}
    for name in ("teacher", "student"):
        hasher = load(run, method=dataclasses.replace(method, encode_with=name))
        score[name] = Validation(*sides).score(hasher.network, 16, hasher.standardisation)
    assert 0.2 < score["teacher"] < score["student"] - 0.03
