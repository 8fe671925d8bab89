"""Items in an array or tensor, in memory or mapped from a file."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fasthash.data.sources.source import Reading, Source

# A digest reads arrays of up to this many bytes whole, and as many bytes of larger ones, in blocks of their rows.
DIGEST_BYTES, DIGEST_BLOCKS = 2**26, 64


class ArraySource(Source):
    """The rows of an array, turned into float32 as they are read: value * scale + offset.

    The array is referred to and never copied whole. A digest covers type, shape, scale, offset and all bytes of an
    array of up to 64 MiB; of a larger one 64 blocks of 1 MiB, evenly spread, or all bytes if it is `full`.

    Args:
        x: items (n, ...), floating or uint8; a tensor or an array, also a mapped one (`map_array`).
        scale: factor of each value; None = 1, and 1/255 for uint8.
        offset: added after that.
        channels_last: items are images (height, width, channels), to be read as (channels, height, width).

    Raises:
        TypeError: x no tensor or array, or neither floating nor uint8.
        ValueError: x without items' dimension, or channels_last with items that are no images.

    Example:
        >>> import numpy as np, torch
        >>> from fasthash.data import ArraySource
        >>> features = ArraySource(np.array([[0, 255], [51, 102]], np.uint8), scale=6 / 255)
        >>> features.take(torch.tensor([1, 0])).tolist()
        [[1.2000000476837158, 2.4000000953674316], [0.0, 6.0]]
    """

    def __init__(self, x: Any, *, scale: float | None = None, offset: float = 0.0, channels_last: bool = False) -> None:
        if not isinstance(x, (Tensor, np.ndarray)):
            raise TypeError(f"ArraySource: x: expected a tensor or an array, got {type(x).__name__}")
        kind = _kind(x)
        if not (kind == "uint8" or "float" in kind):
            raise TypeError(f"ArraySource: x: expected floating or uint8 values, got {kind}")
        if not x.ndim or (channels_last and x.ndim != 4):
            wanted = "(items, height, width, channels)" if channels_last else "(items, ...)"
            raise ValueError(f"ArraySource: x: expected shape {wanted}, got {tuple(x.shape)}")
        self._x: Tensor | NDArray[Any] = x.detach() if isinstance(x, Tensor) else np.asarray(x)
        self._scale = (1 / 255 if kind == "uint8" else 1.0) if scale is None else float(scale)
        self._offset = float(offset)
        self._channels_last = channels_last
        self.shape = tuple(x.shape[1:]) if not channels_last else (x.shape[3], *x.shape[1:3])

    def __len__(self) -> int:
        return len(self._x)

    def take(self, index: Tensor, *, view: int | Tensor = 0, seeds: Tensor | None = None) -> Tensor:
        """See `Source.take`; items lie where the tensor does."""
        x = _rows(self._x, index).to(torch.float32)
        if self._scale != 1:
            x = x.mul_(self._scale)
        if self._offset:
            x = x.add_(self._offset)
        return x.permute(0, 3, 1, 2).contiguous() if self._channels_last else x

    @property
    def reading(self) -> Reading:
        """See `Source.reading`."""
        return Reading(_kind(self._x) == "uint8", self._scale, self._offset, self._channels_last)

    def digest(self, *, full: bool = False) -> str:
        """See `ArraySource`."""
        head = (_kind(self._x), tuple(self._x.shape), self._scale, self._offset, self._channels_last)
        state = hashlib.blake2b(repr(head).encode(), digest_size=16)
        row = max(1, self._x[:1].nbytes)
        block = max(1, DIGEST_BYTES // DIGEST_BLOCKS // row)
        starts = range(0, len(self), block)
        if row * len(self) > DIGEST_BYTES and not full:
            spread = np.linspace(0, max(0, len(self) - block), DIGEST_BLOCKS)
            starts = np.unique(spread.astype(np.int64)).tolist()
        for start in starts:
            part = _rows(self._x, torch.arange(start, min(start + block, len(self))))
            state.update(part.cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return state.hexdigest()


def as_source(x: Any, reading: Reading | None = None) -> Source:
    """A source as it is, or one over a tensor or array, as `ArraySource` reads it.

    Args:
        x: a source, tensor or array.
        reading: how tensors and arrays of its kind (uint8 or floating) are read; None, and for those of the other
            kind: by the defaults of `ArraySource`.
    """
    if isinstance(x, Source):
        return x
    if reading is None or not isinstance(x, (Tensor, np.ndarray)) or (_kind(x) == "uint8") != reading.uint8:
        return ArraySource(x)
    return ArraySource(x, scale=reading.scale, offset=reading.offset, channels_last=reading.channels_last)


def _kind(x: Tensor | NDArray[Any]) -> str:
    return str(x.dtype).removeprefix("torch.") if isinstance(x, Tensor) else x.dtype.name


def _rows(x: Tensor | NDArray[Any], index: Tensor) -> Tensor:
    """Fresh rows, in native byte order."""
    if isinstance(x, Tensor):
        return x.index_select(0, index.to(x.device))
    rows = np.take(x, index.numpy(), axis=0)
    return torch.from_numpy(rows.astype(rows.dtype.newbyteorder("="), copy=False))
