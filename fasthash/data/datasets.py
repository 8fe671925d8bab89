"""Data sets by name: items, labels, and which protocols fit them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasthash.data.cifar10 import CLASSES, read_cifar10
from fasthash.data.digits import load_digits
from fasthash.data.idx import read_mnist
from fasthash.data.image_lists import read_image_folder, read_image_lists
from fasthash.data.sources import ArraySource, ImageFiles, Modalities, Source, StoredViews, array_names, map_array
from fasthash.data.sources.files import Array, File
from fasthash.data.sources.modalities import rows_with_values
from fasthash.data.splits import Protocol, protocols


@dataclass(frozen=True, eq=False)
class Dataset:
    """Items and their true labels; a `TrainingSet` of it hides those that are not to be known.

    Attributes:
        name: what `open_dataset` calls it.
        source: the items, in the data set's own order.
        labels: int64 class ids (n,), or uint8 multi-hot (n, classes).
        classes: their names, where they are known.
        test: how many of the items, the last ones, are the data set's own test part; 0 = it has none.

    Example:
        >>> from fasthash import data
        >>> digits = data.open_dataset("digits")
        >>> len(digits.source), digits.source.shape, digits.protocols
        (1797, (1, 8, 8), ('digits-semi',))
        >>> split = data.make_split("digits-semi", digits.labels)
        >>> items = data.TrainingSet.from_split(digits.source, digits.labels, split)
    """

    name: str
    source: Source
    labels: NDArray[Any]
    classes: tuple[str, ...] = ()
    test: int = 0

    def __post_init__(self) -> None:
        kind, values = self.labels.dtype, self.labels.ndim
        if values not in (1, 2) or kind != (np.int64 if values == 1 else np.uint8):
            raise TypeError(f"Dataset: labels: expected int64 (n,) or uint8 (n, classes), got {kind} of {values} dims")
        if len(self.labels) != len(self.source):
            raise ValueError(
                f"Dataset: labels: expected one for each of {len(self.source)} items, got {len(self.labels)}"
            )

    @property
    def protocols(self) -> tuple[str, ...]:
        """Names of the protocols that `make_split` draws for labels of this form: their number, classes and sizes."""
        return tuple(protocol.name for protocol in protocols() if _fits(protocol, self.labels))


def open_dataset(name: str, root: File | None = None, **options: Any) -> Dataset:
    """A data set by name; nothing is downloaded.

    | name | root | options |
    |---|---|---|
    | `digits` | none | |
    | `cifar10` | folder of the binary or the Python version | |
    | `mnist`, `fashion-mnist` | folder of the four idx files | |
    | `features` | an array file | `key`, `labels`, `views`, `modalities`, `scale`, `offset`, `channels_last` |
    | `folder` | folder of images, see `read_image_folder` | `size`, `channels`, `crop`, `workers` |
    | `list` | folder that the paths of lists begin in | `lists`, `size`, `channels`, `crop`, `workers` |
    | `torchvision/NAME` | root of that data set of torchvision | `size`, `channels`, `crop` |

    Of `features`, `key` is the key of the items (by default the only one, or "features", "images" or "x"), `labels`
    that of the labels (by default "labels" or "y"), `views` those of further views of the items; labels and views may
    also name another file, or FILE:KEY. `modalities` are keys of items in several modalities, in place of `key`, which
    are called by them (`Modalities`); an item whose row in one of them is NaN as a whole lacks that one. The other
    options are those of `ArraySource`. `lists` are text files of lines `path id` or `path 0 1 0 ...`; the other options
    are those of `ImageFiles`, `size` 224 by default.

    Args:
        name: of the data set.
        root: where it lies.
        **options: as the table says.

    Returns:
        The data set.

    Raises:
        FileNotFoundError: files are missing.
        ImportError: a library that it needs is missing.
        TypeError: an option that it does not have, or a root missing or too many.
        ValueError: an unknown name, or files of another form.
    """
    base, _, part = name.partition("/")
    if base not in _OPENERS or bool(part) != (base == "torchvision"):
        raise ValueError(f"open_dataset: name: expected one of {', '.join(dataset_names())}, got {name!r}")
    opener = _OPENERS[base]
    if base == "digits":
        if root is not None:
            raise TypeError(f"open_dataset: root: expected None with {name!r}, got {str(root)!r}")
    elif root is None:
        raise TypeError(f"open_dataset: root: expected a path with {name!r}, got None")
    known = [p.name for p in inspect.signature(opener).parameters.values() if p.kind is p.KEYWORD_ONLY]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise TypeError(
            f"open_dataset: options: expected {', '.join(known) or 'none'} with {name!r}, got {', '.join(unknown)}"
        )
    return opener(name, root, **options)


def dataset_names() -> tuple[str, ...]:
    """The names that `open_dataset` knows."""
    return tuple("torchvision/NAME" if name == "torchvision" else name for name in _OPENERS)


def _digits(name: str, root: None) -> Dataset:
    images, labels = load_digits()
    return Dataset(name, ArraySource(images), labels.numpy(), tuple("0123456789"))


def _cifar10(name: str, root: File) -> Dataset:
    images, labels = read_cifar10(root)
    return Dataset(name, ArraySource(images), labels, CLASSES, test=10_000)


def _mnist(name: str, root: File) -> Dataset:
    images, labels = read_mnist(root)
    classes = tuple("0123456789")
    if name == "fashion-mnist":
        classes = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat")
        classes += ("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
    return Dataset(name, ArraySource(images), labels, classes, test=10_000)


def _features(
    name: str,
    root: File,
    *,
    key: str | None = None,
    labels: str | None = None,
    views: Sequence[str] = (),
    modalities: Sequence[str] = (),
    scale: float | None = None,
    offset: float = 0.0,
    channels_last: bool = False,
) -> Dataset:
    keys = array_names(root)
    if modalities and (key is not None or views):
        raise TypeError("open_dataset: modalities: expected none beside key or views, got some")
    if key is None and not modalities and len(keys) > 1:
        key = _default("key", ("features", "images", "x"), keys)
    if labels is None:
        labels = _default("labels", ("labels", "y"), keys)
    arrays = [map_array(root, name) for name in (modalities or (key,))]
    arrays += [_named(root, keys, view) for view in views]
    sources = [ArraySource(x, scale=scale, offset=offset, channels_last=channels_last) for x in arrays]
    source: Source = sources[0]
    if modalities:
        named = dict(zip(modalities, sources, strict=True))
        # Whole numbers cannot be missing, and are not read.
        floats = {name: source for name, source in named.items() if not source.reading.uint8}
        source = Modalities(named, {name: rows_with_values(name, source) for name, source in floats.items()})
    elif views:
        source = StoredViews(sources)
    return Dataset(name, source, _checked_labels(np.array(_named(root, keys, labels))))


def _checked_labels(labels: NDArray[Any]) -> NDArray[Any]:
    if labels.ndim == 1 and labels.dtype.kind in "iu":
        return labels.astype(np.int64)
    if labels.ndim == 2 and ((labels == 0) | (labels == 1)).all():
        return labels.astype(np.uint8)
    raise TypeError(
        "open_dataset: labels: expected integer class ids (n,) or rows (n, classes) of 0 and 1, got "
        f"{labels.dtype} of shape {labels.shape}"
    )


def _named(root: File, keys: tuple[str, ...], reference: str) -> Array:
    """An array by key of the file, or FILE, or FILE:KEY."""
    if reference in keys:
        return map_array(root, reference)
    file, _, key = reference.partition(":")
    return map_array(file, key or None)


def _default(option: str, names: tuple[str, ...], keys: tuple[str, ...]) -> str:
    found = [name for name in names if name in keys]
    if not found:
        raise TypeError(f"open_dataset: {option}: expected one of {', '.join(keys) or 'another file'}, got None")
    return found[0]


def _folder(
    name: str,
    root: File,
    *,
    size: int | tuple[int, int] = 224,
    channels: int = 3,
    crop: float = 0.0,
    workers: int = 0,
) -> Dataset:
    paths, labels, classes = read_image_folder(root)
    source = ImageFiles(paths, size, channels=channels, crop=crop, workers=workers)
    return Dataset(name, source, labels, classes)


def _list(
    name: str,
    root: File,
    *,
    lists: Sequence[File] = (),
    size: int | tuple[int, int] = 224,
    channels: int = 3,
    crop: float = 0.0,
    workers: int = 0,
) -> Dataset:
    names, labels = read_image_lists(lists)
    paths = [Path(root, image) for image in names]
    return Dataset(name, ImageFiles(paths, size, channels=channels, crop=crop, workers=workers), labels)


def _torchvision(
    name: str, root: File, *, size: int | tuple[int, int] = 224, channels: int = 3, crop: float = 0.0
) -> Dataset:
    from fasthash.data.sources.torchvision import TorchvisionImages, find_parts

    parts = find_parts(name.partition("/")[2], root)
    source = TorchvisionImages(parts, size, channels=channels, crop=crop)
    classes = tuple(map(str, getattr(parts[0], "classes", ())))
    return Dataset(name, source, source.labels, classes, test=len(parts[1]) if len(parts) > 1 else 0)


_OPENERS: dict[str, Callable[..., Dataset]] = {
    "digits": _digits,
    "cifar10": _cifar10,
    "mnist": _mnist,
    "fashion-mnist": _mnist,
    "features": _features,
    "folder": _folder,
    "list": _list,
    "torchvision": _torchvision,
}


def _fits(protocol: Protocol, labels: NDArray[Any]) -> bool:
    if protocol.chosen == "lists" or protocol.items != len(labels) or protocol.multi_label != (labels.ndim == 2):
        return False
    if labels.ndim == 2:
        return bool(labels.shape[1] == protocol.classes)
    if labels.min() < 0:
        return False
    sizes = np.bincount(labels, minlength=protocol.classes)
    whole = len(sizes) == protocol.classes and sizes.min() > 0
    return bool(whole and (not protocol.balanced or sizes.min() == sizes.max()))
