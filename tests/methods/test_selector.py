"""The selector of hard items: its loss as a plain loop, and what it may choose."""

import pytest
import torch
from skdch_helpers import items, skdch, squared, start

from fasthash.losses import draw_by_label
from fasthash.methods.across import Side


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
    table = method.cross_triplets.draw(data, side, data.labels, data.is_labelled, 4, torch.Generator())
    method.selector.put_negatives(state, side, table, 4, torch.Generator())
    sum(method.cross_triplets.losses(state, "teacher", side, table).values()).backward()
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


def test_candidates_that_queries_share_are_encoded_once():
    data = items()
    method, rows = skdch(selector_share=1.0), []
    state = start(method, data)
    branch = state.modules["selector"].branch("text")
    branch.register_forward_hook(lambda module, inputs, output: rows.append(len(inputs[0])))
    method.selector.losses(state, Side("image", ("text",)), torch.arange(15))
    assert 30 < sum(rows) <= 40


def test_selected_negatives_are_near_and_never_known_positives():
    data = items()
    method, side = skdch(selector_share=1.0), Side("image", ("text",))
    state = start(method, data)
    table = method.cross_triplets.draw(data, side, data.labels, data.is_labelled, 4, torch.Generator().manual_seed(0))
    before = table.clone()
    method.selector.put_negatives(state, side, table, 4, torch.Generator().manual_seed(1))
    changed = table.view(15, 4, 3)
    assert torch.equal(changed[:, 2:], before.view(15, 4, 3)[:, 2:])
    assert torch.equal(table[:, :2], before[:, :2])
    negatives = changed[:, :2, 2]
    assert (negatives >= 15).any()
    assert (data.labels[negatives] != data.labels[changed[:, :1, 0]]).all()
