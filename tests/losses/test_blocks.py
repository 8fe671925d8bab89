import functools

import pytest
import torch

from fasthash.losses import dsh, label_similarity, pairs_in_blocks, pairwise_likelihood, squared_pairwise

LOSSES = [pairwise_likelihood, dsh, squared_pairwise, functools.partial(pairwise_likelihood, scale=0.2)]


def draw(n=23, multi_hot=False, seed=0):
    generator = torch.Generator().manual_seed(seed)
    u = torch.rand(n, 12, generator=generator, dtype=torch.float64) * 2 - 1
    labels = torch.randint(-1, 3, (n,), generator=generator)
    return u.requires_grad_(), torch.cat([torch.eye(3), torch.zeros(1, 3)])[labels] if multi_hot else labels


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("rows", [1, 7, 23, 100])
@pytest.mark.parametrize("multi_hot", [False, True])
def test_value_and_gradient_are_those_of_the_dense_form(loss, rows, multi_hot):
    u, labels = draw(multi_hot=multi_hot)
    similarity, known = label_similarity(labels)
    dense, blocks = loss(u, similarity, mask=known), pairs_in_blocks(loss, u, labels, rows=rows)
    torch.testing.assert_close(blocks, dense)
    torch.testing.assert_close(torch.autograd.grad(blocks, u), torch.autograd.grad(dense, u))


@pytest.mark.parametrize("rows", [5, 100])
def test_two_sets(rows):
    (u, labels), (v, v_labels) = draw(), draw(11, seed=1)
    similarity, known = label_similarity(labels, v_labels)
    dense = pairwise_likelihood(u, similarity, v, mask=known)
    blocks = pairs_in_blocks(pairwise_likelihood, u, labels, v, v_labels, rows=rows)
    torch.testing.assert_close(blocks, dense)
    torch.testing.assert_close(torch.autograd.grad(blocks, (u, v)), torch.autograd.grad(dense, (u, v)))


def test_nothing_of_the_size_of_all_pairs_is_kept_for_the_backward():
    u, labels = draw(600)
    kept = []

    def pack(x):
        kept.append(x.numel())
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        loss = pairs_in_blocks(pairwise_likelihood, u, labels, rows=50)
    assert max(kept) <= u.numel()
    loss.backward()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        pairwise_likelihood(u, label_similarity(labels)[0])
    assert max(kept) >= 600 * 600


@pytest.mark.parametrize("labels", [[], [-1, -1], [2]])
def test_no_pair_gives_zero_that_back_propagates(labels):
    u = torch.ones(len(labels), 4, requires_grad=True)
    loss = pairs_in_blocks(pairwise_likelihood, u, torch.tensor(labels, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0
    assert u.grad is not None
    assert not u.grad.any()


def test_options_reach_the_loss():
    u, labels = draw()
    similarity, known = label_similarity(labels)
    expected = dsh(u, similarity, mask=known, margin=5.0)
    torch.testing.assert_close(pairs_in_blocks(dsh, u, labels, rows=9, margin=5.0), expected)


def test_errors_name_the_argument():
    u, labels = draw()
    with pytest.raises(ValueError, match="pairs_in_blocks: rows must be >= 1, got 0"):
        pairs_in_blocks(dsh, u, labels, rows=0)
    with pytest.raises(ValueError, match="pairs_in_blocks: v and v_labels must come together, got one of them"):
        pairs_in_blocks(dsh, u, labels, u)
    with pytest.raises(ValueError, match="pairs_in_blocks: labels must have 23 rows, got 5"):
        pairs_in_blocks(dsh, u, labels[:5])
    with pytest.raises(ValueError, match="pairs_in_blocks: v_labels must have 23 rows, got 5"):
        pairs_in_blocks(dsh, u, labels, u, labels[:5])
