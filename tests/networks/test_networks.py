import copy

import pytest
import torch

from fasthash.networks import HashNetwork, NetworkConfig, SmallCNN, build_network, linear_head, mlp_backbone, mlp_head


@pytest.mark.parametrize(
    ("config", "shape", "size"),
    [
        (NetworkConfig("mlp", (32,)), (20,), 32),
        (NetworkConfig(), (20,), 512),
        (NetworkConfig("mlp", (32, 16), dropout=0.5), (1, 8, 8), 16),
        (NetworkConfig("cnn", (8, 16)), (3, 9, 8), 256),
        (NetworkConfig("cnn"), (3, 9, 8), 1024),
        (NetworkConfig("cnn", (8, 16), stride=2), (1, 28, 28), 256),
        (NetworkConfig("identity", head="mlp", hidden=24), (1, 8, 8), 64),
        (NetworkConfig("identity", dropout=0.5), (20,), 20),
        (NetworkConfig("mobilenet_v2", image_size=None), (3, 32, 32), 1280),
    ],
)
def test_built_networks_give_relaxed_codes_and_train(config, shape, size):
    network = build_network(config, shape, bits=12)
    u = network(torch.rand(5, *shape))
    assert u.shape == (5, 12)
    assert u.abs().max() < 1
    assert network.feature_size == network.features(torch.rand(5, *shape)).shape[1] == size
    u.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_outputs_are_the_relaxed_logits_of_the_features():
    x = torch.randn(6, 10)
    for relaxation, function in {"tanh": torch.tanh, "sigmoid": torch.sigmoid, "none": lambda z: z}.items():
        network = build_network(NetworkConfig(head="mlp", relaxation=relaxation), (10,), 8)
        z = network.logits(x)
        assert torch.equal(z, network.head(network.features(x)))
        assert torch.equal(network(x), function(z))


def test_stride_halves_the_side_of_the_first_block():
    plain, strided = SmallCNN(1, (8,)), SmallCNN(1, (8,), stride=2)
    x = torch.rand(1, 1, 28, 28)
    assert plain.layers[0](x).shape == (1, 8, 28, 28)
    assert strided.layers[0](x).shape == (1, 8, 14, 14)


def test_cnn_treats_each_image_alone():
    network = SmallCNN(1, (8, 16)).train()
    x = torch.randn(6, 1, 8, 8)
    assert torch.allclose(network(x)[:1], network(x[:1]), atol=1e-6)


def test_any_backbone_with_the_mlp_head():
    network = HashNetwork(torch.nn.Linear(10, 7), mlp_head(7, 24, hidden=16))
    assert network(torch.randn(3, 10)).shape == (3, 24)
    assert network.feature_size == 7


def test_the_global_seed_decides_the_weights():
    def weights(seed):
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in build_network(NetworkConfig(), (4,), 8).parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_a_copy_is_a_network_of_its_own():
    network = build_network(NetworkConfig(trainable="head", dropout=0.5, widths=(8, 8)), (4,), 8)
    other = copy.deepcopy(network).train()
    assert [module.training for module in network.modules()] == [module.training for module in other.modules()]
    assert not ({id(module) for module in other._frozen} & {id(module) for module in network.modules()})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NetworkConfig("vgg"), "NetworkConfig: backbone must be one of .*'mlp'.* got 'vgg'"),
        (lambda: NetworkConfig("timm/"), "NetworkConfig: backbone must be one of .* got 'timm/'"),
        (lambda: NetworkConfig(head="conv"), "NetworkConfig: head must be one of .* got 'conv'"),
        (lambda: NetworkConfig(relaxation="relu"), "NetworkConfig: relaxation must be one of .* got 'relu'"),
        (lambda: NetworkConfig(straight_through="on"), "NetworkConfig: straight_through must be one of .* got 'on'"),
        (lambda: NetworkConfig(dropout=1.0), r"NetworkConfig: dropout must lie in \[0, 1\), got 1.0"),
        (lambda: NetworkConfig(widths=(8, 0)), r"NetworkConfig: widths must be >= 1, got \(8, 0\)"),
        (lambda: NetworkConfig(stride=3), "NetworkConfig: stride must be 1 or 2, got 3"),
        (lambda: SmallCNN(1, (8,), stride=0), "SmallCNN: stride must be 1 or 2, got 0"),
        (lambda: NetworkConfig(hidden=0), "NetworkConfig: hidden must be >= 1, got 0"),
        (lambda: NetworkConfig(image_size=0), "NetworkConfig: image_size must be >= 1, got 0"),
        (lambda: NetworkConfig(trainable="last:0"), "NetworkConfig: trainable must be .* got 'last:0'"),
        (lambda: NetworkConfig(weights="download:DEFAULT"), "NetworkConfig: weights of 'mlp' must be a local file"),
        (lambda: build_network(NetworkConfig("cnn", (8,)), (4,), 8), r"build_network: shape of \"cnn\" .* got \(4,\)"),
        (
            lambda: build_network(NetworkConfig("mobilenet_v2"), (1, 28, 28), 8),
            r"build_network: shape of \"mobilenet_v2\" must be \(3, height, width\), got \(1, 28, 28\)",
        ),
        (lambda: SmallCNN(1, (12,)), r"SmallCNN: widths must be multiples of 8, at least one, got \(12,\)"),
        (lambda: mlp_backbone((4,), ()), "mlp_backbone: hidden must name at least one layer"),
        (
            lambda: HashNetwork(torch.nn.Flatten(), torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Tanh())),
            "HashNetwork: head must end before the relaxation",
        ),
        (
            lambda: HashNetwork(torch.nn.Flatten(), linear_head(4, 2), relaxation="relu"),
            "relax: relaxation must be one of .* got 'relu'",
        ),
        (
            lambda: HashNetwork(torch.nn.Flatten(), torch.nn.Identity()).feature_size,
            r"HashNetwork\.feature_size: head must have a linear layer",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
