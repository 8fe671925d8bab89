"""`fasthash index`: index files from files of codes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasthash import HammingIndex
from fasthash.cli.arrays import index_file, packed_rows, read_array, read_bits
from fasthash.index.file import describe
from fasthash.index.inputs import Documents

_ROWS = 100_000  # added at a time


def build(
    codes: tuple[str, ...],
    out: str,
    ids: str | None,
    documents: str | None,
    store: Documents,
    bits: int | None,
    overwrite: bool,
) -> None:
    """Make an index file."""
    command = "index build"
    if Path(out).exists() and not overwrite:
        raise ValueError(
            f"{command}: --out: expected a new file, got {out!r}, which is there (--overwrite replaces it)"
        )
    index = HammingIndex(_width(command, codes, bits), documents=None if documents is None else store)
    _add(command, index, codes, ids, documents)
    index.save(out)
    print(f"{out}: {index}")


def add(
    index: str, codes: tuple[str, ...], ids: str | None, documents: str | None, out: str | None, expect: int | None
) -> None:
    """Add to an index file."""
    command = "index add"
    loaded = HammingIndex.load(index_file(command, index))
    if expect is not None and len(loaded) != expect:
        raise ValueError(f"{command}: --index: expected {expect} codes, as --expect says, got {len(loaded)} in {index}")
    if loaded.documents is not None and documents is None:
        raise ValueError(f"{command}: --documents: expected a file, as {index} stores {loaded.documents} documents")
    _add(command, loaded, codes, ids, documents)
    loaded.save(index if out is None else out)
    print(f"{index if out is None else out}: {loaded}")


def info(index: str, verify: bool) -> None:
    """Print what an index file holds."""
    header = describe(index_file("index info", index))
    rows = {
        "bits": f"{header.bits}",
        "codes": f"{header.count:,}",
        "ids": "stored" if header.first_id is None else f"{header.first_id} and on, not stored",
        "documents": header.documents,
        "next id": f"{header.next_id}",
        "bytes": f"{header.size:,}",
    }
    if verify:
        HammingIndex.load(index, mmap=True, verify=True)
        rows["checksums"] = "all fit"
    for name, value in rows.items():
        print(f"{name:<12}{value}")


def _width(command: str, codes: tuple[str, ...], bits: int | None) -> int:
    """The width of codes in files, unless it is given."""
    if bits is not None:
        return bits
    stated = read_bits(*codes)
    if stated is not None:
        return stated
    first = _rows(command, "codes", codes[0])
    return int(first.shape[1]) * (8 if first.dtype == np.uint8 else 1)


def _add(command: str, index: HammingIndex, codes: tuple[str, ...], ids: str | None, documents: str | None) -> None:
    """Add the rows of files, block by block."""
    from tqdm import tqdm

    tables = [_rows(command, "codes", name) for name in codes]
    count = sum(len(table) for table in tables)
    others: dict[str, Any] = {}
    for argument, name in (("ids", ids), ("documents", documents)):
        others[argument] = None if name is None else read_array(command, argument, name)
        if name is not None and len(others[argument]) != count:
            got = len(others[argument])
            raise ValueError(f"{command}: --{argument}: expected {count} rows, one for each of the codes, got {got}")
    done = 0
    with tqdm(total=count, unit=" codes", disable=None) as progress:
        for block in _blocks(tables):
            part = slice(done, done + len(block))
            packed = packed_rows(command, "codes", block)
            index.add(packed, **{name: None if rows is None else rows[part] for name, rows in others.items()})
            done += len(block)
            progress.update(len(block))


def _rows(command: str, argument: str, name: str) -> NDArray[Any]:
    """A matrix from a file."""
    array = read_array(command, argument, name)
    if array.ndim != 2:
        raise ValueError(f"{command}: --{argument}: expected a matrix in {name}, got shape {array.shape}")
    return array


def _blocks(tables: list[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    for table in tables:
        for first in range(0, len(table), _ROWS):
            yield table[first : first + _ROWS]
