"""The files of CIFAR-10, in its binary and in its Python version."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fasthash.data.sources.files import File

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_PARTS = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")


def read_cifar10(root: File) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (60000, 3, 32, 32) and labels (60000,) of CIFAR-10 in their official order, training part first.

    Args:
        root: the folder of the files, or the one above; the binary version (`data_batch_1.bin` ...) is taken before the
            Python version (`data_batch_1` ...), which is unpickled without any code of its own.

    Raises:
        FileNotFoundError: files are missing.
        ValueError: files of another form.
    """
    for folder in (Path(root), Path(root, "cifar-10-batches-bin"), Path(root, "cifar-10-batches-py")):
        for suffix, read in ((".bin", _read_binary), ("", _read_pickled)):
            paths = [folder / f"{part}{suffix}" for part in _PARTS]
            if all(path.is_file() for path in paths):
                parts = [read(path) for path in paths]
                images = np.concatenate([pixels for pixels, _ in parts]).reshape(-1, 3, 32, 32)
                return images, np.concatenate([labels for _, labels in parts]).astype(np.int64)
    raise FileNotFoundError(
        f"read_cifar10: root: expected data_batch_1.bin to test_batch.bin, or the same without .bin, in {str(root)!r}, "
        "cifar-10-batches-bin or cifar-10-batches-py, got no such files"
    )


def _read_binary(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """10,000 records of a label and 3 x 32 x 32 values."""
    values = np.fromfile(path, np.uint8)
    if values.size != 10_000 * 3073 or values[::3073].max() > 9:
        raise _refuse(path)
    records = values.reshape(10_000, 3073)
    return records[:, 1:], records[:, 0]


def _read_pickled(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    with path.open("rb") as file:
        try:
            held = {name.decode(): value for name, value in _Arrays(file).load().items()}
            pixels, labels = held["data"], np.array(held["labels"])
        except (pickle.UnpicklingError, EOFError, AttributeError, KeyError, ValueError) as error:
            raise _refuse(path) from error
    if getattr(pixels, "dtype", None) != np.uint8 or pixels.shape != (10_000, 3072) or labels.shape != (10_000,):
        raise _refuse(path)
    if labels.dtype.kind != "i" or not 0 <= labels.min() <= labels.max() <= 9:
        raise _refuse(path)
    return pixels, labels.astype(np.uint8)


def _refuse(path: Path) -> ValueError:
    return ValueError(f"read_cifar10: root: expected 10,000 images and labels of CIFAR-10, got {str(path)!r}")


class _Arrays(pickle.Unpickler):
    """Reads plain values and NumPy arrays; a file that names anything else is refused."""

    # How NumPy itself makes an array again, by the places where it had that before and since its second version.
    KNOWN = {  # noqa: RUF012
        **{(f"numpy.{room}.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0] for room in ("core", "_core")},
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="bytes")

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in self.KNOWN:
            raise pickle.UnpicklingError(f"expected arrays, got {module_name}.{global_name}")
        return self.KNOWN[module_name, global_name]
