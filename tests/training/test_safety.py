"""Ways in which a run could be lost, or be another one than it seems."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fasthash import methods
from fasthash.data import TrainingSet
from fasthash.networks import HashNetwork, linear_head, mlp_backbone
from fasthash.training import Config, Hasher, Silent, fit, load

SMALL = {"bits": 12, "epochs": 4, "batch_size": 16, "labelled": 8}


def items(seed: int = 0) -> TrainingSet:
    x = torch.randn(60, 10, generator=torch.Generator().manual_seed(seed))
    return TrainingSet(x, torch.arange(60) % 3, labelled=range(20), unlabelled=range(20, 60))


def train(folder: Path, network: nn.Module | None = None, **options: object) -> None:
    config = Config(str(folder), accelerator="cpu", **options)
    fit(methods.create("pts3h", **SMALL), items(), config, network=network, progress=Silent())


def test_a_frozen_backbone_stays_as_it_is(tmp_path: Path) -> None:
    network = HashNetwork(mlp_backbone((10,), (16,)), linear_head(16, 12))
    network.backbone.requires_grad_(False)
    network.backbone.eval()
    before = [p.clone() for p in network.backbone.parameters()]
    head = [p.clone() for p in network.head.parameters()]
    train(tmp_path / "run", network)
    assert all(torch.equal(a, b) for a, b in zip(before, network.backbone.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(head, network.head.parameters(), strict=True))
    assert not network.backbone.training


def test_tied_weights_are_saved(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(10, 10)
            self.second = nn.Linear(10, 10)
            self.second.weight = self.first.weight
            self.last = nn.Linear(10, 12)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.second(self.first(x))).tanh()

    train(tmp_path / "run", Tied())
    assert load(tmp_path / "run", network=Tied()).encode(torch.randn(3, 10)).shape == (3, 2)


def test_other_data_or_precision_is_not_resumed(tmp_path: Path) -> None:
    train(tmp_path / "run")
    config = Config(str(tmp_path / "run"), accelerator="cpu", resume=True)
    with pytest.raises(ValueError, match=r"items\.digest must be"):
        fit(methods.create("pts3h", **SMALL), items(seed=1), config, progress=Silent())
    other = dataclasses.replace(config, precision="bf16-mixed")
    with pytest.raises(ValueError, match=r"training\.precision must be 32, got bf16-mixed"):
        fit(methods.create("pts3h", **SMALL), items(), other, progress=Silent())


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoints"])
def test_a_folder_with_something_of_a_run_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir() if name == "checkpoints" else (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match=name):
        train(tmp_path)


def test_weights_that_are_no_numbers_are_not_saved(tmp_path: Path) -> None:
    network = HashNetwork(mlp_backbone((10,), (16,)), linear_head(16, 12))
    with torch.no_grad():
        next(network.head.parameters()).fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="fit: "):
        train(tmp_path / "run", network, checkpoint_every=1)
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


def test_a_network_of_another_width_makes_no_codes() -> None:
    with pytest.raises(ValueError, match=r"Hasher.encode: network: expected outputs \(3, 16\), got \(3, 8\)"):
        Hasher(nn.Linear(4, 8), 16).encode(np.zeros((3, 4), dtype=np.float32))


def test_codes_may_be_changed() -> None:
    codes = Hasher(nn.Linear(4, 8), 8).encode(torch.randn(3, 4))
    codes[0] = 0
    assert codes[0, 0] == 0
