import pytest
import torch

from fasthash.methods import OptimiserConfig
from fasthash.networks import HashNetwork, MobileNetV2, NetworkConfig, SmallCNN, build_network, freeze, linear_head
from fasthash.networks.freezing import backbone_units


def trained(network):
    return [name for name, weight in network.named_parameters() if weight.requires_grad]


def with_batch_norm():
    """Two convolutions with batch norm, dropout inside and behind."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3),
        torch.nn.BatchNorm2d(4),
        torch.nn.Dropout(0.5),
        torch.nn.Conv2d(4, 4, 3),
        torch.nn.BatchNorm2d(4),
        torch.nn.Flatten(),
        torch.nn.Dropout(0.5),
    )


def test_units_are_layers_and_blocks_in_order():
    kinds = [type(unit).__name__ for unit in backbone_units(SmallCNN(1, (8, 16)))]
    assert kinds[:4] == ["Conv2d", "GroupNorm", "ReLU", "Conv2d"]
    units = [unit for unit in backbone_units(MobileNetV2()) if list(unit.parameters())]
    assert len(units) == 19  # the stem, seventeen blocks, the last convolution
    assert backbone_units(torch.nn.Linear(4, 2))[0].out_features == 2


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        ("all", ["0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias", "4.weight", "4.bias"]),
        ("last:4", ["0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias", "4.weight", "4.bias"]),
        ("last:2", ["3.weight", "3.bias", "4.weight", "4.bias"]),
        ("last:1", ["4.weight", "4.bias"]),
        ("head", []),
    ],
)
def test_what_is_trained(trainable, expected):
    network = freeze(HashNetwork(with_batch_norm(), linear_head(64, 8)), trainable)
    assert trained(network) == [f"backbone.{name}" for name in expected] + ["head.0.weight", "head.0.bias"]
    groups = OptimiserConfig().build(network).param_groups
    assert {id(p) for group in groups for p in group["params"]} == {
        id(p) for p in network.parameters() if p.requires_grad
    }
    again = freeze(network, "all")
    assert all(weight.requires_grad for weight in again.parameters())
    assert all(module.training for module in again.train().modules())


def test_frozen_parts_never_change_and_stay_in_evaluation_mode():
    torch.manual_seed(0)
    network = freeze(HashNetwork(with_batch_norm(), linear_head(64, 8)), "last:1").train()
    modes = [module.training for module in network.backbone]
    assert modes == [False, False, False, False, True, True, True]  # batch norm 4 and the last dropout train
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimiser = OptimiserConfig(lr=0.1).build(network)
    for _ in range(3):
        optimiser.zero_grad()
        network(torch.randn(6, 1, 8, 8)).square().sum().backward()
        optimiser.step()
    changed = {
        name.split(".")[1] for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])
    }
    assert changed == {"4", "0"}  # head.0 and backbone.4
    assert torch.equal(network.state_dict()["backbone.0.weight"], before["backbone.0.weight"])
    assert torch.equal(network.state_dict()["backbone.1.running_mean"], before["backbone.1.running_mean"])
    assert not network.eval().training
    assert not network.backbone[6].training


def test_autograd_keeps_nothing_of_frozen_parts():
    network = freeze(HashNetwork(with_batch_norm(), linear_head(64, 8)), "head")
    assert not network.features(torch.randn(2, 1, 8, 8)).requires_grad
    assert network(torch.randn(2, 1, 8, 8)).requires_grad


def test_build_freezes_and_a_head_alone_is_trainable():
    network = build_network(NetworkConfig("mlp", (16, 8), trainable="last:1"), (4,), 12)
    assert trained(network) == ["backbone.4.weight", "backbone.4.bias", "head.0.weight", "head.0.bias"]
    assert trained(build_network(NetworkConfig("identity", trainable="head"), (4,), 12)) == [
        "head.0.weight",
        "head.0.bias",
    ]


def test_errors():
    network = HashNetwork(with_batch_norm(), linear_head(64, 8))
    with pytest.raises(ValueError, match="freeze: trainable must leave at most 4 units trainable, got 'last:5'"):
        freeze(network, "last:5")
    for wrong in ("none", "last", "last:0", "last:-1", "heads", "last:2 "):
        with pytest.raises(ValueError, match="trainable must be .*got '" + wrong):
            freeze(network, wrong)
