"""Random perturbations of a batch held as one tensor; every number comes from the generator that is passed in.

All functions keep shape and dtype unless they say otherwise, never write into their input, and draw for each item on
its own. The generator must live on the device of the batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

from fasthash.data.transforms import apply_transforms, check_transform


def _check_images(function: str, x: Tensor) -> None:
    if x.ndim != 4:
        raise ValueError(f"{function}: x must have shape (items, channels, height, width), got {tuple(x.shape)}")


def _integers(high: int, x: Tensor, generator: Generator) -> Tensor:
    return torch.randint(high, (len(x),), generator=generator, device=x.device)


def random_crop(x: Tensor, size: tuple[int, int], generator: Generator) -> Tensor:
    """A window (items, channels, *size) of each image, at a place of its own.

    Raises:
        ValueError: x not (items, channels, height, width), or size larger than the images.
    """
    _check_images("random_crop", x)
    height, width = size
    if not (0 < height <= x.shape[2] and 0 < width <= x.shape[3]):
        raise ValueError(f"random_crop: size must lie within {tuple(x.shape[2:])}, got {size}")
    top = _integers(x.shape[2] - height + 1, x, generator)
    left = _integers(x.shape[3] - width + 1, x, generator)
    rows = top[:, None] + torch.arange(height, device=x.device)
    columns = left[:, None] + torch.arange(width, device=x.device)
    items = torch.arange(len(x), device=x.device)[:, None, None]
    return x.permute(0, 2, 3, 1)[items, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def random_shift(x: Tensor, pixels: int, generator: Generator) -> Tensor:
    """Each image moved by up to `pixels` in both directions; zeros come in at the border.

    Raises:
        ValueError: x not (items, channels, height, width), or pixels negative.
    """
    _check_images("random_shift", x)
    if pixels < 0:
        raise ValueError(f"random_shift: pixels must be >= 0, got {pixels}")
    return random_crop(pad(x, [pixels] * 4), (x.shape[2], x.shape[3]), generator)


def random_flip(x: Tensor, generator: Generator) -> Tensor:
    """Each image mirrored left to right with probability 1/2.

    Raises:
        ValueError: x not (items, channels, height, width).
    """
    _check_images("random_flip", x)
    flipped = _integers(2, x, generator).to(torch.bool)
    return torch.where(flipped[:, None, None, None], x.flip(3), x)


def random_erase(x: Tensor, size: int, generator: Generator) -> Tensor:
    """A square of `size` pixels of each image set to 0, its middle anywhere on the image (so part may lie outside).

    Raises:
        ValueError: x not (items, channels, height, width), or size negative.
    """
    _check_images("random_erase", x)
    if size < 0:
        raise ValueError(f"random_erase: size must be >= 0, got {size}")

    def inside(length: int) -> Tensor:
        start = _integers(length, x, generator)[:, None] - size // 2
        place = torch.arange(length, device=x.device)
        return (place >= start) & (place < start + size)

    erased = inside(x.shape[2])[:, None, :, None] & inside(x.shape[3])[:, None, None, :]
    return x.masked_fill(erased, 0)


def random_warp(x: Tensor, strength: float, generator: Generator) -> Tensor:
    """Each image through an affine map near the identity: small turns, stretches, shears and moves.

    The six numbers of the map, in units of half the image, deviate from the identity's by Gaussian noise of standard
    deviation `strength`; values between pixels are interpolated, and zeros come in at the border.

    Raises:
        ValueError: x not (items, channels, height, width), or strength negative.
    """
    _check_images("random_warp", x)
    if strength < 0:
        raise ValueError(f"random_warp: strength must be >= 0, got {strength}")
    if not len(x):
        return x  # torch makes no empty grids
    noise = torch.randn((len(x), 2, 3), generator=generator, device=x.device, dtype=x.dtype)
    maps = torch.eye(2, 3, device=x.device, dtype=x.dtype) + strength * noise
    grid = affine_grid(maps, list(x.shape), align_corners=False)
    return grid_sample(x, grid, align_corners=False)


def random_zoom(x: Tensor, smallest: float, generator: Generator) -> Tensor:
    """A window of each image, anywhere in it, scaled back to the size of the image: the random resized crop.

    The window's share of both sides is drawn evenly from `smallest` to 1; values between pixels are interpolated.

    Raises:
        ValueError: x not (items, channels, height, width), or smallest outside (0, 1].
    """
    _check_images("random_zoom", x)
    if not 0 < smallest <= 1:
        raise ValueError(f"random_zoom: smallest must lie in (0, 1], got {smallest}")
    if not len(x):
        return x  # torch makes no empty grids
    drawn = torch.rand((len(x), 3), generator=generator, device=x.device, dtype=x.dtype)
    side = smallest + (1 - smallest) * drawn[:, :1]
    # In units of half the image a window of this share may lie up to 1 - side off the middle.
    maps = torch.zeros((len(x), 2, 3), device=x.device, dtype=x.dtype)
    maps[:, 0, 0] = maps[:, 1, 1] = side[:, 0]
    maps[:, :, 2] = (2 * drawn[:, 1:] - 1) * (1 - side)
    # At the border the outermost pixels go on, where sampling between pixels would find nothing.
    return grid_sample(
        x, affine_grid(maps, list(x.shape), align_corners=False), align_corners=False, padding_mode="border"
    )


def drop_features(x: Tensor, probability: float, generator: Generator) -> Tensor:
    """Each value set to 0 with this probability, the others scaled so that the mean stays.

    Raises:
        ValueError: probability outside [0, 1).
    """
    if not 0 <= probability < 1:
        raise ValueError(f"drop_features: probability must lie in [0, 1), got {probability}")
    kept = torch.rand(x.shape, generator=generator, device=x.device) >= probability
    return x * kept / (1 - probability)


def add_noise(x: Tensor, deviation: float, generator: Generator) -> Tensor:
    """Gaussian noise of this standard deviation, in the units of x.

    Raises:
        ValueError: deviation negative.
    """
    if deviation < 0:
        raise ValueError(f"add_noise: deviation must be >= 0, got {deviation}")
    return x + deviation * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)


@dataclass(frozen=True)
class Perturbation:
    """What turns items into one random view of them; 0 switches a part off.

    Attributes:
        crop: smallest share of an image's sides that a random window has, which is scaled back to the whole size.
        shift: largest move of an image, pixels.
        flip: mirror images left to right.
        warp: strength of a random affine map of an image.
        erase: side of the square set to 0, pixels.
        dropout: probability that a value is set to 0.
        noise: standard deviation of Gaussian noise, in the units of x.
        transforms: of torchvision (v2), for images in [0, 1], by name with plain arguments, such as
            "ColorJitter(0.4, hue=0.1)"; they come before noise and dropout and need torchvision.

    Raises:
        TypeError: an option of another kind.
        ValueError: an option out of range.

    Example:
        >>> import torch
        >>> from fasthash.data import Perturbation
        >>> view = Perturbation(dropout=0.5)
        >>> view(torch.ones(1, 6), torch.Generator().manual_seed(0)).tolist()
        [[0.0, 2.0, 0.0, 0.0, 0.0, 2.0]]
    """

    shift: int = 0
    flip: bool = False
    warp: float = 0.0
    erase: int = 0
    dropout: float = 0.0
    noise: float = 0.0
    crop: float = 0.0
    transforms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, high in (("shift", None), ("erase", None), ("warp", math.inf), ("noise", math.inf), ("crop", 1.0)):
            _check_option(name, getattr(self, name), high)
        _check_option("dropout", self.dropout, 1.0)
        if self.dropout == 1:
            raise ValueError("Perturbation: dropout must lie in [0, 1), got 1")
        if not isinstance(self.flip, bool):
            raise TypeError(f"Perturbation: flip must be True or False, got {self.flip!r}")
        transforms: Any = self.transforms
        if isinstance(transforms, str):
            raise TypeError(f"Perturbation: transforms must be a sequence of texts, got {transforms!r}")
        for text in transforms:
            check_transform("Perturbation", text)

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        """One view of x (items, ...)."""
        if self.crop:
            x = random_zoom(x, self.crop, generator)
        if self.shift:
            x = random_shift(x, self.shift, generator)
        if self.flip:
            x = random_flip(x, generator)
        if self.warp:
            x = random_warp(x, self.warp, generator)
        if self.transforms:
            x = apply_transforms(x, tuple(self.transforms), generator)
        if self.erase:
            x = random_erase(x, self.erase, generator)
        if self.dropout:
            x = drop_features(x, self.dropout, generator)
        if self.noise:
            x = add_noise(x, self.noise, generator)
        return x


def _check_option(name: str, value: Any, high: float | None) -> None:
    """A number from 0 to `high`; None = any whole number."""
    kinds = (int,) if high is None else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise TypeError(f"Perturbation: {name} must be a {'whole ' * (high is None)}number, got {value!r}")
    if not 0 <= value <= (math.inf if high is None else high) or value == math.inf:
        top = " and finite" if high in (None, math.inf) else f" and <= {high:g}"
        raise ValueError(f"Perturbation: {name} must be >= 0{top}, got {value}")
