"""A hash network from a few numbers, so that a run folder can rebuild its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from fasthash.networks.backbones import SmallCNN, mlp_backbone
from fasthash.networks.freezing import freeze, trainable_units
from fasthash.networks.heads import (
    ACTIVATIONS,
    RELAXATIONS,
    STRAIGHT_THROUGH,
    Activation,
    HashNetwork,
    Relaxation,
    StraightThrough,
    linear_head,
    mlp_head,
)
from fasthash.networks.libraries import ImageBackbone, timm_backbone, torchvision_backbone
from fasthash.networks.mobilenet import MobileNetV2
from fasthash.networks.weights import load_weights

_OWN = ("mlp", "cnn", "identity", "mobilenet_v2")
_LIBRARIES = ("torchvision/", "timm/")
DOWNLOAD = "download:"


@dataclass(frozen=True)
class NetworkConfig:
    """A backbone by name, a head, and what of them is trained.

    Attributes:
        backbone: "mlp" and "identity" (flattened items) for items of any shape; "cnn", "mobilenet_v2",
            "torchvision/NAME" and "timm/NAME" for images (channels, height, width) in [0, 1].
        widths: of the layers ("mlp") or blocks ("cnn"); () = (512,) and (32, 64).
        stride: of the first convolution of "cnn", 1 or 2; 2 is for images of 28 pixels and more on a CPU.
        dropout: after each layer ("mlp") or on the features (all others).
        head: "linear", or "mlp" with one hidden layer.
        hidden: units of that layer.
        activation: of that layer, "relu" or "tanh".
        relaxation: of the logits: "tanh", "sigmoid" or "none".
        straight_through: hand the losses codes, with this gradient: "identity" or "clipped", see `relax`.
        weights: of the backbone: a local file (a state dict as .safetensors or of torch.save; for "mobilenet_v2" also
            the arrays of `MobileNetV2.load_arrays` as .npz); or "download:NAME", which lets torchvision or timm
            download weights ("download:DEFAULT"). None = drawn at random.
        trainable: "all", "head", or "last:N" = the head and the last N parts of the backbone, see `freeze`.
        image_size: side to which "mobilenet_v2", "torchvision/NAME" and "timm/NAME" scale images; None = as they come.

    Raises:
        ValueError: an unknown name, or a number out of range.
    """

    backbone: str = "mlp"
    widths: tuple[int, ...] = ()
    stride: int = 1
    dropout: float = 0.0
    head: Literal["linear", "mlp"] = "linear"
    hidden: int = 512
    activation: Activation = "relu"
    relaxation: Relaxation = "tanh"
    straight_through: StraightThrough | None = None
    weights: str | None = None
    trainable: str = "all"
    image_size: int | None = 224

    def __post_init__(self) -> None:
        if self.backbone not in _OWN and not any(
            self.backbone.startswith(name) and self.backbone != name for name in _LIBRARIES
        ):
            raise ValueError(
                f'NetworkConfig: backbone must be one of {_OWN}, "torchvision/NAME" or "timm/NAME", '
                f"got {self.backbone!r}"
            )
        choices: dict[str, tuple[str | None, ...]] = {
            "head": ("linear", "mlp"),
            "activation": ACTIVATIONS,
            "relaxation": RELAXATIONS,
            "straight_through": (None, *STRAIGHT_THROUGH),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(f"NetworkConfig: {name} must be one of {known}, got {getattr(self, name)!r}")
        if self.stride not in (1, 2):
            raise ValueError(f"NetworkConfig: stride must be 1 or 2, got {self.stride!r}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"NetworkConfig: dropout must lie in [0, 1), got {self.dropout}")
        size = 1 if self.image_size is None else self.image_size
        for name, counts in {"widths": self.widths, "hidden": (self.hidden,), "image_size": (size,)}.items():
            if any(count < 1 for count in counts):
                raise ValueError(f"NetworkConfig: {name} must be >= 1, got {getattr(self, name)}")
        trainable_units(self.trainable)
        if (self.weights or "").startswith(DOWNLOAD) and not self.backbone.startswith(_LIBRARIES):
            raise ValueError(f"NetworkConfig: weights of {self.backbone!r} must be a local file, got {self.weights!r}")

    @property
    def weights_file(self) -> str | None:
        """The local file that `weights` names; None = it names none."""
        return None if self.weights is None or self.weights.startswith(DOWNLOAD) else self.weights


def build_network(config: NetworkConfig, shape: tuple[int, ...], bits: int, *, pretrained: bool = True) -> HashNetwork:
    """The network of a config for items of this shape; weights come from torch's global generator, or from a file.

    Args:
        config: what to build.
        shape: of one item.
        bits: outputs.
        pretrained: False leaves config.weights alone: for a network whose weights are set afterwards.

    Returns:
        A network (n, *shape) -> (n, bits).

    Raises:
        FileNotFoundError: no file config.weights.
        ImportError: the backbone's library is missing.
        ValueError: an unknown backbone, widths it cannot take, weights that do not fit it, or images asked of items
            that are none.

    Example:
        >>> import torch
        >>> from fasthash.networks import NetworkConfig, build_network
        >>> network = build_network(NetworkConfig("cnn", widths=(16, 32)), shape=(1, 8, 8), bits=48)
        >>> network(torch.randn(5, 1, 8, 8)).shape
        torch.Size([5, 48])
    """
    backbone = _build_backbone(config, shape, config.weights if pretrained else None)
    size = _feature_size(backbone, shape)
    head = (
        linear_head(size, bits)
        if config.head == "linear"
        else mlp_head(size, bits, hidden=config.hidden, activation=config.activation)
    )
    network = HashNetwork(backbone, head, relaxation=config.relaxation, straight_through=config.straight_through)
    return freeze(network, config.trainable)


def _build_backbone(config: NetworkConfig, shape: tuple[int, ...], weights: str | None) -> nn.Module:
    name = config.backbone
    if name not in ("mlp", "identity") and len(shape) != 3:
        raise ValueError(f'build_network: shape of "{name}" must be (channels, height, width), got {shape}')
    if name not in ("mlp", "identity") and shape[2] in (1, 3) and shape[0] not in (1, 3):
        raise ValueError(
            f'build_network: shape of "{name}" must be (channels, height, width), got {shape}; images that lie as '
            "(height, width, channels) are read with channels_last=True"
        )
    if name not in ("mlp", "identity", "cnn") and shape[0] != 3:
        raise ValueError(f'build_network: shape of "{name}" must be (3, height, width), got {shape}')
    download = weights[len(DOWNLOAD) :] if weights is not None and weights.startswith(DOWNLOAD) else None
    file = weights if download is None else None
    backbone: nn.Module
    ignored = None
    if name == "mlp":
        backbone = mlp_backbone(shape, config.widths or (512,), dropout=config.dropout)
    elif name == "cnn":
        backbone = SmallCNN(shape[0], config.widths or (32, 64), stride=config.stride, dropout=config.dropout)
    elif name == "identity":
        backbone = nn.Flatten()
    elif name == "mobilenet_v2":
        backbone = MobileNetV2(size=config.image_size)
        if file is not None and file.endswith(".npz"):
            backbone.load_arrays(file)
            file = None
    elif name.startswith("torchvision/"):
        backbone, ignored = torchvision_backbone(name.partition("/")[2], size=config.image_size, download=download)
    else:
        model, tag = name.partition("/")[2], download not in (None, "DEFAULT")
        backbone, ignored = timm_backbone(
            f"{model}.{download}" if tag else model, size=config.image_size, download=download is not None
        )
    if file is not None:
        load_weights(backbone.model if isinstance(backbone, ImageBackbone) else backbone, file, ignored=ignored)
    if config.dropout and name not in ("mlp", "cnn"):
        backbone = nn.Sequential(backbone, nn.Dropout(config.dropout))
    return backbone


@torch.no_grad()
def _feature_size(backbone: nn.Module, shape: tuple[int, ...]) -> int:
    """What a backbone gives for one item: the only thing that all libraries agree on."""
    features: tuple[int, ...] = tuple(backbone.eval()(torch.zeros(1, *shape)).shape)
    backbone.train()
    if len(features) != 2:
        raise ValueError(f"build_network: backbone must give (n, features), got {features} for one item")
    return features[1]
