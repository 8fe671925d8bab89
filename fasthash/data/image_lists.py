"""Which images there are and what they show: folders with a sub-folder each class, and text lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasthash.data.sources.files import File

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


def read_image_folder(root: File) -> tuple[list[Path], NDArray[np.int64], tuple[str, ...]]:
    """Images below the sub-folders of `root`, one a class, by name; then those of `root` itself, without a label.

    Returns:
        paths, class ids (n,) with -1 = no label, and the classes: names of the sub-folders, sorted. Hidden files and
        folders are left out.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no sub-folder, or one without images.
    """
    if not Path(root).is_dir():
        raise FileNotFoundError(f"read_image_folder: root: expected a folder, got {str(root)!r}")
    classes = sorted(path.name for path in Path(root).iterdir() if path.is_dir() and path.name[0] != ".")
    if not classes:
        raise ValueError(f"read_image_folder: root: expected a sub-folder each class, got none in {str(root)!r}")
    paths, labels = [], []
    for number, name in enumerate(classes):
        folder = Path(root, name)
        found = [path for path in folder.rglob("*") if _is_image(path)]
        shown = sorted(path for path in found if not any(p.startswith(".") for p in path.relative_to(folder).parts))
        if not shown:
            raise ValueError(f"read_image_folder: root: expected images in each sub-folder, got none in {name!r}")
        paths += shown
        labels += [number] * len(shown)
    others = sorted(path for path in Path(root).iterdir() if _is_image(path) and path.name[0] != ".")
    paths += others
    labels += [-1] * len(others)
    return paths, np.array(labels, np.int64), tuple(classes)


def read_image_lists(files: Sequence[File]) -> tuple[list[str], NDArray[Any]]:
    """Images of text lists, one a line: `path id`, or `path 0 1 0 ...` with a 0 or 1 for each class.

    For lists that authors published with a protocol use `read_split`, which checks them against its counts.

    Args:
        files: one list or several, read in order; an image that comes again is left out.

    Returns:
        paths as they stand, and their labels: int64 class ids (n,) or uint8 multi-hot (n, classes).

    Raises:
        FileNotFoundError: no such file.
        ValueError: no list, a line of another form than the first, or an image that comes again with other labels.
    """
    if not files or isinstance(files, str):
        raise ValueError(f"read_image_lists: files: expected at least one path in a sequence, got {files!r}")
    labels: dict[str, tuple[int, ...]] = {}
    width = 0
    for file in files:
        for number, line in enumerate(Path(file).read_text(encoding="utf-8").splitlines(), start=1):
            name, *values = line.split() or [""]
            if not name:
                continue
            width = width or len(values)
            if not values or len(values) != width or not _are_labels(values):
                wanted = "a class id" if width < 2 else f"{width} values 0 or 1"
                raise ValueError(
                    f"read_image_lists: files: expected a path and {wanted} in line {number} of {str(file)!r}, got "
                    f"{line[:80]!r}"
                )
            row = tuple(map(int, values))
            if labels.setdefault(name, row) != row:
                raise ValueError(f"read_image_lists: files: expected one label for {name!r}, got two that differ")
    rows = np.array([*labels.values()], np.int64)
    if not len(rows):
        raise ValueError("read_image_lists: files: expected at least one line, got none")
    return [*labels], rows[:, 0] if width == 1 else rows.astype(np.uint8)


def _are_labels(values: list[str]) -> bool:
    if len(values) == 1:
        return values[0].isascii() and values[0].isdecimal()
    return set(values) <= {"0", "1"}


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()
