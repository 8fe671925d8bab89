"""What every loss promises: gradients, the empty case, identical codes, autocast, compilation."""

import pytest
import torch

from fasthash import losses


def constants(n, bits):
    """A teacher, and (n, n) matrices with both kinds of pairs, for n items."""
    generator = torch.Generator().manual_seed(n)
    teacher = torch.rand(n, bits, generator=generator, dtype=torch.float64) * 2 - 1
    first, second = torch.rand(2, n, n, generator=generator) < 0.6
    return teacher, first, second


def first(similarity):
    """(n,) int64: the first True of each row, -1 for an empty row."""
    return torch.nn.functional.pad(similarity.int() * 2, (1, 0), value=1).argmax(1) - 1


def ids(u):
    """(n,) int64: a class for each item."""
    return torch.arange(len(u)) % u.shape[1]


def tuples(*masks):
    """(n, 3) int64: each item with the first True of its row in each mask, -1 where one of them has none."""
    places = torch.stack([torch.arange(len(masks[0])), *(first(mask) for mask in masks)], 1)
    return places.masked_fill((places < 0).any(1, keepdim=True), -1)


def asymmetric(u, v, similarity):
    """The loss of u and the signs of v, all of whose sums are those of a dense matrix."""
    v, s = v.sign(), torch.where(similarity, 1.0, -0.5).to(v.dtype)
    return losses.asymmetric(u, v.T @ v, s @ v, s.square().sum(1), v, items=len(v), gamma=2.0)


LOSSES = {
    "asymmetric": lambda u, v, s, known: asymmetric(u, v, s),
    "group_consensus": lambda u, v, s, known: losses.group_consensus(u, [v, v[:, :2]]),
    "pairwise_likelihood": lambda u, v, s, known: losses.pairwise_likelihood(u, s, mask=known),
    "dsh": lambda u, v, s, known: losses.dsh(u, s, mask=known),
    "squared_pairwise": lambda u, v, s, known: losses.squared_pairwise(u, s, mask=known),
    "balanced_likelihood": lambda u, v, s, known: losses.balanced_likelihood(u, s, mask=known),
    "signed_pairs l2": lambda u, v, s, known: losses.signed_pairs(u, (2 * s.int() - 1) * known, kind="l2"),
    "signed_pairs likelihood": lambda u, v, s, known: losses.signed_pairs(u, (2 * s.int() - 1) * known),
    "quantization": lambda u, v, s, known: losses.quantization(u),
    "quantization masked": lambda u, v, s, known: losses.quantization(u, mask=known.any(1)),
    "l1_quantization": lambda u, v, s, known: losses.l1_quantization(u),
    "l1_quantization masked": lambda u, v, s, known: losses.l1_quantization(u, mask=known.any(1)),
    "bit_balance": lambda u, v, s, known: losses.bit_balance(u),
    "bit_independence": lambda u, v, s, known: losses.bit_independence(u),
    "triplet_ranking": lambda u, v, s, known: losses.triplet_ranking(u, tuples(s, known)),
    "graph_embedding": lambda u, v, s, known: losses.graph_embedding(u, tuples(s, known), margin=1.5),
    "graph_embedding constants": lambda u, v, s, known: losses.graph_embedding(
        u, tuples(s, known), margin=1.5, constants=v
    ),
    "improved_triplet": lambda u, v, s, known: losses.improved_triplet(u, u.flip(1), v, margin=1.0),
    "improved_triplet d + mu": lambda u, v, s, known: losses.improved_triplet(u, v, u.flip(1), pull_form="d + mu"),
    "triplet_hinge": lambda u, v, s, known: losses.triplet_hinge(u, u.flip(1), v, margin=1.0),
    "partner_likelihood": lambda u, v, s, known: losses.partner_likelihood(u, v, ids(u) == 0),
    "selection_error": lambda u, v, s, known: losses.selection_error(u, v.abs()),
    "classification squared": lambda u, v, s, known: losses.classification(u, ids(u), kind="squared"),
    "classification bce": lambda u, v, s, known: losses.classification(u, ids(u), kind="bce"),
    "classification softmax": lambda u, v, s, known: losses.classification(u, ids(u), kind="softmax"),
    "pair_consistency": lambda u, v, s, known: losses.pair_consistency(u, v),
    "pair_consistency sigmoid": lambda u, v, s, known: losses.pair_consistency(u, v, kind="sigmoid"),
    "point_consistency": lambda u, v, s, known: losses.point_consistency(u, v),
    "neighbour_consistency": lambda u, v, s, known: losses.neighbour_consistency(u, v, s),
    "neighbour_consistency drawn": lambda u, v, s, known: losses.neighbour_consistency(u, v, first(s)),
    "graph_contrastive": lambda u, v, s, known: losses.graph_contrastive(u, s, known),
}
# What single items contribute to.
ALONE = {
    "asymmetric",
    "bit_balance",
    "bit_independence",
    "classification",
    "group_consensus",
    "improved_triplet",
    "l1_quantization",
    "partner_likelihood",
    "quantization",
    "selection_error",
    "triplet_hinge",
}
NO_LOSSES = {
    "LabelSets",
    "SimilarityBlock",
    "gram",
    "label_similarity",
    "pairs_in_blocks",
    "row_similarity",
    "signs",
    "update_codes",
}
every_loss = pytest.mark.parametrize("name", LOSSES)


def test_the_list_is_complete():
    assert {name.split()[0] for name in LOSSES} == {
        name for name in losses.__all__ if name not in NO_LOSSES and not name.startswith("draw_")
    }


@every_loss
@pytest.mark.parametrize(("batch", "bits"), [(4, 6), (7, 3)])  # without and with the closed form
def test_gradcheck(name, batch, bits):
    u = torch.rand(batch, bits, generator=torch.Generator().manual_seed(5), dtype=torch.float64) * 1.8 - 0.9
    arguments = constants(batch, bits)
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, *arguments), u.requires_grad_())


@every_loss
@pytest.mark.parametrize("batch", [0, 1])
def test_no_pair_gives_zero_that_back_propagates(name, batch):
    u = torch.full((batch, 4), 0.5, requires_grad=True)
    teacher, similarity, known = torch.full((batch, 4), 0.5), *torch.zeros(2, batch, batch, dtype=torch.bool)
    loss = LOSSES[name](u, teacher, similarity, known)
    loss.backward()
    assert u.grad is not None
    assert loss.shape == ()
    if batch == 0 or name.split()[0] not in ALONE or "masked" in name:
        assert loss.item() == 0
        assert not u.grad.any()


@every_loss
@pytest.mark.parametrize("batch", [3, 17])
@pytest.mark.parametrize("value", [1.0, 0.0])
def test_identical_codes_give_finite_gradients(name, batch, value):
    u = torch.full((batch, 8), value, requires_grad=True)
    teacher, similarity, known = constants(batch, 8)
    loss = LOSSES[name](u, teacher.float(), similarity, known)
    loss.backward()
    assert u.grad is not None
    assert loss.isfinite()
    assert u.grad.isfinite().all()


@every_loss
@pytest.mark.parametrize("batch", [16, 64])
def test_bfloat16_under_autocast_is_computed_in_float32(name, batch):
    teacher, similarity, known = constants(batch, 24)
    u = (teacher.flip(0) * 0.9).bfloat16()
    teacher = teacher.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = LOSSES[name](u.requires_grad_(), teacher, similarity, known)
    loss.backward()
    assert loss.dtype == torch.float32
    assert u.grad is not None
    assert u.grad.dtype == torch.bfloat16
    exact = LOSSES[name](u.double(), teacher.double(), similarity, known)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)


@every_loss
@pytest.mark.parametrize(("batch", "bits"), [(4, 6), (7, 3)])
def test_compiles_as_one_graph(name, batch, bits):
    torch._dynamo.reset()
    u = torch.rand(batch, bits, generator=torch.Generator().manual_seed(5)).requires_grad_()
    teacher, similarity, known = constants(batch, bits)
    arguments = (u, teacher.float(), similarity, known)
    compiled = torch.compile(LOSSES[name], fullgraph=True, backend="eager")(*arguments)
    plain = LOSSES[name](*arguments)
    torch.testing.assert_close(compiled, plain)
    torch.testing.assert_close(torch.autograd.grad(compiled, u), torch.autograd.grad(plain, u))
