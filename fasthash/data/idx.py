"""The idx files of MNIST and of data sets in its form, plain or compressed by gzip."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fasthash.data.sources.files import File


def read_idx(path: File) -> NDArray[np.uint8]:
    """The array of an idx file of bytes (LeCun, Cortes and Burges); one that ends in .gz is unpacked.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file of another form.
    """
    path = Path(path)
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError) as error:
        raise ValueError(f"read_idx: path: expected a readable .gz file, got {str(path)!r}: {error}") from error
    # Two zeros, the type (8 = bytes), the number of dimensions, each dimension in four bytes, the values.
    start = 4 + 4 * content[3] if len(content) > 3 else 4
    shape = tuple(np.frombuffer(content[4:start], ">u4").tolist()) if len(content) >= start else ()
    if content[:3] != b"\0\0\x08" or len(content) != start + math.prod(shape):
        raise ValueError(f"read_idx: path: expected an idx file of bytes, got {str(path)!r}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_mnist(root: File) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (70000, 1, 28, 28) and labels (70000,) of MNIST or Fashion-MNIST, training part first.

    Args:
        root: the folder of the four files, `train-images-idx3-ubyte` and so on, each plain or with .gz.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: files of another form.
    """
    images = [read_idx(_find(root, f"{part}-images-idx3-ubyte")) for part in ("train", "t10k")]
    labels = [read_idx(_find(root, f"{part}-labels-idx1-ubyte")) for part in ("train", "t10k")]
    shapes = [array.shape for array in (*images, *labels)]
    if shapes != [(60_000, 28, 28), (10_000, 28, 28), (60_000,), (10_000,)]:
        raise ValueError(f"read_mnist: root: expected 60,000 and 10,000 images of 28 x 28, got {shapes}")
    return np.concatenate(images)[:, None], np.concatenate(labels).astype(np.int64)


def _find(root: File, name: str) -> Path:
    for path in (Path(root, name), Path(root, f"{name}.gz")):
        if path.is_file():
            return path
    raise FileNotFoundError(f"read_mnist: root: expected {name} or {name}.gz in {str(root)!r}, got neither")
