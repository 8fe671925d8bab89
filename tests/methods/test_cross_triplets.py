"""Losses of triplets across modalities, of networks and places, as plain loops."""

import copy
import dataclasses

import pytest
import torch
from skdch_helpers import items, skdch, squared, start

from fasthash.data import Modalities, TrainingSet
from fasthash.methods import Cursor
from fasthash.methods.across import Side, sides_of


@pytest.mark.parametrize("improved", [False, True])
@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("missing", [False, True])
def test_losses_are_a_plain_loop(improved, joint, missing):
    data = items(("image", "text", "sound"), missing=missing)
    method = skdch(joint=joint, beta=3.0, lam=0.5)
    state = start(method, data)
    side = sides_of(data, joint=joint, among=data.is_labelled)[0]
    among, generator = data.is_labelled, torch.Generator().manual_seed(1)
    table = method.cross_triplets.draw(data, side, data.labels, among, 3, generator)
    found = method.cross_triplets.losses(state, "teacher", side, table, improved=improved)
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
        near, far, across = (d * len(side.others) / len(others) for d in (near, far, across))
        if improved:
            triplets.append((3 + near - (far + across) / 2).clamp(min=0) + 0.5 * (near - 0.1).clamp(min=0))
        else:
            triplets.append((3 + near - far).clamp(min=0))
    assert len(triplets) > 10
    torch.testing.assert_close(found["triplet"], torch.stack(triplets).mean())
    expected = 0.1 * sum(torch.stack(terms).mean() for terms in likely)
    torch.testing.assert_close(found["partner"], expected)


def test_an_unlabelled_item_that_lacks_a_modality_leaves_the_margin_as_it_is():
    whole = items(("image", "text", "sound"))
    present = torch.arange(40) != 39
    one_lacks = Modalities({name: whole.source.modality(name) for name in whole.source.names}, {"sound": present})
    found = []
    for source in (whole.source, one_lacks):
        data = TrainingSet(source, torch.arange(40) % 3, range(15), range(15, 40))
        method = skdch(joint=True)
        state, side = start(method, data), sides_of(data, joint=True, among=data.is_labelled)[0]
        table = method.cross_triplets.draw(data, side, data.labels, data.is_labelled, 3, torch.Generator())
        found.append(method.cross_triplets.losses(state, "teacher", side, table)["triplet"])
    assert found[0] > 0
    assert torch.equal(*found)


def test_partners_are_items_met_in_another_modality_unless_released():
    data = items()
    method, side = skdch(), Side("image", ("text",))
    state = start(method, data)
    own, other = torch.tensor([[0, 0, 1]]), torch.tensor([[0, 3, 1]])
    for places, options, differs in ((own, {}, True), (other, {}, False), (own, {"partner_label": False}, False)):
        one, two = (
            m.cross_triplets.losses(state, "teacher", side, places)
            for m in (skdch(**options), skdch(partner_label=False))
        )
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
        mean.cross_triplets.losses(state, "teacher", side, places)
        for side, places in zip(sides, batch.index.split(16), strict=True)
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
