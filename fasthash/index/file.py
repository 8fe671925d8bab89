"""Saves and loads the state of an index."""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from fasthash.index.atomic import replacing
from fasthash.index.header import Header, decoded, header_length
from fasthash.index.ids import Ids
from fasthash.index.mapped import BLOCK, Part, Verifier, damaged
from fasthash.index.rows import Rows, allocate, numpy_dtype
from fasthash.index.snapshot import Snapshot
from fasthash.ops._arrays import tensors

FilePath = str | os.PathLike[str]


def save(path: FilePath, state: Snapshot) -> None:
    """Write a state to a file, which takes the place of what was there when all is on the disk.

    Raises:
        OSError: it cannot be written; what was there is left as it was.
    """
    header = Header.of(state)
    sums = np.zeros(header.checksums.shape, dtype="<i8")
    with replacing(Path(path)) as file:
        file.seek(header.start + sums.nbytes)
        at = 0
        for name in header.tables:
            for block in _byte_blocks(_table(state, name)):
                file.write(block.data)
                sums[at] = zlib.crc32(block.data)
                at += 1
        file.seek(0)
        file.write(header.encoded(f"{zlib.crc32(sums.tobytes()):08x}"))
        file.write(sums.tobytes())


def load(path: FilePath, device: torch.device, *, mapped: bool, verify: bool | None) -> Snapshot:
    """Read a state back.

    Args:
        path: of the file.
        device: to read it to; the CPU for a mapped one.
        mapped: leave the tables in the file, whose pages are read when they are needed.
        verify: look at the checksums of the tables: None = while they are read, those of a mapped file when it is first
            touched; True = now; False = never.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is no index file, one of another version, cut, extended or altered.
    """
    with open(path, "rb") as file:
        header, sums = _read_header(path, file)
        parts = None if verify is False else _split(header, sums)
        if mapped:
            tables, verifier = _map(path, file, header, parts)
        else:
            tables, verifier = _read(path, file, header, parts), None
    if header.first_id is not None:
        ids = Ids.sequence(header.first_id, header.count)
    else:
        ids = Ids(header.count, None, Rows(tables["ids"], header.count), header.ids == "rising")
    documents = Rows(tables["documents"], header.count) if "documents" in tables else None
    codes = Rows(tables["codes"], header.count)
    state = Snapshot(header.bits, torch.device("cpu"), codes, ids, documents, header.next_id, verifier)
    if verifier is not None and verify:
        verifier.check_all()
    return state if device.type == "cpu" else state.to(device)


def describe(path: FilePath) -> Header:
    """The checked header of a file; the tables are not read.

    Raises:
        OSError, ValueError: as `load`.
    """
    with open(path, "rb") as file:
        return _read_header(path, file)[0]


def _table(state: Snapshot, name: str) -> torch.Tensor:
    return {"ids": state.read_ids, "documents": state.read_documents, "codes": state.read_codes}[name]()


def _byte_blocks(table: torch.Tensor) -> Iterator[NDArray[np.uint8]]:
    """The bytes of a table in blocks, brought to the host one after the other."""
    flat = table.reshape(-1).view(torch.uint8)
    for at in range(0, len(flat), BLOCK):
        yield flat[at : at + BLOCK].cpu().numpy()


def _name(path: FilePath) -> str:
    return f"HammingIndex.load: {os.fspath(path)}"


def _read_header(path: FilePath, file: BinaryIO) -> tuple[Header, NDArray[np.int64]]:
    """The header and all checksums."""
    name, size = _name(path), os.fstat(file.fileno()).st_size
    first = file.read(8)
    header, crc = decoded(name, first, file.read(header_length(name, first, size)))
    if size != header.size:
        what = "cut" if size < header.size else "extended"
        raise ValueError(f"{name}: expected {header.size} bytes, got {size}: the file was {what}")
    data = file.read(header.checksums.end)
    if f"{zlib.crc32(data):08x}" != crc:
        raise ValueError(f"{name}: expected the checksums that were saved, got altered ones")
    return header, np.frombuffer(data, dtype="<i8").astype(np.int64)


def _split(header: Header, sums: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """The checksums of each table."""
    ends = np.cumsum([table.blocks for table in header.tables.values()])
    return dict(zip(header.tables, np.split(sums, ends[:-1]), strict=True))


def _read(
    path: FilePath, file: BinaryIO, header: Header, sums: dict[str, NDArray[np.int64]] | None
) -> dict[str, torch.Tensor]:
    """The tables in memory, each block checked when it was read."""
    found = {}
    for name, table in header.tables.items():
        width = table.shape[1] if len(table.shape) == 2 else None
        found[name] = allocate(header.count, width, table.dtype, torch.device("cpu"))
        data = found[name].view(-1).view(torch.uint8).numpy()
        file.seek(header.start + table.begin)
        for block in range(table.blocks):
            view = data[block * BLOCK : (block + 1) * BLOCK]
            read = file.read(len(view))
            if len(read) < len(view):
                raise ValueError(f"{_name(path)}: expected {header.size} bytes, got fewer: the file is being cut")
            if sums is not None and zlib.crc32(read) != sums[name][block]:
                raise ValueError(damaged(_name(path), name, block))
            view[:] = np.frombuffer(read, dtype=np.uint8)
    return found


def _map(
    path: FilePath, file: BinaryIO, header: Header, sums: dict[str, NDArray[np.int64]] | None
) -> tuple[dict[str, torch.Tensor], Verifier]:
    """The tables where they lie in the file, and who checks them."""
    mapping = mmap.mmap(file.fileno(), header.size, access=mmap.ACCESS_READ)
    data = np.frombuffer(mapping, dtype=np.uint8)
    found, parts = {}, {}
    for name, table in header.tables.items():
        rows = data[header.start + table.begin : header.start + table.end]
        if sums is not None:
            row_bytes = (table.end - table.begin) // max(1, header.count)
            parts[name] = Part(rows, row_bytes, sums[name], np.zeros(table.blocks, dtype=np.bool_))
        array = rows.view(numpy_dtype(table.dtype)).reshape(table.shape)
        found[name] = tensors("HammingIndex.load", table=array)[0][0]
    return found, Verifier(os.fspath(path), mapping, parts)
