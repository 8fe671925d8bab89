"""Small backbones for features and small images."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import cast

from torch import Tensor, nn


def mlp_backbone(shape: tuple[int, ...], hidden: tuple[int, ...] = (512,), *, dropout: float = 0.0) -> nn.Sequential:
    """Items of any shape, flattened, through layers of rectified units: (n, *shape) -> (n, hidden[-1]).

    Args:
        shape: of one item.
        hidden: width of each layer, at least one.
        dropout: after each layer.

    Raises:
        ValueError: no layer.
    """
    if not hidden:
        raise ValueError("mlp_backbone: hidden must name at least one layer, got ()")
    layers: list[nn.Module] = [nn.Flatten()]
    for narrow, wide in pairwise((math.prod(shape), *hidden)):
        layers += [nn.Linear(narrow, wide), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


class SmallCNN(nn.Module):
    """Blocks of two 3 x 3 convolutions with halvings between, averaged to a grid: (n, c, h, w) -> (n, features).

    Group normalisation: it has no running statistics, so a batch's other items never matter.

    Args:
        channels: of the images.
        widths: channels of each block, multiples of 8.
        stride: of the first convolution; 2 makes it 4 x 4 and quarters the cost of all others.
        grid: side of the grid to which the last block's places are averaged; features = widths[-1] * grid * grid.
        dropout: on the features.

    Raises:
        ValueError: no block, a width that is not a multiple of 8, or another stride.

    Example:
        >>> import torch
        >>> from fasthash.networks import SmallCNN
        >>> SmallCNN(1, (16, 32))(torch.randn(5, 1, 8, 8)).shape
        torch.Size([5, 512])
    """

    def __init__(
        self,
        channels: int,
        widths: tuple[int, ...] = (32, 64),
        *,
        stride: int = 1,
        grid: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not widths or any(width < 8 or width % 8 for width in widths):
            raise ValueError(f"SmallCNN: widths must be multiples of 8, at least one, got {widths}")
        if stride not in (1, 2):
            raise ValueError(f"SmallCNN: stride must be 1 or 2, got {stride}")
        layers: list[nn.Module] = []
        for block, (narrow, wide) in enumerate(pairwise((channels, *widths))):
            if block:
                layers.append(nn.MaxPool2d(2))
            for inputs in (narrow, wide):
                layers += [nn.Conv2d(inputs, wide, 3, padding=1), nn.GroupNorm(8, wide), nn.ReLU()]
        if stride == 2:
            layers[0] = nn.Conv2d(channels, widths[0], 4, stride=2, padding=1)
        self.features = widths[-1] * grid * grid
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(grid), nn.Flatten(), nn.Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, height, width) -> (n, features)."""
        return cast(Tensor, self.layers(x))
