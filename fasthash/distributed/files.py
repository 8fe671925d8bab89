"""The share of a rank of the codes in some files."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from fasthash.distributed.group import BUILD, IDS, Ranks, attempt
from fasthash.index import HammingIndex, inputs
from fasthash.index.file import describe
from fasthash.index.snapshot import Snapshot

_ROWS = 1 << 20  # read from a file, or sent, at a time
_LOOKED_AT = 4096  # bytes at either end of a file
_WHEN = ("never", "always")


class _File(NamedTuple):
    """A file of codes: how to read codes and ids from a row to another, how many rows, of how many bits."""

    read: Callable[[int, int], tuple[Any, Any]]
    rows: int
    bits: int


def read(ranks: Ranks, files: Any, bits: Any, device: Any, multi_index: Any) -> HammingIndex:
    """The rows of files that fall to this rank; all ranks call it.

    Raises:
        TypeError, ValueError, OSError, RuntimeError: as `ShardedIndex.build`.
    """
    name = ranks.function

    def opened() -> tuple[list[_File], HammingIndex, int]:
        if isinstance(files, (str, bytes, os.PathLike)) or not isinstance(files, Sequence):
            raise TypeError(f"{name}: files: expected a list of files, got {files!r}")
        for file in files:
            if not isinstance(file, (str, os.PathLike)):
                raise TypeError(f"{name}: files: expected paths, got {type(file).__name__}")
        if multi_index not in _WHEN:
            raise ValueError(f"{name}: multi_index: expected {' or '.join(_WHEN)}, got {multi_index!r}")
        place = inputs.device_of(name, device)
        paths = [os.fspath(file) for file in files]
        found = [_open(name, path) for path in paths]
        widths = sorted({file.bits for file in found})
        if bits is None and len(widths) != 1:
            raise ValueError(f"{name}: files: expected codes of one width, got bits {widths}")
        index = HammingIndex(widths[0] if bits is None else bits, device=place, multi_index="never")
        inputs.when(name, multi_index, index.bits, place)
        return found, index, _checksum(paths, found)

    found, error = attempt(opened, ([], HammingIndex(1), 0))
    parts: list[_File]
    index: HammingIndex
    parts, index, checksum = found
    total = sum(file.rows for file in parts)
    said = ranks.agree(BUILD, error, [len(parts), total, index.bits, checksum])
    wanted = ("the same number of files", "as many rows", "codes of one width", "files of the same names and contents")
    for column, what in enumerate(wanted):
        if len(set(said[:, column].tolist())) > 1:
            got = f", got {said[:, column].tolist()}" if column < 3 else ""
            raise ValueError(f"{name}: files: expected {what} on all ranks{got}")

    def fill() -> None:
        first, last = total * ranks.rank // ranks.size, total * (ranks.rank + 1) // ranks.size
        begin = 0
        for file in parts:
            for at in range(max(first, begin), min(last, begin + file.rows), _ROWS):
                rows = min(_ROWS, min(last, begin + file.rows) - at)
                codes, ids = file.read(at - begin, at - begin + rows)
                index.add(codes, np.arange(at, at + rows) if ids is None else ids)
            begin += file.rows

    ranks.wait_for_all(BUILD, fill)
    return index


def check_ids(ranks: Ranks, state: Snapshot) -> None:
    """Whether no id is on two ranks; all ranks call it, each with its part.

    Ids are sent only where they are stored, and the ranges of two ranks meet.

    Raises:
        ValueError: an id is on two ranks; on all.
        RuntimeError: a rank has failed.
    """
    own, begin = state.ids, state.ids.first
    stored = torch.empty(0, dtype=torch.int64) if begin is not None else state.read_ids()
    ends = (int(stored.min()), int(stored.max())) if begin is None else (begin, begin + own.count - 1)
    said = ranks.agree(IDS, None, [*ends, int(begin is None), own.count])
    extents = [_Extent(*row) for row in said[:, :4].tolist()]
    hit, error = -1, None
    for rank, other in enumerate(extents):
        meeting = [r for r, extent in enumerate(extents) if r != rank and other.meets(extent)]
        if not other.stored and ranks.rank in meeting and hit < 0 and error is None:
            hit, error = attempt(partial(_first_between, state, other.first, other.last), -1)
        if other.stored and any(extents[r].stored for r in meeting if r > rank):
            for at in range(0, other.codes, _ROWS):
                ids = stored[at : at + _ROWS]
                if rank != ranks.rank:
                    ids = torch.empty(min(_ROWS, other.codes - at), dtype=torch.int64)
                sent = ranks.send(ids, rank).to(state.device)
                if ranks.rank in meeting and hit < 0 and error is None:
                    hit, error = attempt(partial(_first_known, state, sent), -1)
    hits = [int(id) for id in ranks.agree(IDS, error, [hit])[:, 0] if id >= 0]
    if hits:
        raise ValueError(
            f"{ranks.function}: files: expected ids that are all different, but id {min(hits)} is there twice"
        )


class _Extent(NamedTuple):
    """The ids of a rank: from and to which, whether they are stored, how many they are."""

    first: int
    last: int
    stored: int
    codes: int

    def meets(self, other: _Extent) -> bool:
        """Whether an id may be on both."""
        return max(self.first, other.first) <= min(self.last, other.last)


def _first_known(state: Snapshot, ids: torch.Tensor) -> int:
    """The first of some ids that a state has, or -1."""
    return _first(ids[state.find(ids) >= 0])


def _first_between(state: Snapshot, first: int, last: int) -> int:
    """An id of a state in a range that meets its own, or -1."""
    if state.ids.first is not None:
        return max(first, state.ids.first)
    ids = state.read_ids()
    return _first(ids[(ids >= first) & (ids <= last)])


def _first(ids: torch.Tensor) -> int:
    return int(ids[0]) if len(ids) else -1


def _open(name: str, path: str) -> _File:
    if not path.endswith(".npy"):
        header = describe(path)
        index = HammingIndex.load(path, mmap=True)

        def blocks(first: int, last: int) -> tuple[Any, Any]:
            block = next(index.blocks(last - first, start=first))
            return block.codes, block.ids

        return _File(blocks, header.count, header.bits)
    codes = np.load(path, mmap_mode="r", allow_pickle=False)
    if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] == 0:
        raise ValueError(f"{name}: files: expected uint8 (rows, bytes) in {path}, got {codes.dtype} {codes.shape}")
    return _File(lambda first, last: (codes[first:last], None), codes.shape[0], 8 * codes.shape[1])


def _checksum(paths: list[str], files: list[_File]) -> int:
    """Of the names without their folders, the counts, and both ends of each file; index files have sums in theirs."""
    sum = 0
    for path, file in zip(paths, files, strict=True):
        with open(path, "rb") as opened:
            first = opened.read(_LOOKED_AT)
            opened.seek(max(0, os.fstat(opened.fileno()).st_size - _LOOKED_AT))
            sum = zlib.crc32(f"{os.path.basename(path)} {file.rows}".encode() + first + opened.read(), sum)
    return sum
