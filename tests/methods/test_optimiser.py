import math

import pytest
import torch

from fasthash.methods import OptimiserConfig
from fasthash.networks import NetworkConfig, build_network

SSDH = {"kind": "sgd", "lr": 1e-4, "weight_decay": 5e-4, "bias_factor": 2.0, "schedule": "step", "step": 30_000}


def settings(config, network, *others):
    """Rate and decay of each parameter."""
    groups = config.build(network, *others).param_groups
    return {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}


def test_backbone_and_head_have_their_own_rates():
    config = OptimiserConfig(lr=1e-3, backbone_lr=1e-5)
    network, other = build_network(NetworkConfig("mlp", (16,)), (6,), 12), torch.nn.Linear(16, 3)
    found = settings(config, network, other)
    assert {found[id(p)] for p in network.head.parameters()} == {(1e-3, 0.01)}
    assert {found[id(p)] for p in network.backbone.parameters()} == {(1e-5, 0.01)}
    assert {found[id(p)] for p in other.parameters()} == {(1e-3, 0.01)}
    assert len(config.build(torch.nn.Linear(2, 2)).param_groups) == 1


def test_sgd_of_the_release_decays_weights_only_and_moves_biases_twice_as_fast():
    network = build_network(NetworkConfig("cnn", (8,)), (1, 8, 8), 12)
    found = settings(OptimiserConfig(**SSDH, backbone_lr=1e-5), network)
    for name, parameter in network.named_parameters():
        lr = 1e-5 if name.startswith("backbone") else 1e-4
        assert found[id(parameter)] == ((lr, 5e-4) if parameter.ndim > 1 else (2 * lr, 0.0)), name
    assert OptimiserConfig(**SSDH).build(network).defaults["momentum"] == 0.9


def test_sgd_decays_all_parameters_if_asked():
    network = torch.nn.Linear(2, 2)
    found = settings(OptimiserConfig("sgd", lr=0.1, weight_decay=0.5, decay_all=True), network)
    assert {found[id(p)] for p in network.parameters()} == {(0.1, 0.5)}


def test_adamw_has_its_eps():
    layer = torch.nn.Linear(1, 1)
    assert OptimiserConfig().build(layer).defaults["eps"] == 1e-8
    assert OptimiserConfig(eps=1.0).build(layer).defaults["eps"] == 1
    with pytest.raises(ValueError, match=r"OptimiserConfig: eps must be > 0 and finite, got 0\.0"):
        OptimiserConfig(eps=0.0)


def test_sgd_by_hand():
    layer = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(layer.weight, 2.0)
    torch.nn.init.constant_(layer.bias, 1.0)
    optimiser = OptimiserConfig(kind="sgd", lr=0.1, weight_decay=0.5, momentum=0.5, bias_factor=2.0).build(layer)
    for _ in range(2):
        optimiser.zero_grad()
        layer(torch.ones(1, 1)).sum().backward()
        optimiser.step()
    # Gradients of the weight: 1 + 0.5 * 2 = 2, then 1 + 0.5 * 1.8 = 1.9 plus half of the first.
    assert layer.weight.item() == pytest.approx(2 - 0.1 * 2 - 0.1 * (1.9 + 1))
    assert layer.bias.item() == pytest.approx(1 - 0.2 * 1 - 0.2 * (1 + 0.5))


def test_schedules():
    def rates(length=4, **options):
        return [OptimiserConfig(**options).rate(step, length) for step in range(length)]

    assert rates(schedule="constant") == [1.0] * 4
    assert rates(schedule="linear") == [1.0, 0.75, 0.5, 0.25]
    assert rates(schedule="cosine") == pytest.approx([1.0, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125)])
    assert rates(length=6, schedule="step", step=2) == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert rates(length=6, schedule="constant", warmup=4) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert rates(schedule="linear", warmup=2) == [0.5, 0.75, 0.5, 0.25]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "adam"}, r"kind must be one of \('adamw', 'sgd'\), got 'adam'"),
        ({"schedule": "plateau"}, "schedule must be one of .*'linear'.*, got 'plateau'"),
        ({"lr": -1.0}, "lr must be >= 0 and finite, got -1.0"),
        ({"backbone_lr": math.nan}, "backbone_lr must be >= 0 and finite, got nan"),
        ({"weight_decay": math.inf}, "weight_decay must be >= 0 and finite, got inf"),
        ({"step": 0}, "step must be >= 1 and finite, got 0"),
        ({"warmup": -1}, "warmup must be >= 0 and finite, got -1"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\), got 1.0"),
    ],
)
def test_errors_come_when_options_are_made(options, message):
    with pytest.raises(ValueError, match=f"OptimiserConfig: {message}"):
        OptimiserConfig(**options)


def test_nothing_to_train_is_refused():
    with pytest.raises(ValueError, match=r"OptimiserConfig\.build: network must have a trainable parameter"):
        OptimiserConfig().build(torch.nn.Linear(2, 2).requires_grad_(False))
