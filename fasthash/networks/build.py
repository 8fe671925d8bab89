"""A small hash network from a few numbers, so that a run folder can rebuild its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from fasthash.networks.backbones import SmallCNN, mlp_backbone
from fasthash.networks.heads import HashNetwork, linear_head


@dataclass(frozen=True)
class NetworkConfig:
    """A backbone by name with a linear head.

    Attributes:
        backbone: "mlp" for items of any shape, "cnn" for images (channels, height, width).
        widths: of the layers ("mlp") or blocks ("cnn").
        dropout: after each layer ("mlp") or on the features ("cnn").
    """

    backbone: Literal["mlp", "cnn"] = "mlp"
    widths: tuple[int, ...] = (512,)
    dropout: float = 0.0


def build_network(config: NetworkConfig, shape: tuple[int, ...], bits: int) -> HashNetwork:
    """The network of a config for items of this shape; weights come from torch's global generator.

    Args:
        config: what to build.
        shape: of one item.
        bits: outputs.

    Returns:
        A network (n, *shape) -> (n, bits) in (-1, 1).

    Raises:
        ValueError: an unknown backbone, widths it cannot take, or images asked of items that are none.

    Example:
        >>> import torch
        >>> from fasthash.networks import NetworkConfig, build_network
        >>> network = build_network(NetworkConfig("cnn", widths=(16, 32)), shape=(1, 8, 8), bits=48)
        >>> network(torch.randn(5, 1, 8, 8)).shape
        torch.Size([5, 48])
    """
    backbone: nn.Module
    if config.backbone == "mlp":
        backbone, features = mlp_backbone(shape, config.widths, dropout=config.dropout), config.widths[-1]
    elif config.backbone == "cnn":
        if len(shape) != 3:
            raise ValueError(f'build_network: shape of "cnn" must be (channels, height, width), got {shape}')
        cnn = SmallCNN(shape[0], config.widths, dropout=config.dropout)
        backbone, features = cnn, cnn.features
    else:
        raise ValueError(f'build_network: config.backbone must be "mlp" or "cnn", got {config.backbone!r}')
    return HashNetwork(backbone, linear_head(features, bits))
