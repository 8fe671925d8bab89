"""`fasthash encode`: packed codes of a file of vectors, by their signs or by a trained network."""

from __future__ import annotations

import io
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from fasthash.cli.arrays import read_array
from fasthash.index.atomic import replacing
from fasthash.ops import pack

BLOCK = 8192  # rows at once


def run(input: str, out: str, run: str | None, which: Literal["best", "last"] | None) -> None:
    """Read in blocks, encode, write; a file that was there is replaced once the new one is whole."""
    target = Path(out)
    if target.suffix not in (".npy", ".safetensors"):
        raise ValueError(f"encode: --out: expected a name that ends in .npy or .safetensors, got {out!r}")
    x = read_array("encode", "input", input, mapped=True)
    if x.ndim < 2:
        raise ValueError(f"encode: --input: expected one row an item, got shape {x.shape}")
    if run is None:
        if which is not None:
            raise ValueError(f"encode: --which: expected a --run beside it, got {which} alone")
        if x.ndim != 2 or not np.issubdtype(x.dtype, np.floating):
            raise ValueError(f"encode: --input: expected floats (n, bits), got {x.dtype} of shape {x.shape}")
        bits, encode = x.shape[1], pack
    else:
        from fasthash import training

        hasher = training.load(run, which=which).to(training.Run(run).accelerator())
        bits, encode = hasher.bits, hasher.encode
    header = (_npy if target.suffix == ".npy" else _safetensors)(len(x), -(-bits // 8), bits)
    with replacing(target) as file:
        file.write(header)
        _write(file, x, encode)
    print(f"{target}: {len(x):,} codes of {bits} bits")


def _write(file: BinaryIO, x: NDArray[Any], encode: Callable[[Any], Any]) -> None:
    from tqdm import tqdm

    starts = range(0, len(x), BLOCK)
    for start in tqdm(starts, desc="encode", unit="block", file=sys.stderr, disable=not sys.stderr.isatty()):
        codes = encode(np.ascontiguousarray(x[start : start + BLOCK]))
        file.write(np.ascontiguousarray(codes, dtype=np.uint8).data)


def _npy(rows: int, width: int, bits: int) -> bytes:
    """What stands before codes in a .npy file."""
    header = io.BytesIO()
    what = {"descr": "|u1", "fortran_order": False, "shape": (rows, width)}
    np.lib.format.write_array_header_1_0(header, what)
    return header.getvalue()


def _safetensors(rows: int, width: int, bits: int) -> bytes:
    """What stands before codes in a .safetensors file; the library would need them all in memory."""
    codes = {"dtype": "U8", "shape": [rows, width], "data_offsets": [0, rows * width]}
    text = json.dumps({"__metadata__": {"bits": str(bits)}, "codes": codes}).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text
