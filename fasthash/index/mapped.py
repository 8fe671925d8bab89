"""Checks of the blocks of a mapped file, each when it is first read."""

from __future__ import annotations

import mmap
import zlib
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

BLOCK = 1 << 20  # bytes of a table that share a checksum


@dataclass(frozen=True)
class Part:
    """A table of a mapped file.

    Attributes:
        data: its bytes, uint8 (rows * row_bytes,).
        row_bytes: of one row.
        sums: int64, CRC-32 of each block.
        seen: bool, whether a block was checked.
    """

    data: NDArray[np.uint8]
    row_bytes: int
    sums: NDArray[np.int64]
    seen: NDArray[np.bool_]


class Verifier:
    """Checks blocks of a mapped file before they are read, each once.

    Several threads may check at once; they then check a block twice, which does no harm.
    """

    def __init__(self, path: str, mapping: mmap.mmap, parts: dict[str, Part]) -> None:
        self.path = path
        self._mapping = mapping
        self._size = len(mapping)
        self._parts = parts

    def check(self, name: str, positions: torch.Tensor | None = None) -> None:
        """Check a table, or the blocks that hold the rows at some positions (-1 = none).

        Raises:
            ValueError: a block is not what was saved, or the file was cut.
        """
        if self._mapping.size() < self._size:  # reading behind the end would end the process
            raise ValueError(
                f"HammingIndex: {self.path}: expected {self._size} bytes as when it was mapped, got "
                f"{self._mapping.size()}"
            )
        part = self._parts.get(name)
        if part is None or part.seen.all():
            return
        wanted = ~part.seen
        if positions is not None:
            begin = positions[positions >= 0].numpy() * part.row_bytes
            touched = np.zeros_like(wanted)
            touched[begin // BLOCK] = True
            touched[(begin + part.row_bytes - 1) // BLOCK] = True  # a row is shorter than a block
            wanted &= touched
        for block in np.flatnonzero(wanted):
            at = int(block) * BLOCK
            if zlib.crc32(part.data[at : at + BLOCK].data) != part.sums[block]:
                raise ValueError(damaged(f"HammingIndex: {self.path}", name, int(block)))
            part.seen[block] = True

    def check_all(self) -> None:
        """Check the whole file.

        Raises:
            ValueError: a block is not what was saved, or the file was cut.
        """
        for name in self._parts:
            self.check(name)


def damaged(where: str, name: str, block: int) -> str:
    """What is said of a block whose checksum does not fit."""
    first, last = block * BLOCK, (block + 1) * BLOCK
    return (
        f"{where}: expected the {name} that were saved, got others: bytes {first} to {last} do not fit their checksum"
    )
