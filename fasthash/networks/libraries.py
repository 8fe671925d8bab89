"""Backbones of torchvision and timm by name, without their classifiers; imported only when asked for."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

# What torchvision's weights were trained with; timm's models name their own.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ImageBackbone(nn.Module):
    """A model behind the scaling of its images: (n, 3, h, w) in [0, 1] -> (n, features).

    Args:
        model: (n, 3, size, size), normalised -> (n, features).
        size: side to which images are scaled bilinearly; None = taken as they come.
        mean: of each channel, subtracted.
        std: of each channel, divided by.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, model: nn.Module, *, size: int | None, mean: tuple[float, ...] = _MEAN, std: tuple[float, ...] = _STD
    ) -> None:
        super().__init__()
        self.model, self.size = model, size
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def extra_repr(self) -> str:
        """What no layer shows."""
        return f"size={self.size}"

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) in [0, 1] -> (n, features)."""
        if self.size is not None and x.shape[-2:] != (self.size, self.size):
            x = interpolate(x, (self.size, self.size), mode="bilinear", align_corners=False, antialias=True)
        return cast(Tensor, self.model((x - self.mean) / self.std))


def torchvision_backbone(name: str, *, size: int | None = 224, download: str | None = None) -> tuple[nn.Module, str]:
    """A classifier of torchvision up to what its last linear layer takes (for VGG and AlexNet: fc7).

    Args:
        name: what `torchvision.models.get_model` knows.
        size: side to which images are scaled.
        download: weights by torchvision's name, such as "DEFAULT", which torchvision downloads; None = drawn at random.

    Returns:
        The backbone, and the name that the classifier's weights begin with in a state dict of the whole model.

    Raises:
        ImportError: torchvision is missing.
        ValueError: no such model, or one that ends in no linear layer, or in several (GoogLeNet, Inception).
    """
    try:
        from torchvision import models
    except ImportError as error:
        raise ImportError("torchvision_backbone: needs torchvision; pip install 'fasthash[vision]'") from error
    if name not in models.list_models(module=models):
        known = models.list_models(module=models)
        raise ValueError(f"torchvision_backbone: name must be one of {known}, got {name!r}")
    model = models.get_model(name, weights=download)
    linear = [(path, module) for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear or getattr(model, "aux_logits", False):
        raise ValueError(f"torchvision_backbone: name must be of a model that ends in one linear layer, got {name!r}")
    path = linear[-1][0]
    parent, _, child = path.rpartition(".")
    setattr(model.get_submodule(parent), child, nn.Identity())
    return ImageBackbone(model, size=size), f"{path}."


def timm_backbone(name: str, *, size: int | None = 224, download: bool = False) -> tuple[nn.Module, str]:
    """A model of timm without its classifier, with the mean and deviation that timm names for it.

    Args:
        name: what `timm.create_model` knows, with a tag of weights or without.
        size: side to which images are scaled.
        download: let timm download the weights; otherwise they are drawn at random.

    Returns:
        The backbone, and the name that the classifier's weights begin with in a state dict of the whole model.

    Raises:
        ImportError: timm is missing.
        ValueError: no such model.
    """
    try:
        import timm
    except ImportError as error:
        raise ImportError("timm_backbone: needs timm; pip install timm") from error
    if not timm.is_model(name):
        raise ValueError(f"timm_backbone: name must be one of timm.list_models(), got {name!r}")
    model: Any = timm.create_model(name, pretrained=download, num_classes=0)
    config = model.pretrained_cfg
    backbone = ImageBackbone(
        model, size=size, mean=tuple(config.get("mean", _MEAN)), std=tuple(config.get("std", _STD))
    )
    classifier = config.get("classifier")
    return backbone, f"{classifier}." if isinstance(classifier, str) else "head."
