"""Heads of several lengths: what each computes, and which layers its gradient reaches."""

import pytest
import torch

from fasthash.networks import GroupHead, NetworkConfig, OfLength, build_network, linear_head, mlp_head

LENGTHS = (4, 6, 10)


def by_length(head):
    """Layers from short to long."""
    return list(head.layers)[::-1]


@pytest.mark.parametrize("structure", ["flat", "cascade"])
@pytest.mark.parametrize("before", [linear_head(7, 4), mlp_head(7, 4, hidden=5), torch.nn.Linear(7, 4)])
def test_logits_are_those_of_the_structure(structure, before):
    head = GroupHead(before, LENGTHS, structure)
    x = torch.randn(3, 7)
    short, middle, long = by_length(head)
    shared = head.shared(x)
    c = long(shared)
    b = middle(c if structure == "cascade" else shared)
    a = short(b if structure == "cascade" else shared)
    assert all(torch.equal(z, expected) for z, expected in zip(head.logits(x), (a, b, c), strict=True))
    assert torch.equal(head(x), a)


@pytest.mark.parametrize(("structure", "reached"), [("flat", [True, False, False]), ("cascade", [True, True, True])])
def test_the_shortest_head_reaches_the_longer_ones_in_a_cascade_only(structure, reached):
    head = GroupHead(linear_head(7, 4), LENGTHS, structure)
    head(torch.randn(3, 7)).square().sum().backward()
    assert [layer.weight.grad is not None for layer in by_length(head)] == reached


@pytest.mark.parametrize("structure", ["flat", "cascade"])
def test_gradients_are_divided_where_heads_meet(structure):
    generator = torch.Generator().manual_seed(0)
    head = GroupHead(linear_head(7, 4), LENGTHS, structure, divide_all=5.0, divide_links=2.0)
    plain = GroupHead(linear_head(7, 4), LENGTHS, structure)
    plain.load_state_dict(head.state_dict())
    x = torch.randn(3, 7, generator=generator)

    def run(head):
        leaf = x.clone().requires_grad_()
        logits = head.logits(leaf)
        for z in logits:
            z.retain_grad()
        sum(z.sum() for z in logits).backward()
        return leaf.grad, logits

    (got, logits), (expected, values) = run(head), run(plain)
    assert all(torch.equal(one, other) for one, other in zip(logits, values, strict=True))
    if structure == "flat":
        torch.testing.assert_close(got, expected / 5)
        return
    # By hand: what comes to the middle is 1 and the short one's, halved; to the long one that and 1, a fifth of it.
    short, middle, long = by_length(head)
    at_middle = (torch.ones(3, 6) + torch.ones(3, 4) @ short.weight) / 2
    at_long = (torch.ones(3, 10) + at_middle @ middle.weight) / 5
    torch.testing.assert_close(got, at_long @ long.weight)


def test_one_length_is_a_linear_layer_and_no_gradient_is_divided():
    head = GroupHead(linear_head(7, 4), (4,), "flat", divide_all=5.0)
    x = torch.randn(3, 7, requires_grad=True)
    head(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.ones(3, 4) @ head.layers[0].weight)


def test_a_network_is_seen_as_one_of_each_length():
    network = build_network(NetworkConfig("mlp", widths=(8,)), (5,), 4)
    network.head = GroupHead(network.head, LENGTHS, "cascade")
    assert network.feature_size == 8
    x = torch.randn(3, 5)
    for place, length in enumerate(LENGTHS):
        view = OfLength(network, length)
        assert torch.equal(view.logits(x), network.head.logits(network.features(x))[place])
        assert torch.equal(view(x), torch.tanh(view.logits(x)))
    assert torch.equal(network(x), OfLength(network, 4)(x))


def test_a_group_replaces_a_group_and_other_ends_are_refused():
    head = GroupHead(mlp_head(7, 4, hidden=5), LENGTHS, "cascade")
    again = GroupHead(head, (3, 9), "flat")
    assert [tuple(layer.weight.shape) for layer in by_length(again)] == [(3, 5), (9, 5)]
    assert again.shared[0] is head.shared[0]
    with pytest.raises(TypeError, match="GroupHead: head must end in a linear layer, got ReLU"):
        GroupHead(torch.nn.Sequential(torch.nn.Linear(7, 4), torch.nn.ReLU()), LENGTHS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"structure": "tree"}, 'GroupHead: structure must be one of "flat", "cascade", got \'tree\''),
        ({"lengths": ()}, r"GroupHead: lengths must be one or more, each >= 1, got \(\)"),
        ({"lengths": (0, 4)}, r"GroupHead: lengths must be one or more, each >= 1, got \(0, 4\)"),
        ({"divide_all": 0.0}, r"GroupHead: divisors must be > 0, got 0\.0 and 1\.0"),
    ],
)
def test_what_a_group_is_made_of_is_checked(wrong, message):
    with pytest.raises(ValueError, match=message):
        GroupHead(linear_head(7, 4), **{"lengths": LENGTHS, **wrong})


def test_a_group_is_where_the_layer_was_that_it_replaces():
    head = GroupHead(torch.nn.Linear(7, 4, dtype=torch.float64), LENGTHS, "cascade")
    assert head(torch.randn(3, 7, dtype=torch.float64)).dtype == torch.float64


def test_a_length_that_is_not_there_is_refused_by_name():
    network = build_network(NetworkConfig("mlp", widths=(8,)), (5,), 4)
    with pytest.raises(TypeError, match="OfLength: network must have a GroupHead, got Sequential"):
        OfLength(network, 4)
    network.head = GroupHead(network.head, LENGTHS, "cascade")
    with pytest.raises(ValueError, match=r"OfLength: length must be one of \(4, 6, 10\), got 5"):
        OfLength(network, 5)
