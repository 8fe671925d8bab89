"""Sums over label sets against dense matrices and loops, and the update of codes as an exact minimiser."""

import resource
from itertools import pairwise

import pytest
import torch

from fasthash.losses import LabelSets, SimilarityBlock, asymmetric, gram, label_similarity, signs, update_codes

GAMMA = 2.0


def single_label(generator):
    return torch.randint(5, (60,), generator=generator)


def multi_label(generator):
    return (torch.rand(60, 6, generator=generator) < 0.25).long()  # some items have no label


def without_labels(generator):
    return single_label(generator) - 1


LABELS = pytest.mark.parametrize("labels", [single_label, multi_label, without_labels])


def dense(labels, index):
    """S (m, n) and r, pair by pair."""
    similar = label_similarity(labels[index], labels)[0].double()
    ratio = similar.sum() / (1 - similar).sum()
    return torch.where(similar > 0, similar, -ratio), ratio


def case(labels, seed=0, bits=6, drawn=17):
    generator = torch.Generator().manual_seed(seed)
    labels = labels(generator)
    index = torch.randperm(60, generator=generator)[:drawn]
    u = torch.rand(drawn, bits, generator=generator, dtype=torch.float64) * 2 - 1
    v = (torch.randint(2, (60, bits), generator=generator) * 2 - 1).to(torch.int8)
    return labels, index, u, v, SimilarityBlock.of(LabelSets.of(labels), index)


def objective(u, v, s, index, gamma=GAMMA):
    """E, pair by pair."""
    u, v, s, bits = u.tolist(), v.tolist(), s.tolist(), u.shape[1]
    total = 0.0
    for i, row in enumerate(index.tolist()):
        for j in range(len(v)):
            total += (sum(a * b for a, b in zip(u[i], v[j], strict=True)) - bits * s[i][j]) ** 2
        total += gamma * sum((a - b) ** 2 for a, b in zip(u[i], v[row], strict=True))
    return total


def loop_update(u, v, s, index, gamma, *, columns=None, signed=False):
    """The first columns, one entry after another."""
    u, codes, s, bits = u.tolist(), v.tolist(), s.tolist(), u.shape[1]
    own = {row: i for i, row in enumerate(index.tolist())}
    for c in range(bits if columns is None else columns):
        for j, code in enumerate(codes):
            total = 0.0
            for i, row in enumerate(u):
                sign = (1.0 if row[c] > 0 else -1.0) if signed else row[c]
                total += -2 * bits * s[i][j] * sign
                total += 2 * row[c] * sum(row[d] * code[d] for d in range(bits) if d != c)
            if j in own:
                total -= 2 * gamma * u[own[j]][c]
            code[c] = 1 if total < 0 else -1
    return torch.tensor(codes, dtype=torch.int8)


def test_the_worked_example():
    """n = 3, classes 0, 0, 1, one item drawn, two bits, gamma 2."""
    u = torch.tensor([[0.5, -0.5]], dtype=torch.float64, requires_grad=True)
    v = torch.tensor([[1, 1], [1, -1], [-1, -1]], dtype=torch.int8)
    index = torch.tensor([0])
    block = SimilarityBlock.of(LabelSets.of(torch.tensor([0, 0, 1])), index)
    assert block.ratio == 2
    s, _ = dense(torch.tensor([0, 0, 1]), index)
    assert s.tolist() == [[1, 1, -2]]
    assert gram(v).tolist() == [[3, 1], [1, 3]]
    assert block.times(v).tolist() == [[4, 2]]
    assert block.squared_norms().tolist() == [6]

    def loss(v, gamma):
        return asymmetric(u, gram(v), block.times(v), block.squared_norms(), v[:1], items=3, gamma=gamma)

    assert loss(v, 0.0).item() == pytest.approx(21 / 3)
    assert loss(v, GAMMA).item() == pytest.approx(26 / 3)
    (gradient,) = torch.autograd.grad(loss(v, GAMMA), u)
    assert gradient.tolist() == [pytest.approx([-16 / 3, -16 / 3])]
    assert (gradient * (1 - u.detach().square())).tolist() == [pytest.approx([-4, -4])]

    pull = -2 * 2 * block.transposed_times(u.detach())[block.sets.group]
    pull[0] -= 2 * GAMMA * u.detach()[0]
    assert pull.tolist() == [[-4, 4], [-2, 2], [4, -4]]
    first = loop_update(u.detach(), v, s, index, GAMMA, columns=1)
    assert first.tolist() == [[1, 1], [1, -1], [-1, -1]]
    assert objective(u.detach(), v, s, index) == objective(u.detach(), first, s, index) == pytest.approx(26)
    found = update_codes(v, u.detach(), block, gamma=GAMMA)
    assert found.tolist() == [[1, -1], [1, -1], [-1, 1]]
    assert objective(u.detach(), found, s, index) == pytest.approx(12)
    assert loss(found, GAMMA).item() == pytest.approx(4)


@LABELS
def test_sums_over_label_sets_are_those_of_the_dense_matrix(labels):
    labels, index, u, v, block = case(labels)
    s, ratio = dense(labels, index)
    assert abs(s.sum()) < 1e-9
    assert block.ratio == pytest.approx(ratio)
    close = {"rtol": 1e-10, "atol": 1e-10}
    torch.testing.assert_close(block.times(v), s @ v.double(), **close)
    torch.testing.assert_close(block.transposed_times(u)[block.sets.group], s.T @ u, **close)
    torch.testing.assert_close(block.squared_norms(), s.square().sum(1), **close)
    found = asymmetric(u, gram(v), block.times(v), block.squared_norms(), v[index], items=60, gamma=GAMMA)
    assert float(found) == pytest.approx(objective(u, v, s, index) / (60 * 17))


@LABELS
def test_the_gradient_is_that_of_the_formula(labels):
    labels, index, u, v, block = case(labels)
    s, _ = dense(labels, index)
    u.requires_grad_()
    known = (gram(v), block.times(v), block.squared_norms(), v[index].double().requires_grad_())
    asymmetric(u, *known, items=60, gamma=GAMMA).backward()
    wide, rows = v.double(), u.detach()
    expected = 2 * (rows @ wide.T - 6 * s) @ wide + 2 * GAMMA * (rows - wide[index])
    torch.testing.assert_close(u.grad, expected / (60 * 17))
    assert known[3].grad is None


@LABELS
@pytest.mark.parametrize("signed", [False, True])
def test_the_update_is_that_of_a_loop(labels, signed):
    labels, index, u, v, block = case(labels)
    expected = loop_update(u, v, dense(labels, index)[0], index, GAMMA, signed=signed)
    assert not torch.equal(expected, v)
    for rows in (60, 7):
        found = update_codes(v, u, block, gamma=GAMMA, sign_in_product=signed, rows=rows)
        assert torch.equal(found, expected)
    twice = loop_update(u, expected, dense(labels, index)[0], index, GAMMA, signed=signed)
    assert torch.equal(update_codes(v, u, block, gamma=GAMMA, sign_in_product=signed, sweeps=2), twice)


@LABELS
@pytest.mark.parametrize("seed", range(3))
def test_the_update_never_raises_the_objective(labels, seed):
    labels, index, u, v, block = case(labels, seed, bits=4)
    s, _ = dense(labels, index)
    values = [objective(u, loop_update(u, v, s, index, GAMMA, columns=done), s, index) for done in range(5)]
    assert all(after <= before + 1e-9 for before, after in pairwise(values))
    found = update_codes(v, u, block, gamma=GAMMA)
    assert objective(u, found, s, index) == pytest.approx(values[-1])
    assert values[-1] < values[0]
    # The column set last is an exact minimiser: no entry of it can be turned for the better.
    for row in range(60):
        turned = found.clone()
        turned[row, -1] *= -1
        assert objective(u, turned, s, index) >= values[-1] - 1e-9


def test_a_bit_without_preference_is_minus_one_or_as_released_zero():
    block = SimilarityBlock.of(LabelSets.of(torch.tensor([0, 0, 1])), torch.tensor([0]))
    v, u = torch.ones(3, 2, dtype=torch.int8), torch.tensor([[0.0, 0.5]])
    assert update_codes(v, u, block).tolist() == [[-1, 1], [-1, 1], [-1, -1]]
    assert update_codes(v, u, block, zero=0).tolist() == [[0, 1], [0, 1], [0, -1]]
    assert signs(torch.tensor([0.0, 1.0, -2.0])).tolist() == [-1, 1, -1]


def test_the_first_codes_outside_the_drawn_items_are_those_of_their_class():
    _, index, u, v, block = case(single_label)
    found = update_codes(torch.zeros_like(v), u, block)
    outside = torch.ones(60, dtype=torch.bool)
    outside[index] = False
    assert len(found[outside].unique(dim=0)) <= 5
    assert set(found.unique().tolist()) == {-1, 1}


@LABELS
def test_another_order_of_the_items_gives_the_codes_in_that_order(labels):
    labels, index, u, v, block = case(labels)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(9))
    other = SimilarityBlock.of(LabelSets.of(labels[order]), order.argsort()[index])
    assert torch.equal(update_codes(v[order], u, other), update_codes(v, u, block)[order])


def test_memory_never_holds_the_pairs():
    """200,000 items, 2,000 drawn: S alone would be 1.6 GB."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(10, (200_000,), generator=generator)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    block = SimilarityBlock.of(LabelSets.of(labels), torch.randperm(200_000, generator=generator)[:2000])
    v = update_codes(torch.zeros(200_000, 4, dtype=torch.int8), torch.randn(2000, 4).tanh(), block)
    assert block.times(v).shape == (2000, 4)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KB


def test_errors():
    labels = torch.tensor([0, 0, 1])
    block = SimilarityBlock.of(LabelSets.of(labels), torch.tensor([0]))
    for one_class, counts in ((torch.zeros(3).long(), "3 and 0"), (torch.full((3,), -1), "0 and 3")):
        with pytest.raises(ValueError, match=f"SimilarityBlock: labels must leave .* pairs, got {counts}"):
            SimilarityBlock.of(LabelSets.of(one_class), torch.tensor([0]))
    with pytest.raises(TypeError, match=r"LabelSets\.of: class ids in labels must be integers, got torch\.float32"):
        LabelSets.of(torch.rand(3))
    u, v = torch.rand(1, 2), torch.ones(3, 2, dtype=torch.int8)
    with pytest.raises(TypeError, match=r"update_codes: v must be torch\.int8, got torch\.float32"):
        update_codes(v.float(), u, block)
    with pytest.raises(ValueError, match=r"update_codes: u must have shape \(1, K\) and v \(3, K\), got \(2, 2\)"):
        update_codes(v, u.expand(2, 2), block)
    with pytest.raises(ValueError, match=r"asymmetric: pull must have shape \(1, 2\), got \(3, 2\)"):
        asymmetric(u, gram(v), v, block.squared_norms(), v[:1], items=3)
    with pytest.raises(ValueError, match=r"update_codes: pull must have shape \(2, 2\), got \(3, 2\)"):
        update_codes(v, u, block, pull=torch.rand(3, 2))
    for wrong in ({"zero": 1}, {"sweeps": 0}):
        with pytest.raises(ValueError, match="update_codes: sweeps must be >= 1 and zero -1 or 0, got"):
            update_codes(v, u, block, **wrong)
