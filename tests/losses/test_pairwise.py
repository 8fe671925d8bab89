import math

import pytest
import torch

from fasthash.losses import balanced_likelihood, dsh, label_similarity, pairwise_likelihood, squared_pairwise

LABELS = torch.tensor([0, 0, 1])


def draw(n=7, m=5, bits=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    u = torch.rand(n, bits, generator=generator, dtype=torch.float64) * 2 - 1
    v = torch.rand(m, bits, generator=generator, dtype=torch.float64) * 2 - 1
    similarity = torch.rand(n, m, generator=generator) < 0.4
    mask = torch.rand(n, m, generator=generator) < 0.7
    return u, v, similarity, mask


def kept_pairs(u, similarity, v, mask):
    """(u_i, v_j, s_ij) of the pairs that count, as plain lists."""
    second = u if v is None else v
    for i, row in enumerate(u.tolist()):
        for j, column in enumerate(second.tolist()):
            if (mask is None or mask[i, j]) and not (v is None and i == j):
                yield row, column, bool(similarity[i, j])


def dot(a, b):
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def mean(values):
    values = list(values)
    return math.fsum(values) / len(values)


def loop_likelihood(pairs):
    return mean(math.log(1 + math.exp(dot(a, b) / 2)) - s * dot(a, b) / 2 for a, b, s in pairs)


def loop_dsh(pairs):
    terms = []
    for a, b, s in pairs:
        squared = sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
        terms.append(squared / 2 if s else max(0.0, 2 * len(a) - squared) / 2)
    return mean(terms)


def loop_balanced(pairs):
    pairs = list(pairs)
    positive = sum(s for _, _, s in pairs)
    negative = len(pairs) - positive
    total = 0.0
    for a, b, s in pairs:
        probability = 1 / (1 + math.exp(-0.4 * 48 / len(a) * dot(a, b)))
        total -= negative / positive * math.log(probability) if s else math.log(1 - probability)
    return total / (2 * negative)


def loop_squared(pairs):
    return mean((dot(a, b) - len(a) * (1 if s else -1)) ** 2 for a, b, s in pairs)


LOOPS = [
    (pairwise_likelihood, loop_likelihood),
    (dsh, loop_dsh),
    (squared_pairwise, loop_squared),
    (balanced_likelihood, loop_balanced),
]


@pytest.mark.parametrize(("loss", "loop"), LOOPS)
@pytest.mark.parametrize("two_sets", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_is_the_formula_as_a_loop(loss, loop, two_sets, masked):
    u, v, similarity, mask = draw(m=5 if two_sets else 7)
    v, mask = v if two_sets else None, mask if masked else None
    expected = loop(kept_pairs(u, similarity, v, mask))
    assert float(loss(u, similarity, v, mask=mask)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("loss", "loop"), LOOPS)
def test_a_second_set_for_each_row(loss, loop):
    u, _, similarity, mask = draw()
    v = torch.rand(7, 5, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1
    pairs = [
        (u[i].tolist(), v[i, j].tolist(), bool(similarity[i, j])) for i in range(7) for j in range(5) if mask[i, j]
    ]
    assert float(loss(u, similarity, v, mask=mask)) == pytest.approx(loop(pairs), rel=1e-12)
    assert torch.autograd.gradcheck(lambda x: loss(x, similarity, v, mask=mask), u.requires_grad_())
    with pytest.raises(ValueError, match=rf"{loss.__name__}: v \(n, m, bits\) must have the 7 rows of u, got 6"):
        loss(u, similarity, v[:6])


def test_worked_example(student):
    similarity, known = label_similarity(LABELS)
    assert float(pairwise_likelihood(student, similarity, mask=known)) == pytest.approx(0.65408, abs=5e-6)
    assert float(dsh(student, similarity, mask=known)) == pytest.approx(1.0, abs=1e-6)
    # Products 0, -0.5 and 0 against 2, -2 and -2.
    assert float(squared_pairwise(student, similarity, mask=known)) == pytest.approx((4 + 2.25 + 4) / 3)


def test_gradients_reach_both_sides_of_a_pair():
    u, v, similarity, mask = draw(n=4, m=3, bits=5)
    u.requires_grad_()
    v.requires_grad_()
    for loss, _ in LOOPS:
        assert torch.autograd.gradcheck(lambda a, b, loss=loss: loss(a, similarity, b, mask=mask), (u, v))


def test_hidden_items_change_neither_value_nor_gradient():
    u, *_ = draw(n=6)
    u.requires_grad_()
    labels = torch.tensor([0, 1, 0, 1, -1, -1])
    similarity, known = label_similarity(labels)
    for loss, _ in LOOPS:
        value = loss(u, similarity, mask=known)
        (gradient,) = torch.autograd.grad(value, u)
        assert gradient[4:].abs().max() == 0
        alone = u.detach()[:4].requires_grad_()
        other = loss(alone, *label_similarity(labels[:4])[:1])
        torch.testing.assert_close(value, other)
        torch.testing.assert_close(gradient[:4], torch.autograd.grad(other, alone)[0])


def test_likelihood_does_not_overflow():
    u = torch.full((2, 64), 50.0, requires_grad=True)
    for similar, slope in [(True, 0.0), (False, 1.0)]:
        loss = pairwise_likelihood(u, torch.full((2, 2), similar))
        assert loss.item() == pytest.approx(slope * 80_000)
        loss.backward()
        assert u.grad is not None
        assert u.grad.isfinite().all()


def test_margin_and_scale():
    u, v = torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, -1.0]])
    dissimilar = torch.tensor([[False]])
    assert float(dsh(u, dissimilar, v)) == 0  # squared distance 4 = the margin 2 K
    assert float(dsh(u, dissimilar, v, margin=6)) == 1
    assert float(pairwise_likelihood(u, dissimilar, u, scale=0.25)) == pytest.approx(math.log(1 + math.exp(0.5)))


def test_rounding_makes_no_distance_negative():
    u = draw(n=50, bits=48)[0].float()
    for row in u:
        assert float(dsh(row[None], torch.tensor([[True]]), row[None])) >= 0


def test_balanced_with_one_kind_of_pairs_only_is_half_their_mean(student):
    similar = torch.ones(3, 3, dtype=torch.bool)
    log2, product = math.log(2), 9.6 * -0.5  # u.u is 0, 0 and -0.5
    attract, repel = math.log(1 + math.exp(-product)), math.log(1 + math.exp(product))
    assert float(balanced_likelihood(student, similar)) == pytest.approx((2 * log2 + attract) / 6)
    assert float(balanced_likelihood(student, ~similar)) == pytest.approx((2 * log2 + repel) / 6)


@pytest.mark.parametrize(("loss", "_"), LOOPS)
def test_errors_name_the_argument(loss, _):
    u, similarity = torch.zeros(3, 4), torch.zeros(3, 3, dtype=torch.bool)
    name = loss.__name__
    with pytest.raises(TypeError, match=f"{name}: u must be a floating tensor, got torch.int64"):
        loss(u.long(), similarity)
    with pytest.raises(ValueError, match=rf"{name}: u must have shape \(items, bits\), got \(4,\)"):
        loss(u[0], similarity)
    with pytest.raises(ValueError, match=f"{name}: v must have the 4 bits of u, got 5"):
        loss(u, similarity, torch.zeros(3, 5))
    with pytest.raises(ValueError, match=f"{name}: v must be on cpu like u, got meta"):
        loss(u, similarity, torch.zeros(3, 4, device="meta"))
    with pytest.raises(ValueError, match=rf"{name}: similarity must have shape \(3, 3\), got \(3, 2\)"):
        loss(u, similarity[:, :2])
    with pytest.raises(ValueError, match=rf"{name}: mask must have shape \(3, 3\), got \(3,\)"):
        loss(u, similarity, mask=similarity[0])
    with pytest.raises(TypeError, match=f"{name}: mask must be torch.bool, got torch.float32"):
        loss(u, similarity, mask=similarity.float())


def test_balanced_with_weights_of_pairs(student):
    similarity = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]]).bool()
    weight = torch.tensor([[9.0, 0.5, 2.0], [0.5, 9.0, 1.0], [2.0, 1.0, 9.0]])
    log2, far = math.log(2), math.log(1 + math.exp(-0.5))  # products 0, -0.5 and 0
    expected = (0.5 * log2 + (2 * far + 1 * log2) / 2) / 2
    assert float(balanced_likelihood(student, similarity, scale=1.0, weight=weight)) == pytest.approx(expected)
    one = balanced_likelihood(student, similarity, weight=torch.ones(3, 3))
    torch.testing.assert_close(one, balanced_likelihood(student, similarity))
    with pytest.raises(ValueError, match=r"balanced_likelihood: weight must have shape \(3, 3\), got \(3, 2\)"):
        balanced_likelihood(student, similarity, weight=weight[:, :2])
