import itertools

import numpy as np
import pytest
import torch

from fasthash.losses import graph_contrastive, neighbour_consistency, pair_consistency, point_consistency
from fasthash.losses._pairs import normalised_distance
from fasthash.ops import reference

KINDS = ["distance", "sigmoid"]
PSEUDO = torch.tensor([[1, 0, 0], [0, 1, 1], [0, 1, 1]]).bool()  # what the teacher's codes 11, 10, 10 say


def draw(batch, bits, seed=0):
    generator = torch.Generator().manual_seed(seed)
    u = torch.rand(batch, bits, generator=generator, dtype=torch.float64) * 2 - 1
    v = torch.rand(batch, bits, generator=generator, dtype=torch.float64) * 2 - 1
    return u, v


def distance(a, b):
    return (1 - float(np.dot(a, b)) / len(a)) / 2


def probability(a, b):
    return 1 / (1 + np.exp(-0.4 * 48 / len(a) * np.dot(a, b)))


def loop_pairs(u, v, compare):
    u, v = u.numpy(), v.numpy()
    return np.mean(
        [(compare(u[i], u[j]) - compare(v[i], v[j])) ** 2 for i, j in itertools.permutations(range(len(u)), 2)]
    )


def loop_neighbours(u, v, neighbours):
    u, v = u.numpy(), v.numpy()
    return np.mean(
        [
            (distance(u[i], u[k]) - distance(v[j], v[k])) ** 2
            for i, j in neighbours
            for k in range(len(u))
            if k not in (i, j)
        ]
    )


def test_worked_example(student, teacher):
    student.requires_grad_()
    loss = pair_consistency(student, teacher)
    assert loss.item() == pytest.approx(0.0393417, abs=5e-8)
    (gradient,) = torch.autograd.grad(loss, student)
    student.requires_grad_(False)
    assert gradient[0].tolist() == pytest.approx([0.0104167, 0.0104167], abs=5e-8)
    assert float(pair_consistency(student, teacher, kind="sigmoid")) == pytest.approx(0.1639665, abs=2e-7)
    assert float(point_consistency(student, teacher)) == pytest.approx(0.3566667, abs=1e-7)
    assert float(graph_contrastive(student, PSEUDO, torch.ones_like(PSEUDO))) == pytest.approx(0.1148900, abs=2e-7)
    assert float(neighbour_consistency(student, teacher, PSEUDO)) == pytest.approx(0.0314594, abs=5e-8)


# 12 bits: up to 24 items take the masked mean, more the closed form
@pytest.mark.parametrize("batch", [2, 5, 24, 25, 40])
@pytest.mark.parametrize(("kind", "compare"), [("distance", distance), ("sigmoid", probability)])
def test_pair_consistency_is_the_formula_as_a_loop(batch, kind, compare):
    u, v = draw(batch, 12)
    assert float(pair_consistency(u, v, kind=kind)) == pytest.approx(loop_pairs(u, v, compare), rel=1e-10)


def test_closed_form_and_masked_mean_have_the_same_gradient():
    u, v = draw(16, 7)
    wide = [torch.nn.functional.pad(x, (0, 1)) for x in (u, v)]  # a bit of zeros: the same products, but 2 K = B
    u.requires_grad_()
    wide[0].requires_grad_()
    (closed,) = torch.autograd.grad(pair_consistency(u, v) * 49, u)
    (masked,) = torch.autograd.grad(pair_consistency(*wide) * 64, wide[0])
    torch.testing.assert_close(closed, masked[:, :7])


def test_closed_form_keeps_its_digits_in_float32():
    u, noise = draw(128, 48)
    v = u + 1e-3 * noise
    assert float(pair_consistency(u.float(), v.float())) == pytest.approx(float(pair_consistency(u, v)), rel=1e-4)


def test_teacher_equal_to_student_gives_zero_and_no_gradient():
    for batch in (5, 40):
        u = draw(batch, 12)[0].requires_grad_()
        for loss in (pair_consistency(u, u), pair_consistency(u, u, kind="sigmoid"), point_consistency(u, u)):
            assert loss.item() == 0
            assert torch.autograd.grad(loss, u)[0].abs().max() == 0


@pytest.mark.parametrize("batch", [5, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_bits_may_be_flipped_and_permuted_on_either_side(batch, kind):
    u, v = draw(batch, 12)
    order, sign = torch.randperm(12, generator=torch.Generator().manual_seed(1)), torch.ones(12, dtype=torch.float64)
    sign[::3] = -1
    moved_u, moved_v = u[:, order] * sign, v * sign.flip(0)
    torch.testing.assert_close(pair_consistency(moved_u, moved_v, kind=kind), pair_consistency(u, v, kind=kind))
    assert not torch.isclose(point_consistency(moved_u, moved_v), point_consistency(u, v))


def test_the_teacher_gets_no_gradient():
    u, v = draw(4, 6)
    u.requires_grad_()
    v.requires_grad_()
    for loss in (pair_consistency(u, v), point_consistency(u, v), neighbour_consistency(u, v, torch.arange(4))):
        loss.backward()
    assert v.grad is None
    assert u.grad is not None


@pytest.mark.parametrize("bits", [12, 48])
def test_distance_of_codes_is_the_hamming_distance(bits):
    codes = np.where(np.random.default_rng(0).random((20, bits)) < 0.5, -1.0, 1.0)
    packed = reference.pack(codes)
    measured = normalised_distance(torch.from_numpy(codes), torch.from_numpy(codes)) * bits
    np.testing.assert_array_equal(measured.round().int().numpy(), reference.hamming_distance(packed, packed))


def test_neighbour_consistency_is_the_formula_as_a_loop():
    u, v = draw(6, 5)
    near = torch.rand(6, 6, generator=torch.Generator().manual_seed(2)) < 0.4
    expected = loop_neighbours(u, v, near.nonzero().tolist())
    assert float(neighbour_consistency(u, v, near)) == pytest.approx(expected, rel=1e-10)
    drawn = torch.tensor([3, 1, -1, 0, 5, -1])
    expected = loop_neighbours(u, v, [(i, j) for i, j in enumerate(drawn.tolist()) if j >= 0])
    assert float(neighbour_consistency(u, v, drawn)) == pytest.approx(expected, rel=1e-10)


def test_every_item_its_own_neighbour_is_pair_consistency():
    u, v = draw(9, 12)
    expected = pair_consistency(u, v)
    torch.testing.assert_close(neighbour_consistency(u, v, torch.eye(9, dtype=torch.bool)), expected)
    torch.testing.assert_close(neighbour_consistency(u, v, torch.arange(9)), expected)


def test_neighbours_from_outside_the_batch():
    u, v = draw(6, 5)
    outside = draw(6, 5, seed=1)[0]
    terms = [
        (distance(u[i].numpy(), u[k].numpy()) - distance(outside[i].numpy(), v[k].numpy())) ** 2
        for i, k in itertools.permutations(range(6), 2)
    ]
    assert float(neighbour_consistency(u, v, outside)) == pytest.approx(np.mean(terms), rel=1e-10)
    torch.testing.assert_close(neighbour_consistency(u, v, v), pair_consistency(u, v))
    with pytest.raises(ValueError, match=r"neighbour must have the shape \(6, 5\) of student, got \(5, 5\)"):
        neighbour_consistency(u, v, outside[:5])


def test_graph_contrastive_is_the_formula_as_a_loop():
    u, _ = draw(7, 5)
    generator = torch.Generator().manual_seed(3)
    pseudo, known = torch.rand(2, 7, 7, generator=generator) < 0.5
    terms = []
    for i, j in itertools.permutations(range(7), 2):
        if known[i, j]:
            squared = ((u[i] - u[j]) ** 2).sum().item() / (4 * 5)
            terms.append(squared if pseudo[i, j] else max(0.0, 0.6 - squared**0.5) ** 2)
    assert float(graph_contrastive(u, pseudo, known, margin=0.6)) == pytest.approx(np.mean(terms), rel=1e-10)


def test_graph_contrastive_against_a_second_set():
    u, v = draw(4, 5)
    generator = torch.Generator().manual_seed(3)
    pseudo, known = torch.rand(2, 4, 4, generator=generator) < 0.5
    terms = []
    for i, j in itertools.product(range(4), repeat=2):
        if known[i, j]:
            squared = ((u[i] - v[j]) ** 2).sum().item() / (4 * 5)
            terms.append(squared if pseudo[i, j] else max(0.0, 0.75 - squared**0.5) ** 2)
    assert float(graph_contrastive(u, pseudo, known, v)) == pytest.approx(np.mean(terms), rel=1e-10)
    rows = v.expand(4, 4, 5)  # the same set for every row
    assert float(graph_contrastive(u, pseudo, known, rows)) == pytest.approx(np.mean(terms), rel=1e-10)


@pytest.mark.parametrize("loss", [pair_consistency, point_consistency, neighbour_consistency])
def test_student_and_teacher_must_fit(loss):
    extra = (torch.arange(3),) if loss is neighbour_consistency else ()
    with pytest.raises(ValueError, match=rf"{loss.__name__}: teacher must have the shape \(3, 4\) of student"):
        loss(torch.zeros(3, 4), torch.zeros(2, 4), *extra)


def test_errors_name_the_argument(student, teacher):
    with pytest.raises(ValueError, match='kind must be "distance" or "sigmoid", got \'cosine\''):
        pair_consistency(student, teacher, kind="cosine")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"must be torch\.int64, torch\.bool or floating, got torch\.int32"):
        neighbour_consistency(student, teacher, torch.arange(3, dtype=torch.int32))
    with pytest.raises(ValueError, match=r"neighbour must have shape \(3,\), got \(2,\)"):
        neighbour_consistency(student, teacher, torch.arange(2))
    with pytest.raises(ValueError, match=r"neighbour must have shape \(3, 3\), got \(3,\)"):
        neighbour_consistency(student, teacher, torch.ones(3, dtype=torch.bool))
    with pytest.raises(TypeError, match=r"known must be torch\.bool, got torch\.int64"):
        graph_contrastive(student, PSEUDO, PSEUDO.long())
    with pytest.raises(ValueError, match=r"pseudo must have shape \(3, 3\), got \(2, 3\)"):
        graph_contrastive(student, PSEUDO[:2], PSEUDO)
