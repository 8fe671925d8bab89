import pytest
import torch

from fasthash.networks import HashNetwork, NetworkConfig, SmallCNN, build_network, mlp_backbone, mlp_head


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        (NetworkConfig("mlp", (32,)), (20,)),
        (NetworkConfig("mlp", (32, 16), dropout=0.5), (1, 8, 8)),
        (NetworkConfig("cnn", (8, 16)), (3, 9, 8)),
    ],
)
def test_built_networks_give_relaxed_codes_and_train(config, shape):
    network = build_network(config, shape, bits=12)
    u = network(torch.randn(5, *shape))
    assert u.shape == (5, 12)
    assert u.abs().max() < 1
    u.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_cnn_treats_each_image_alone():
    network = SmallCNN(1, (8, 16)).train()
    x = torch.randn(6, 1, 8, 8)
    assert torch.allclose(network(x)[:1], network(x[:1]), atol=1e-6)


def test_any_backbone_with_the_mlp_head():
    network = HashNetwork(torch.nn.Linear(10, 7), mlp_head(7, 24, hidden=16))
    assert network(torch.randn(3, 10)).shape == (3, 24)


def test_the_global_seed_decides_the_weights():
    def weights(seed):
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in build_network(NetworkConfig(), (4,), 8).parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build_network(NetworkConfig("vgg"), (4,), 8), 'build_network: .*"mlp" or "cnn", got \'vgg\''),
        (lambda: build_network(NetworkConfig("cnn", (8,)), (4,), 8), r"build_network: shape of \"cnn\" .* got \(4,\)"),
        (lambda: SmallCNN(1, (12,)), r"SmallCNN: widths must be multiples of 8, at least one, got \(12,\)"),
        (lambda: mlp_backbone((4,), ()), "mlp_backbone: hidden must name at least one layer"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
