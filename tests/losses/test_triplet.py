import pytest
import torch

from fasthash.losses import graph_embedding, improved_triplet, triplet_ranking

H = torch.tensor([[0.2, 0.2], [0.2, 0.8], [0.8, 0.8]], dtype=torch.float64)
PAIRS = torch.tensor([[0, 1, 2], [1, 0, 2], [2, 1, 0]])
NOTHING = torch.tensor([[-1, -1, -1]])


def test_ranking_worked_example():
    assert float(triplet_ranking(H, torch.tensor([[0, 1, 2]]))) == pytest.approx(0.32)
    assert float(triplet_ranking(H, torch.tensor([[0, 1, 2], [0, 2, 1]]))) == pytest.approx(0.5)


def test_embedding_worked_example():
    assert float(graph_embedding(H, PAIRS, margin=1.0)) == pytest.approx(0.21431, abs=5e-6)
    # The pseudo-label term has the same form.
    assert float(graph_embedding(H, PAIRS[:1], margin=1.0)) == pytest.approx(0.19147, abs=5e-6)


def test_rows_of_minus_one_do_not_count():
    for loss in (triplet_ranking, lambda h, places: graph_embedding(h, places, margin=1.0)):
        torch.testing.assert_close(loss(H, torch.cat([NOTHING, PAIRS, NOTHING])), loss(H, PAIRS))
        assert float(loss(H, NOTHING)) == 0
        assert float(loss(H, PAIRS[:0])) == 0


def test_gradients_of_the_embedding_at_distance_zero_are_zero():
    h = torch.full((3, 4), 0.5, requires_grad=True)
    graph_embedding(h, PAIRS, margin=3.0).backward()
    assert h.grad is not None
    assert not h.grad.any()


def test_constants_stand_for_the_near_items_and_get_no_gradient():
    constants = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64, requires_grad=True)
    h = H.clone().requires_grad_()
    loss = graph_embedding(h, PAIRS, margin=1.0, constants=constants)
    pull = (H - constants.detach()).square().sum(1)
    push = (1 - (H - H[[2, 2, 0]]).square().sum(1).sqrt()).clamp(min=0).square()
    assert float(loss.detach()) == pytest.approx(float((pull + push).sum() / 6))
    loss.backward()
    assert constants.grad is None
    with pytest.raises(ValueError, match=r"constants must have shape \(3, 2\), got \(2, 2\)"):
        graph_embedding(H, PAIRS, margin=1.0, constants=constants[:2])


def test_improved_triplet_worked_example():
    t, p, n = (torch.tensor([x], dtype=torch.float64, requires_grad=True) for x in ([0.9, 0.1], [0.8, 0.3], [0.2, 0.6]))
    loss = improved_triplet(t, p, n)
    assert loss.item() == pytest.approx(4.455)
    assert improved_triplet(t, p, n, pull_form="d + mu").item() == pytest.approx(4.458)
    gradients = [gradient[0].tolist() for gradient in torch.autograd.grad(loss, (t, p, n))]
    assert gradients == [pytest.approx([-0.5, 0.1]), pytest.approx([-0.8, 0.7]), pytest.approx([1.3, -0.8])]


def test_improved_triplet_whose_negative_is_equally_far_from_both_is_the_plain_triplet():
    generator = torch.Generator().manual_seed(0)
    t, n = torch.rand(2, 20, 6, generator=generator, dtype=torch.float64)
    plain = 2 * triplet_ranking(torch.cat([t, t, n]), torch.arange(60).view(3, 20).T, margin=2.0)
    torch.testing.assert_close(improved_triplet(t, t, n, margin=2.0, pull=0), plain)


@pytest.mark.parametrize("loss", [triplet_ranking, lambda h, places: graph_embedding(h, places, margin=1.0)])
def test_errors_name_the_argument(loss):
    with pytest.raises(TypeError, match=r"h must be a floating tensor, got torch\.int64"):
        loss(H.long(), PAIRS)
    with pytest.raises(TypeError, match=r"must be torch\.int64, got torch\.int32"):
        loss(H, PAIRS.int())
    with pytest.raises(ValueError, match=r"must have shape \(T, 3\), got \(3, 2\)"):
        loss(H, PAIRS[:, :2])


def test_improved_triplet_errors_name_the_argument():
    with pytest.raises(ValueError, match=r"negative must have the shape \(3, 2\) of anchor, got \(2, 2\)"):
        improved_triplet(H, H, H[:2])
    with pytest.raises(ValueError, match=r'pull_form must be "d - mu" or "d \+ mu", got .d.'):
        improved_triplet(H, H, H, pull_form="d")  # type: ignore[arg-type]
