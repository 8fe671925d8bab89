"""What the methods in closed form share: codes are signs of a linear map of the features, found without gradients."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from fasthash.data import ItemSpec, TrainingSet
from fasthash.methods.method import Method
from fasthash.methods.plan import Cursor, Plan, Stage
from fasthash.methods.state import State
from fasthash.networks import HashNetwork, NetworkConfig

BLOCK = 1024


@dataclass(frozen=True)
class LinearMethod(Method):
    """Base of methods that set the linear head of a network whose backbone stays as it is.

    The items are read a block at a time, labels never.

    Attributes:
        network: its backbone gives the features: "identity" for the items themselves, or a pretrained one.

    Raises:
        TypeError: bits that are no whole number.
        ValueError: bits below 1, or a head that is not linear.
    """

    network: NetworkConfig = field(default_factory=lambda: NetworkConfig("identity", relaxation="none"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network.head != "linear":
            raise ValueError(f'{type(self).__name__}: network.head must be "linear", got {self.network.head!r}')

    def modules(self, network: nn.Module, items: ItemSpec) -> dict[str, nn.Module]:
        """The network alone.

        Raises:
            TypeError: a network of the caller's that is no `HashNetwork` with a linear head.
        """
        if not isinstance(network, HashNetwork) or [type(m) for m in _layers(network.head)] != [nn.Linear]:
            raise TypeError(
                f"{type(self).__name__}: network must be a HashNetwork with a linear head, got {type(network).__name__}"
            )
        return {"student": network}

    def encoder(self, modules: dict[str, nn.Module]) -> nn.Module:
        """The network."""
        return modules["student"]

    def plan(self, data: TrainingSet, seed: int) -> Plan:
        """One stage, named after the method, in closed form."""

        def run(state: State, cursor: Cursor) -> None:
            with torch.no_grad():
                self.solve(state)

        return [Stage(self.name, run=run)]

    @abstractmethod
    def solve(self, state: State) -> None:
        """Set the head of the network; called without gradients."""


def _layers(head: nn.Module) -> list[nn.Module]:
    return list(head) if isinstance(head, nn.Sequential) else [head]


def feature_blocks(state: State) -> Iterator[Tensor]:
    """Features of all items in their plain view, a block at a time: float64 (b, features) on the run's device."""
    network = cast(HashNetwork, state.modules["student"]).eval()
    for x in state.data.blocks(size=BLOCK):
        yield network.features(x.to(state.device)).double()


def set_head(state: State, directions: Tensor, mean: Tensor) -> None:
    """Let the network's logits be (f - mean) . directions: directions (features, bits), mean (features,)."""
    network = cast(HashNetwork, state.modules["student"])
    linear = cast(nn.Linear, _layers(network.head)[0])
    linear.weight.copy_(directions.T)
    linear.bias.copy_(-mean @ directions)


def feature_mean(state: State) -> Tensor:
    """Mean of the features of all items, float64 (features,)."""
    total = torch.zeros(cast(HashNetwork, state.modules["student"]).feature_size, dtype=torch.float64)
    total = total.to(state.device)
    for block in feature_blocks(state):
        total += block.sum(0)
    return total / max(len(state.data), 1)


def principal_directions(state: State, bits: int, name: str) -> tuple[Tensor, Tensor]:
    """The first principal directions of the features of all items, in one pass and float64.

    Args:
        state: of the run.
        bits: how many.
        name: of the method, for the message.

    Returns:
        directions (features, bits), orthonormal, by falling variance, each with its largest component positive; and
        the mean (features,).

    Raises:
        ValueError: the features vary in fewer directions.
    """
    shift = first = second = torch.zeros(())
    for number, block in enumerate(feature_blocks(state)):
        if number == 0:
            # About the mean: sums of squares far from it would lose their digits.
            shift = block.mean(0)
            first, second = torch.zeros_like(shift), torch.zeros_like(shift).expand(len(shift), -1).clone()
        block = block - shift
        first, second = first + block.sum(0), second.addmm_(block.T, block)
    items = max(len(state.data), 1)
    offset = first / items
    values, vectors = torch.linalg.eigh(second / items - offset.outer(offset))
    varying = int((values > len(values) * torch.finfo(values.dtype).eps * values[-1].clamp(min=1e-300)).sum())
    if varying < bits:
        raise ValueError(f"{name}: bits must be at most {varying}, the directions in which features vary, got {bits}")
    directions = vectors.flip(1)[:, :bits]
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    return directions * largest.sign(), shift + offset
