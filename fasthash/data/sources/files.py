"""Arrays of files, mapped into memory: only the pages that are read are loaded, and the system may drop them again."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array: TypeAlias = Tensor | NDArray[Any]
File: TypeAlias = str | os.PathLike[str]

KINDS = (".npy", ".npz", ".safetensors")


def cache_folder() -> Path:
    """Where unpacked arrays are kept: FASTHASH_CACHE, else fasthash in XDG_CACHE_HOME, else ~/.cache/fasthash.

    It may be deleted whenever no run reads from it.
    """
    named = os.environ.get("FASTHASH_CACHE")
    if named:
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home and Path(home).is_absolute() else Path.home() / ".cache") / "fasthash"


def array_names(path: File) -> tuple[str, ...]:
    """Keys of the arrays in a .npz or .safetensors file, in its order; none in a .npy file, which is one array.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file of another kind, or one that cannot be read.
    """
    path = _checked("array_names", path)
    if path.suffix == ".npy":
        return ()
    try:
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as members:
                return tuple(name.removesuffix(".npy") for name in members.namelist())
        from safetensors import safe_open

        with safe_open(path, framework="np") as tensors:
            return tuple(tensors.keys())
    except Exception as error:  # the readers raise many kinds, all of which mean the same to the user
        raise _unreadable("array_names", path, error) from error


def map_array(path: File, key: str | None = None) -> Array:
    """The array of a file, mapped and not read.

    A .npy file is mapped as it lies, and so is a tensor of a .safetensors file. An array of a .npz file is unpacked
    into `cache_folder` the first time, under a name that stands for the file (place, size, time of its last change) and
    the array (key, checksum), and mapped from there: a changed file is unpacked anew. Processes may do so at once.

    Args:
        path: a .npy, .npz or .safetensors file.
        key: of the array; None where there is but one.

    Returns:
        An array, read-only; of .safetensors files a tensor.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file of another kind, an array of objects, a key that is missing or that it lacks, or a file that
            cannot be read.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from fasthash.data import map_array
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/x.npy", np.arange(6.0).reshape(3, 2))
        ...     map_array(f"{folder}/x.npy")[1].tolist()
        [2.0, 3.0]
    """
    path = _checked("map_array", path)
    keys = array_names(path)
    if path.suffix == ".npy":
        if key is not None:
            raise ValueError(f"map_array: key: expected None with a .npy file, got {key!r}")
        return _load(path, path)
    if key is None and len(keys) == 1:
        key = keys[0]
    if key is None or key not in keys:
        raise ValueError(f"map_array: key: expected one of {', '.join(keys)} of {str(path)!r}, got {key!r}")
    if path.suffix == ".npz":
        return _load(_unpacked(path, key), path)
    from safetensors import safe_open

    # As tensors, since the library reads its arrays whole.
    with safe_open(path, framework="pt") as tensors:
        mapped: Tensor = tensors.get_tensor(key)
    return mapped


def _checked(function: str, path: File) -> Path:
    path = Path(path)
    if path.suffix not in KINDS:
        raise ValueError(f"{function}: path: expected a file that ends in {', '.join(KINDS)}, got {str(path)!r}")
    if not path.is_file():
        raise FileNotFoundError(f"{function}: path: expected a file, got {str(path)!r}, which is not there")
    return path


def _unreadable(function: str, path: Path, error: Exception) -> ValueError:
    return ValueError(f"{function}: path: expected a readable {path.suffix} file, got {str(path)!r}: {error}")


def _load(path: Path, named: Path) -> NDArray[Any]:
    """A .npy file mapped; the error names the file that the user named."""
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:
        raise _unreadable("map_array", named, error) from error
    return array


def _unpacked(path: Path, key: str) -> Path:
    """The .npy file of an array of a .npz file, in the cache."""
    found = path.stat()
    try:
        with zipfile.ZipFile(path) as members:
            member = members.getinfo(key if key in members.namelist() else f"{key}.npy")
            identity = (str(path.resolve()), found.st_size, found.st_mtime_ns, key, member.CRC, member.file_size)
            digest = hashlib.blake2b(repr(identity).encode(), digest_size=16).hexdigest()
            target = cache_folder() / "arrays" / f"{path.stem}-{key.replace('/', '_')}-{digest}.npy"
            if target.exists():
                return target
            target.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(suffix=".tmp", dir=target.parent)
            try:
                with os.fdopen(descriptor, "wb") as file, members.open(member) as packed:
                    shutil.copyfileobj(packed, file, 2**20)
                    file.flush()
                    os.fsync(file.fileno())
                # Whole, or not at all, under its name: a run that is killed here leaves nothing that another maps.
                os.replace(temporary, target)
            finally:
                Path(temporary).unlink(missing_ok=True)
            return target
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise _unreadable("map_array", path, error) from error
