"""Small pictures of items, as data: addresses, until a budget of bytes is used up."""

from __future__ import annotations

import base64
import importlib.util
import io
import struct
import zlib
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from fasthash.data import Source

PIXEL_ART = 32
"""Images up to this side are kept pixel for pixel."""


class Album:
    """Pictures of the items of one source, by row.

    Args:
        source: of images (channels, height, width), 1 or 3 channels.
        budget: bytes that all pictures together may take on the page.
    """

    def __init__(self, source: Source, budget: int) -> None:
        self.pictures: dict[int, str] = {}
        self.budget = budget
        self.size = 0
        self.source = source
        self._jpeg = importlib.util.find_spec("PIL") is not None
        self._span: tuple[float, float] | None = None

    @property
    def pixelated(self) -> bool:
        """Whether the images are so small that their pixels should be seen."""
        return max(self.source.shape[1:]) <= PIXEL_ART

    def add(self, rows: Iterable[int], limit: int | None = None) -> bool:
        """Keep pictures of these items; all or, where they would exceed the limit (default the budget), none."""
        new = [row for row in dict.fromkeys(rows) if row not in self.pictures]
        if not new:
            return True
        made = dict(zip(new, self._pictures(new), strict=True))
        size = sum(len(text) for text in made.values())
        if self.size + size > (self.budget if limit is None else limit):
            return False
        self.pictures |= made
        self.size += size
        return True

    def _pictures(self, rows: list[int]) -> list[str]:
        images = self.source.take(torch.tensor(rows))
        if self._span is None:
            low, high = float(images.min()), float(images.max())
            self._span = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
        side = max(images.shape[2:])
        largest = 64 if self._jpeg else 48
        if side > largest:
            scaled = [max(1, round(length * largest / side)) for length in images.shape[2:]]
            images = torch.nn.functional.interpolate(images, scaled, mode="area")
        low, high = self._span
        values = ((images - low) / ((high - low) or 1.0)).clamp(0, 1).mul(255).round().to(torch.uint8)
        return [_address(image, self._jpeg) for image in values.permute(0, 2, 3, 1).numpy()]


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file of pixels (height, width, channels): 1 grey, 2 grey and alpha, 3 RGB.

    Example:
        >>> png(np.zeros((2, 2, 1), dtype=np.uint8))[:4]
        b'\\x89PNG'
    """
    height, width, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2}[channels]
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)  # 0 = no filter
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def png_address(pixels: NDArray[np.uint8]) -> str:
    """The same as a data: address."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode()


def _address(image: NDArray[np.uint8], jpeg: bool) -> str:
    """PNG of small images, which it keeps exactly; JPEG of others where Pillow is there."""
    if max(image.shape[:2]) <= PIXEL_ART or not jpeg:
        return png_address(image)
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).save(buffer, "JPEG", quality=82, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
