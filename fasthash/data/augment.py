"""Random perturbations of a batch held as one tensor; every number comes from the generator that is passed in.

All functions keep shape and dtype unless they say otherwise, never write into their input, and draw for each item on
its own. The generator must live on the device of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, grid_sample, pad


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
        shift: largest move of an image, pixels.
        flip: mirror images left to right.
        warp: strength of a random affine map of an image.
        erase: side of the square set to 0, pixels.
        dropout: probability that a value is set to 0.
        noise: standard deviation of Gaussian noise, in the units of x.

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

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        """One view of x (items, ...)."""
        if self.shift:
            x = random_shift(x, self.shift, generator)
        if self.flip:
            x = random_flip(x, generator)
        if self.warp:
            x = random_warp(x, self.warp, generator)
        if self.erase:
            x = random_erase(x, self.erase, generator)
        if self.dropout:
            x = drop_features(x, self.dropout, generator)
        if self.noise:
            x = add_noise(x, self.noise, generator)
        return x
