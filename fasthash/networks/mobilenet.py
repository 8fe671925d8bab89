"""MobileNetV2 with folded batch norm, from plain arrays: a pretrained backbone without torchvision."""

from __future__ import annotations

import os
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

# Blocks of the paper's table 2 at width 1.0: expansion, channels out, repeats, stride of the first.
_BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's 'SAME' padding: with stride 2 an even side is padded right and bottom only."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        # A kernel that is not strided pads alike on both sides, which the convolution does itself.
        super().__init__(inputs, outputs, kernel, stride, padding=kernel // 2 if stride == 1 else 0, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, ceil(h / stride), ceil(w / stride))."""
        if self.stride[0] > 1:
            missing = [
                max((-(-side // step) - 1) * step + size - side, 0)
                for side, step, size in zip(x.shape[:1:-1], self.stride[::-1], self.kernel_size[::-1], strict=True)
            ]
            x = pad(x, [part for total in missing for part in (total // 2, total - total // 2)])
        return super().forward(x)


class _Block(nn.Module):
    """Inverted residual: expand, depthwise, project; the input is added where shapes allow."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        expand = [SameConv(inputs, wide, 1), nn.ReLU6()] if expansion > 1 else []
        depthwise = [SameConv(wide, wide, 3, stride=stride, groups=wide), nn.ReLU6()]
        self.layers = nn.Sequential(*expand, *depthwise, SameConv(wide, outputs, 1))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = cast(Tensor, self.layers(x))
        return x + y if self.residual else y


class MobileNetV2(nn.Module):
    """MobileNetV2 1.0 up to its pooled features: images (n, 3, h, w) in [0, 1] -> (n, 1280).

    Source: Sandler, Howard, Zhu, Zhmoginov and Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR
    2018, table 2, with batch norm folded into the convolutions: no running statistics, so a batch's other items never
    matter. Images are scaled to `size` bilinearly (half-pixel centres) and to [-1, 1] inside. Made for weights that
    were trained with batch norm: drawn at random, a network this deep without normalisation hardly learns.

    Args:
        size: side to which images are scaled; None = taken as they come.

    Attributes:
        features: 1280.

    Example:
        >>> import torch
        >>> from fasthash.networks import MobileNetV2
        >>> MobileNetV2(size=64)(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 1280])
    """

    features = 1280

    def __init__(self, *, size: int | None = 224) -> None:
        super().__init__()
        self.size = size
        self.stem = nn.Sequential(SameConv(3, 32, 3, stride=2), nn.ReLU6())
        blocks: list[nn.Module] = []
        inputs = 32
        for expansion, outputs, repeats, stride in _BLOCKS:
            for repeat in range(repeats):
                blocks.append(_Block(inputs, outputs, expansion, stride if repeat == 0 else 1))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Sequential(SameConv(inputs, self.features, 1), nn.ReLU6())
        # Depthwise convolutions are twice as fast in this order on a CPU.
        for parameter in self.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def extra_repr(self) -> str:
        """What no layer shows."""
        return f"size={self.size}"

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) in [0, 1] -> (n, 1280)."""
        if self.size is not None and x.shape[-2:] != (self.size, self.size):
            x = interpolate(x, (self.size, self.size), mode="bilinear", align_corners=False)
        x = (2 * x - 1).contiguous(memory_format=torch.channels_last)
        return cast(Tensor, self.last(self.blocks(self.stem(x)))).mean((2, 3))

    @torch.no_grad()
    def load_arrays(self, path: str | os.PathLike[str]) -> MobileNetV2:
        """Take weights from an .npz of `NN.weight` (OIHW) and `NN.bias`, NN = 00 to 51 in the order of execution.

        Arrays beyond these, such as a classifier 52, are left alone.

        Raises:
            FileNotFoundError: no such file.
            ValueError: an array is missing or has another shape.
        """
        convolutions = [module for module in self.modules() if isinstance(module, nn.Conv2d)]
        found: list[tuple[nn.Parameter, Tensor]] = []
        with np.load(path) as arrays:
            for number, convolution in enumerate(convolutions):
                for name, parameter in convolution.named_parameters():
                    key = f"{number:02d}.{name}"
                    array = arrays.get(key)
                    if array is None or array.shape != tuple(parameter.shape):
                        raise ValueError(
                            f"MobileNetV2.load_arrays: {key} of {os.fspath(path)!r} must have shape "
                            f"{tuple(parameter.shape)}, got {'nothing' if array is None else array.shape}"
                        )
                    found.append((parameter, torch.from_numpy(array)))
        # Only now, so that a file that does not fit changes nothing.
        for parameter, tensor in found:
            parameter.copy_(tensor)
        return self
