"""Image files, decoded by Pillow as they are read."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fasthash.data.sources.files import File
from fasthash.data.sources.source import Source


class ImageFiles(Source):
    """Images of one size from files of any: scaled so that they cover it, and cut in the middle; values in [0, 1].

    A digest covers places, sizes and times of the last change of the files; a `full` one their content, wherever they
    lie.

    Args:
        paths: of the files.
        size: height and width, pixels; one number = both.
        channels: 3 (RGB) or 1 (grey).
        crop: a random view is a window, anywhere in the image, whose share of the sides of the middle cut is drawn from
            `crop` to 1, scaled to `size`; 0 = there are no random views.
        workers: threads that decode a batch; 0 = the caller's.

    Attributes:
        paths: of the files, as texts.

    Raises:
        ImportError: Pillow is missing.
        ValueError: no positive size, channels neither 1 nor 3, crop outside [0, 1], or negative workers.

    Example:
        >>> import tempfile, torch
        >>> from PIL import Image
        >>> from fasthash.data import ImageFiles
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (64, 48), "red").save(f"{folder}/a.png")
        ...     ImageFiles([f"{folder}/a.png"], size=32).take(torch.tensor([0])).amax((2, 3)).tolist()
        [[1.0, 0.0, 0.0]]
    """

    def __init__(
        self,
        paths: Iterable[File],
        size: int | tuple[int, int],
        *,
        channels: int = 3,
        crop: float = 0.0,
        workers: int = 0,
    ) -> None:
        try:
            import PIL.Image  # noqa: F401 - so that its absence is told now
        except ImportError as error:
            raise ImportError("ImageFiles: needs Pillow; pip install 'fasthash[vision]'") from error
        height, width = (size, size) if isinstance(size, int) else size
        if height < 1 or width < 1:
            raise ValueError(f"ImageFiles: size: expected pixels >= 1, got {size}")
        if channels not in (1, 3):
            raise ValueError(f"ImageFiles: channels: expected 1 or 3, got {channels}")
        if not 0 <= crop <= 1:
            raise ValueError(f"ImageFiles: crop: expected a share from 0 to 1, got {crop}")
        if workers < 0:
            raise ValueError(f"ImageFiles: workers: expected a number >= 0, got {workers}")
        self.paths = tuple(os.fspath(path) for path in paths)
        self._crop, self._workers = crop, workers
        self._pool: ThreadPoolExecutor | None = None
        self.shape = (channels, height, width)
        self.random = crop > 0

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, index: Tensor, *, view: int | Tensor = 0, seeds: Tensor | None = None) -> Tensor:
        """See `Source.take`.

        Raises:
            ValueError: a file that is no image.
        """
        numbers = index.tolist()
        drawn = [None] * len(numbers) if seeds is None or not self.random else seeds.tolist()
        if self._workers and self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="images")
        images = self._pool.map(self._read, numbers, drawn) if self._pool else map(self._read, numbers, drawn)
        return images_to_float(list(images), self.shape)

    def _read(self, number: int, seed: int | None) -> NDArray[np.uint8]:
        from PIL import Image

        path = self.paths[number]
        try:
            with Image.open(path) as image:
                return fitted(image, self.shape, self._crop, seed)
        except (OSError, SyntaxError, ValueError) as error:  # what Pillow's decoders raise
            raise ValueError(f"ImageFiles.take: paths: expected an image, got {path!r}: {error}") from error

    def digest(self, *, full: bool = False) -> str:
        """See `ImageFiles`."""
        state = hashlib.blake2b(repr((self.shape, self._crop)).encode(), digest_size=16)
        for path in self.paths:
            found = os.stat(path)
            if full:
                state.update(f"{found.st_size}\n".encode())
                state.update(Path(path).read_bytes())
            else:
                state.update(f"{os.path.abspath(path)}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
        return state.hexdigest()


def fitted(image: Any, shape: tuple[int, ...], crop: float = 0.0, seed: int | None = None) -> NDArray[np.uint8]:
    """A Pillow image as (height, width, channels): the middle of it, or a window that the seed draws."""
    from PIL import Image

    channels, height, width = shape
    image = image.convert("RGB" if channels == 3 else "L")
    scale = min(image.width / width, image.height / height)
    left = top = 0.5
    if seed is not None:
        numbers = random.Random(seed)
        scale *= numbers.uniform(crop, 1)
        left, top = numbers.random(), numbers.random()
    left, top = left * (image.width - scale * width), top * (image.height - scale * height)
    # Rounding may put an edge just outside, which Pillow refuses.
    window = (
        max(0.0, left),
        max(0.0, top),
        min(left + scale * width, image.width),
        min(top + scale * height, image.height),
    )
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box=window))
    return pixels.reshape(height, width, channels)


def images_to_float(images: list[NDArray[np.uint8]], shape: tuple[int, ...]) -> Tensor:
    """Images (height, width, channels) as float32 (n, channels, height, width) in [0, 1]."""
    if not images:
        return torch.empty(0, *shape)
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(torch.float32).div_(255).contiguous()
