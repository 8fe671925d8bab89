import pytest
import torch

from fasthash.networks import HashNetwork, NetworkConfig, build_network, linear_head, relax
from fasthash.ops import pack
from fasthash.teachers import EMATeacher
from fasthash.training import Hasher

Z = torch.tensor([[-2.0, -0.5, 0.0, 0.5, 2.0]], dtype=torch.float64)


def value_and_slope(relaxation, straight_through):
    z = Z.clone().requires_grad_()
    h = relax(z, relaxation, straight_through)
    return h.detach(), torch.autograd.grad(h.sum(), z)[0]


@pytest.mark.parametrize("straight_through", ["identity", "clipped"])
@pytest.mark.parametrize("relaxation", ["tanh", "sigmoid", "none"])
def test_straight_through_is_the_code_with_the_slope_of_the_relaxation(relaxation, straight_through):
    codes, slope = value_and_slope(relaxation, straight_through)
    low = 0.0 if relaxation == "sigmoid" else -1.0
    assert codes.tolist() == [[low, low, low, 1.0, 1.0]]  # 0 counts as -1, as in packing
    _, plain = value_and_slope(relaxation, None)
    inside = torch.tensor([0.0, 1.0, 1.0, 1.0, 0.0]) if straight_through == "clipped" else torch.ones(5)
    assert torch.equal(slope, plain * inside)


def test_slopes_of_the_relaxations():
    torch.testing.assert_close(value_and_slope("tanh", None)[1], 1 - Z.tanh().square())
    torch.testing.assert_close(value_and_slope("sigmoid", None)[1], Z.sigmoid() * (1 - Z.sigmoid()))
    assert value_and_slope("none", None)[1].eq(1).all()


def test_straight_through_codes_are_exact_in_float32():
    z = torch.randn(1000, 48)
    assert relax(z, "tanh", "identity").abs().eq(1).all()


@pytest.mark.parametrize("straight_through", [None, "identity", "clipped"])
def test_compiles_as_one_graph(straight_through):
    z = torch.randn(4, 6, requires_grad=True)
    compiled = torch.compile(lambda x: relax(x, "tanh", straight_through), fullgraph=True, backend="eager")
    assert torch.equal(compiled(z), relax(z, "tanh", straight_through))


@pytest.mark.parametrize("relaxation", ["tanh", "sigmoid", "none"])
@pytest.mark.parametrize("straight_through", [None, "identity"])
def test_hasher_packs_the_sign_of_the_logits(relaxation, straight_through):
    config = NetworkConfig(widths=(16,), relaxation=relaxation, straight_through=straight_through)
    network = build_network(config, (5,), bits=12).eval()
    x = torch.randn(50, 5)
    expected = pack(network.logits(x).detach())
    assert 0.2 < torch.count_nonzero(network.logits(x) > 0) / 600 < 0.8
    assert torch.equal(Hasher(network, 12).encode(x), expected)
    assert torch.equal(Hasher(EMATeacher(network), 12).encode(x), expected)


def test_hasher_packs_the_outputs_of_a_module_without_logits():
    network = torch.nn.Linear(5, 12)
    x = torch.randn(9, 5)
    assert torch.equal(Hasher(network, 12).encode(x), pack(network(x).detach()))
    assert torch.equal(Hasher(EMATeacher(network), 12).encode(x), pack(network(x).detach()))


def test_errors():
    with pytest.raises(ValueError, match=r"relax: relaxation must be one of .*, got 'relu'"):
        relax(Z, "relu")
    with pytest.raises(ValueError, match=r"relax: straight_through must be None or one of .*, got 'yes'"):
        relax(Z, "tanh", "yes")
    with pytest.raises(ValueError, match=r"relax: straight_through"):
        HashNetwork(torch.nn.Flatten(), linear_head(4, 2), straight_through="yes")
