"""Arrays from files that users name on the command line: .npy, .npz and .safetensors, as FILE or FILE:KEY."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasthash.data import array_names, map_array
from fasthash.ops import pack

KINDS = (".npy", ".npz", ".safetensors")


def read_array(command: str, argument: str, name: str, *, mapped: bool = False) -> NDArray[Any]:
    """The array behind a name such as ``codes.npy`` or ``codes.npz:queries``.

    Arrays of .npy and .safetensors files are mapped, not read; those of .npz files, which are packed, only if `mapped`
    says so: they are then unpacked into `data.cache_folder`.

    Raises:
        ValueError: no such file or key, a file of another kind, or one that cannot be read.
    """
    path, key = _split(name)
    flag = f"{command}: --{argument.replace('_', '-')}"
    if path.suffix not in KINDS:
        raise ValueError(f"{flag}: expected a file that ends in {', '.join(KINDS)}, got {name!r}")
    if not path.is_file():
        raise ValueError(f"{flag}: expected a file, got {str(path)!r}, which is not there")
    try:
        if path.suffix == ".npy":
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
            return array
        if path.suffix == ".npz" and not mapped:
            with np.load(path, allow_pickle=False) as arrays:
                return np.asarray(arrays[_key(flag, list(arrays), key, path)])
        found = map_array(path, _key(flag, list(array_names(path)), key, path))
        return found if isinstance(found, np.ndarray) else found.numpy()
    except _NoKeyError:
        raise
    except Exception as error:  # the readers raise many kinds, all of which mean the same to the user
        raise ValueError(f"{flag}: expected a readable {path.suffix} file, got {str(path)!r}: {error}") from error


def index_file(command: str, name: str) -> str:
    """The name of an index file that is there.

    Raises:
        ValueError: it is not.
    """
    if not Path(name).is_file():
        raise ValueError(f"{command}: --index: expected a file, got {name!r}, which is not there")
    return name


def read_bits(*names: str) -> int | None:
    """The code width that the metadata of .safetensors files state, if any does.

    Raises:
        ValueError: two files that differ.
    """
    widths = {}
    for name in names:
        path, _ = _split(name)
        if path.suffix == ".safetensors" and path.is_file():
            from safetensors import safe_open

            with safe_open(path, framework="np") as tensors:
                stated = (tensors.metadata() or {}).get("bits", "")
            if stated.isdigit():
                widths[str(path)] = int(stated)
    if len(set(widths.values())) > 1:
        raise ValueError(f"expected files of codes of one width, got {widths}; name it with --bits")
    return next(iter(widths.values()), None)


def packed_rows(command: str, argument: str, block: NDArray[Any]) -> NDArray[Any]:
    """Rows of a matrix as packed codes: uint8 is packed already, of other dtypes the signs are.

    Raises:
        ValueError: signed integers that are more than signs.
    """
    if block.dtype == np.uint8:
        return block
    if block.dtype.kind == "i" and block.size and max(-int(block.min()), int(block.max())) > 1:
        raise ValueError(
            f"{command}: --{argument}: expected packed codes (uint8), or signs, floats or bool of one column a bit, "
            f"got {block.dtype} values beyond -1 to 1; from_sentence_transformers turns signed bytes into codes"
        )
    return pack(block)


class _NoKeyError(ValueError):
    pass


def _split(name: str) -> tuple[Path, str | None]:
    for kind in KINDS[1:]:
        file, mark, key = name.partition(f"{kind}:")
        if mark:
            return Path(file + kind), key
    return Path(name), None


def _key(flag: str, keys: list[str], key: str | None, path: Path) -> str:
    if key is None and len(keys) == 1:
        return keys[0]
    if key not in keys:
        asked = "no key" if key is None else repr(key)
        raise _NoKeyError(f"{flag}: expected {path.name}:KEY with KEY one of {', '.join(sorted(keys))}, got {asked}")
    return key
