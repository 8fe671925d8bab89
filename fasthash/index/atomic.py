"""Files that are replaced as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of `path` when the block ends well and all is on the disk.

    Until then it has no name, where the file system can do that (most local ones can): whenever the process or the
    machine stops, what is found is the file that was there before, or the whole new one. Elsewhere an unfinished
    `.NAME.*.tmp` may be left beside it.
    """
    path = path.resolve()  # a link stays, and its file is replaced
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    temporary = f".{path.name}.{secrets.token_hex(8)}.tmp"
    try:
        descriptor, nameless = _open(folder, temporary)
        try:
            with os.fdopen(descriptor, "w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                if nameless:
                    os.link(f"/proc/self/fd/{file.fileno()}", temporary, dst_dir_fd=folder, follow_symlinks=True)
            os.replace(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise
        os.fsync(folder)
    finally:
        os.close(folder)


def _open(folder: int, temporary: str) -> tuple[int, bool]:
    """A file in a folder to write to, and whether it has no name."""
    if os.path.exists("/proc/self/fd"):
        with contextlib.suppress(OSError):  # a file system that knows no nameless files
            return os.open(".", os.O_TMPFILE | os.O_RDWR, 0o666, dir_fd=folder), True
    return os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666, dir_fd=folder), False
