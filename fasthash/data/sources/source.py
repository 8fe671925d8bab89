"""What a source of items is, and items standardised by statistics of some of them."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Reading:
    """How the values of an array become items: value * scale + offset as float32.

    Attributes:
        uint8: whether the values are uint8; floating if not.
        scale: factor of each value.
        offset: added after that.
        channels_last: images lie as (height, width, channels), and are read as (channels, height, width).
    """

    uint8: bool
    scale: float
    offset: float
    channels_last: bool


class Source(ABC):
    """Items in a fixed order, any of them at any time; nothing is held that need not be.

    Attributes:
        shape: of one item.
        views: how many views of each item are stored; view 0 is the plain one.
        random: whether `seeds` draw a random view of an item.
    """

    shape: tuple[int, ...]
    views: int = 1
    random: bool = False

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def take(self, index: Tensor, *, view: int | Tensor = 0, seeds: Tensor | None = None) -> Tensor:
        """Items by number.

        Args:
            index: int64 (b,) on the CPU, each from 0 to len - 1.
            view: which of the stored views, one for all or int64 (b,).
            seeds: int64 (b,), for a random view of each item, the same for the same seed; None = the plain one. Sources
                that draw none leave them.

        Returns:
            float32 (b, *shape), which the caller may write into.
        """

    @abstractmethod
    def digest(self, *, full: bool = False) -> str:
        """What identifies the items: 16 bytes of BLAKE2b, as hexadecimal digits; each source says what goes into it.

        Args:
            full: cover all that the items hold, however long it takes to read; what is computed from items may be kept
                under this digest. Otherwise it is made quickly, and may miss a change.
        """

    @property
    def standardisation(self) -> Standardisation | None:
        """What was done to the items and must be done to others that are encoded beside them."""
        return None

    @property
    def reading(self) -> Reading | None:
        """How the items are read where they are rows of an array; None = they are not."""
        return None

    def blocks(self, rows: Tensor | None = None, *, size: int = 1024, view: int = 0) -> Iterator[Tensor]:
        """The items at these rows (None = all), `size` at a time: float32 (size or fewer, *shape)."""
        for part in (torch.arange(len(self)) if rows is None else rows).split(size):
            yield self.take(part, view=view)

    def standardised(self, rows: Any = None) -> Source:
        """The same items with mean 0 and deviation 1 over `rows` (None = all), read in blocks.

        Statistics of training go with a run: take them from the training rows, and encode queries with the same ones.
        """
        chosen = None if rows is None else torch.as_tensor(rows, dtype=torch.int64)
        return _Standardised(self, Standardisation.of(self, chosen))

    def select(self, rows: Any) -> Source:
        """Some of the items, in the order of `rows`, int (n,); none is copied."""
        return _Selected(self, torch.as_tensor(rows, dtype=torch.int64))


@dataclass(frozen=True, eq=False)
class Standardisation:
    """Mean and deviation of items, and what takes them away.

    Attributes:
        mean: float32, of each value of an item (*shape); of each channel (channels, 1, 1) where items are images.
        deviation: float32, of that shape; 1 where a value never changes.

    Example:
        >>> import torch
        >>> from fasthash.data import ArraySource
        >>> source = ArraySource(torch.tensor([[1.0, 5.0], [3.0, 5.0], [9.0, 9.0]]))
        >>> known = source.standardised(rows=[0, 1])
        >>> known.take(torch.tensor([0, 2])).tolist()
        [[-1.0, 0.0], [7.0, 4.0]]
    """

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, source: Source, rows: Tensor | None = None) -> Standardisation:
        """Of the items at these rows (None = all), in all their stored views.

        Raises:
            ValueError: no rows.
        """
        if not len(source) or (rows is not None and not len(rows)):
            raise ValueError("Standardisation.of: rows: expected at least one, got none")
        count, mean, squares = 0, torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        over = (0, 2, 3) if len(source.shape) == 3 else (0,)
        for view in range(source.views):
            for block in source.blocks(rows, view=view):
                x = block.to(torch.float64)
                items = x.numel() // x.sum(over, keepdim=True).numel()
                # Means and sums of squares of two parts joined (Chan, Golub and LeVeque 1979): no large sums cancel.
                here = x.mean(over, keepdim=True)[0]
                away = here - mean
                count += items
                mean = mean + away * (items / count)
                squares = squares + (x - here).square().sum(over, keepdim=True)[0]
                squares = squares + away.square() * (items * (count - items) / count)
        deviation = (squares / count).sqrt()
        return cls(mean.float(), torch.where(deviation > 0, deviation, 1).float())

    def __call__(self, x: Tensor) -> Tensor:
        """Items (n, *shape) standardised."""
        return (x - self.mean.to(x.device)) / self.deviation.to(x.device)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a .safetensors file."""
        from safetensors.torch import save_file

        save_file({"mean": self.mean.contiguous(), "deviation": self.deviation.contiguous()}, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Standardisation:
        """Read what `save` wrote."""
        from safetensors.torch import load_file

        tensors = load_file(path)
        return cls(tensors["mean"], tensors["deviation"])


class _Standardised(Source):
    def __init__(self, source: Source, standardisation: Standardisation) -> None:
        self._source, self._standardisation = source, standardisation
        self.shape, self.views, self.random = source.shape, source.views, source.random

    def __len__(self) -> int:
        return len(self._source)

    @property
    def standardisation(self) -> Standardisation:
        return self._standardisation

    @property
    def reading(self) -> Reading | None:
        return self._source.reading

    def take(self, index: Tensor, *, view: int | Tensor = 0, seeds: Tensor | None = None) -> Tensor:
        x = self._source.take(index, view=view, seeds=seeds)
        return x.sub_(self._standardisation.mean.to(x.device)).div_(self._standardisation.deviation.to(x.device))

    def digest(self, *, full: bool = False) -> str:
        state = hashlib.blake2b(self._source.digest(full=full).encode(), digest_size=16)
        for tensor in (self._standardisation.mean, self._standardisation.deviation):
            state.update(tensor.contiguous().numpy().data)
        return state.hexdigest()


class _Selected(Source):
    def __init__(self, source: Source, rows: Tensor) -> None:
        if rows.ndim != 1 or (len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(source)):
            raise ValueError(f"Source.select: rows: expected (n,) from 0 to {len(source) - 1}, got {tuple(rows.shape)}")
        self._source, self._rows = source, rows
        self.shape, self.views, self.random = source.shape, source.views, source.random

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def standardisation(self) -> Standardisation | None:
        return self._source.standardisation

    @property
    def reading(self) -> Reading | None:
        return self._source.reading

    def take(self, index: Tensor, *, view: int | Tensor = 0, seeds: Tensor | None = None) -> Tensor:
        return self._source.take(self._rows[index], view=view, seeds=seeds)

    def digest(self, *, full: bool = False) -> str:
        state = hashlib.blake2b(self._source.digest(full=full).encode(), digest_size=16)
        state.update(self._rows.contiguous().numpy().data)
        return state.hexdigest()
