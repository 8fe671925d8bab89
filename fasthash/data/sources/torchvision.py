"""Data sets of torchvision, as they lie on the disk."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fasthash.data.sources.arrays import ArraySource
from fasthash.data.sources.files import File
from fasthash.data.sources.images import fitted, images_to_float
from fasthash.data.sources.source import Source


class TorchvisionImages(Source):
    """The images of data sets of torchvision, one after another, scaled and cut as `ImageFiles` does.

    A digest covers names, lengths and labels of the data sets, and the images where they lie in an array (as
    `ArraySource` does); a `full` one decodes all others and covers them too.

    Args:
        parts: data sets that give (Pillow image, label) by number; labels are class ids.
        size: height and width, pixels; one number = both.
        channels: 3 (RGB) or 1 (grey).
        crop: of random views, as `ImageFiles` has it; 0 = there are none.

    Raises:
        TypeError: labels that are no class ids.
        ValueError: an option out of range.
    """

    def __init__(
        self, parts: Sequence[Any], size: int | tuple[int, int], *, channels: int = 3, crop: float = 0.0
    ) -> None:
        height, width = (size, size) if isinstance(size, int) else size
        if height < 1 or width < 1 or channels not in (1, 3) or not 0 <= crop <= 1:
            raise ValueError(
                "TorchvisionImages: expected size >= 1, channels 1 or 3 and crop from 0 to 1, got "
                f"{size}, {channels} and {crop}"
            )
        self._parts, self._crop = list(parts), crop
        self._starts = np.cumsum([0, *(len(part) for part in parts)])
        self.shape = (channels, height, width)
        self.random = crop > 0
        self.labels: NDArray[np.int64] = np.concatenate([_labels(part) for part in parts])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, index: Tensor, *, view: int | Tensor = 0, seeds: Tensor | None = None) -> Tensor:
        """See `Source.take`."""
        drawn = [None] * len(index) if seeds is None or not self.random else seeds.tolist()
        images = [self._read(number, seed) for number, seed in zip(index.tolist(), drawn, strict=True)]
        return images_to_float(images, self.shape)

    def _read(self, number: int, seed: int | None) -> NDArray[np.uint8]:
        part = int(np.searchsorted(self._starts, number, side="right")) - 1
        image = self._parts[part][number - int(self._starts[part])][0]
        return fitted(image, self.shape, self._crop, seed)

    def digest(self, *, full: bool = False) -> str:
        """See `TorchvisionImages`."""
        head = [(type(part).__name__, len(part)) for part in self._parts]
        state = hashlib.blake2b(repr((head, self.shape, self._crop)).encode(), digest_size=16)
        state.update(self.labels.data)
        for part in self._parts:
            images = getattr(part, "data", None)
            if isinstance(images, (np.ndarray, Tensor)) and str(images.dtype).endswith("uint8"):
                state.update(ArraySource(images).digest(full=full).encode())
            elif full:
                for number in range(len(part)):
                    image = part[number][0].convert("RGB" if self.shape[0] == 3 else "L")
                    state.update(repr(image.size).encode())
                    state.update(image.tobytes())
        return state.hexdigest()


def find_parts(name: str, root: File) -> list[Any]:
    """The training and test part of a data set of torchvision, or all of it where it has no parts.

    Raises:
        FileNotFoundError: the data set does not lie there whole.
        ImportError: torchvision is missing.
        ValueError: it has no data set of this name.
    """
    try:
        from torchvision import datasets
    except ImportError as error:
        raise ImportError("open_dataset: torchvision data sets need it; pip install 'fasthash[vision]'") from error
    made = getattr(datasets, name, None)
    if made is None:
        raise ValueError(f"open_dataset: name: expected torchvision/NAME of a data set that it has, got {name!r}")
    options = inspect.signature(made).parameters
    parts: list[dict[str, Any]] = [{}]
    if "train" in options:
        parts = [{"train": True}, {"train": False}]
    elif "split" in options:
        parts = [{"split": "train"}, {"split": "test"}]
    try:
        return [made(root, **part) for part in parts]
    except RuntimeError as error:  # what torchvision raises for files that are missing or not whole
        raise FileNotFoundError(f"open_dataset: root: expected the files of {name}, got {root!r}: {error}") from error


def _labels(part: Any) -> NDArray[np.int64]:
    """Class ids, without decoding images where the data set lists them."""
    listed = next((getattr(part, name) for name in ("targets", "labels", "_labels") if hasattr(part, name)), None)
    if listed is None:
        listed = [part[number][1] for number in range(len(part))]
    found = np.asarray(listed)
    if found.dtype.kind not in "iu" or found.ndim != 1:
        raise TypeError(f"TorchvisionImages: parts: expected class ids as labels, got {found.dtype} of {found.shape}")
    return found.astype(np.int64)
