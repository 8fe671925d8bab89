"""From feature vectors to relaxed codes in (-1, 1)."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn


def linear_head(features: int, bits: int) -> nn.Sequential:
    """Linear and tanh: (n, features) -> (n, bits) in (-1, 1)."""
    return nn.Sequential(nn.Linear(features, bits), nn.Tanh())


def mlp_head(features: int, bits: int, *, hidden: int = 512) -> nn.Sequential:
    """One hidden layer of rectified units, then linear and tanh: (n, features) -> (n, bits) in (-1, 1)."""
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), *linear_head(hidden, bits))


class HashNetwork(nn.Module):
    """Any backbone to a feature vector, and a head to relaxed codes.

    Args:
        backbone: (n, ...) -> (n, features).
        head: (n, features) -> (n, bits) in (-1, 1).

    Example:
        >>> import torch
        >>> from fasthash.networks import HashNetwork, linear_head
        >>> network = HashNetwork(torch.nn.Flatten(), linear_head(64, bits=48))
        >>> network(torch.randn(5, 1, 8, 8)).shape
        torch.Size([5, 48])
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """(n, ...) -> relaxed codes (n, bits)."""
        return cast(Tensor, self.head(self.backbone(x)))
