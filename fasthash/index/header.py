"""The first bytes of an index file: what is in it, where, and a checksum over that. docs/index.md has the format."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from fasthash.index.inputs import DOCUMENTS, documents_name
from fasthash.index.mapped import BLOCK
from fasthash.index.snapshot import Snapshot
from fasthash.ops import _check

FORMAT, VERSION = "fasthash.index", 1
_DTYPES = {torch.int64: "I64", torch.float32: "F32", torch.float16: "F16", torch.int8: "I8", torch.uint8: "U8"}
_ALIGNMENT = 64  # of the first byte of data
_LONGEST = 1 << 16
_UNSIGNED = "0" * 64  # stands for the header's checksum while that is made
_NO_SUMS = "0" * 8


class Table(NamedTuple):
    """A table of the file: begin and end are bytes from the start of the data."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def blocks(self) -> int:
        """Number of its checksums."""
        return -(-(self.end - self.begin) // BLOCK)


@dataclass(frozen=True)
class Header:
    """What a file says of itself, all of it.

    Attributes:
        bits: width of the codes.
        count: number of codes.
        ids: "sequence N" for N, N + 1, ..., which are not stored; "rising" or "any" for stored ones.
        documents: "none", "int8", "float16" or "float32".
        next_id: larger than every id that was ever used.
    """

    bits: int
    count: int
    ids: str
    documents: str
    next_id: int

    @classmethod
    def of(cls, state: Snapshot) -> Header:
        """The header of a file that holds a state."""
        ids = "rising" if state.ids.rises else "any"
        if state.ids.first is not None:
            ids = f"sequence {state.ids.first}"
        documents = "none" if state.documents is None else documents_name(state.documents.table.dtype)
        return cls(state.bits, len(state), ids, documents, state.next_id)

    @property
    def first_id(self) -> int | None:
        """The first of consecutive ids; None where ids are stored."""
        return int(self.ids.removeprefix("sequence ")) if self.ids.startswith("sequence ") else None

    @property
    def tables(self) -> dict[str, Table]:
        """What stands after the checksums, in the order of the file: wide elements first, so that all are aligned."""
        shapes: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {}
        if self.first_id is None:
            shapes["ids"] = torch.int64, (self.count,)
        if self.documents != "none":
            shapes["documents"] = (
                next(x for name, x in DOCUMENTS.items() if name == self.documents),
                (self.count, self.bits),
            )
        shapes["codes"] = torch.uint8, (self.count, (self.bits + 7) // 8)
        sizes = {name: math.prod(shape) * dtype.itemsize for name, (dtype, shape) in shapes.items()}
        at = 8 * sum(-(-size // BLOCK) for size in sizes.values())
        tables = {}
        for name, (dtype, shape) in shapes.items():
            tables[name] = Table(dtype, shape, at, at + sizes[name])
            at += sizes[name]
        return tables

    @property
    def checksums(self) -> Table:
        """The CRC-32 of each block of each table, as int64."""
        blocks = sum(table.blocks for table in self.tables.values())
        return Table(torch.int64, (blocks,), 0, 8 * blocks)

    @property
    def start(self) -> int:
        """Where the data begins in the file."""
        return len(self.encoded(_NO_SUMS))

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self.start + self.tables["codes"].end

    def encoded(self, sums: str) -> bytes:
        """The header as safetensors has it: its length in 8 bytes, JSON, and spaces up to where the data begins.

        Args:
            sums: CRC-32 of the table of checksums, 8 hexadecimal digits.
        """
        entries: dict[str, Any] = {
            name: {"dtype": _DTYPES[table.dtype], "shape": table.shape, "data_offsets": [table.begin, table.end]}
            for name, table in {"checksums": self.checksums, **self.tables}.items()
        }
        metadata = {
            "format": FORMAT,
            "version": str(VERSION),
            "bits": str(self.bits),
            "count": str(self.count),
            "ids": self.ids,
            "documents": self.documents,
            "next_id": str(self.next_id),
            "block": str(BLOCK),
            "checksums_crc32": sums,
        }

        def written(sha256: str) -> bytes:
            text = json.dumps({"__metadata__": {**metadata, "header_sha256": sha256}, **entries}, separators=(",", ":"))
            text += " " * (-(len(text) + 8) % _ALIGNMENT)
            return struct.pack("<Q", len(text)) + text.encode()

        return written(hashlib.sha256(written(_UNSIGNED)).hexdigest())


def decoded(name: str, first: bytes, text: bytes) -> tuple[Header, str]:
    """The header of a file from its length and its text, and the CRC-32 of the table of checksums.

    Raises:
        ValueError: not the header of an index file, of a later version, or altered.
    """
    try:
        metadata = json.loads(text)["__metadata__"]
        ours = metadata["format"] == FORMAT
        sha256 = str(metadata["header_sha256"])
    except (ValueError, KeyError, TypeError, RecursionError):
        ours = False
    if not ours:
        raise foreign(name)
    if hashlib.sha256((first + text).replace(sha256.encode(), _UNSIGNED.encode())).hexdigest() != sha256:
        raise ValueError(f"{name}: expected the header that was saved, got an altered one")
    if metadata.get("version") != str(VERSION):
        raise ValueError(
            f"{name}: expected version {VERSION} of the format, got {metadata.get('version')}; "
            "a newer fasthash may read it"
        )
    try:
        bits, count, next_id = (int(metadata[key]) for key in ("bits", "count", "next_id"))
        sums = metadata["checksums_crc32"]
        header = Header(bits, count, metadata["ids"], metadata["documents"], next_id)
        whole = 1 <= bits <= 8 * _check.MOST_BYTES and count >= 0 and header.encoded(sums) == first + text
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        whole = False
    if not whole:
        raise ValueError(f"{name}: expected a header as fasthash writes it, got another")
    return header, sums


def header_length(name: str, first: bytes, size: int) -> int:
    """Bytes of the text after the first eight, in a file of some size.

    Raises:
        ValueError: such a file is no index file.
    """
    length = struct.unpack("<Q", first)[0] if len(first) == 8 else 0
    if not 2 <= length <= min(_LONGEST, size - 8):
        raise foreign(name)
    return int(length)


def foreign(name: str) -> ValueError:
    """The error for a file that is none of ours."""
    return ValueError(f"{name}: expected an index file of fasthash, got another file or a damaged one")
