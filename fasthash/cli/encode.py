"""`fasthash encode`: packed codes of a file of vectors, by their signs or by a trained network."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from fasthash.cli.arrays import read_array
from fasthash.ops import pack

BLOCK = 8192  # rows at once


def run(
    input: str, out: str, run: str | None, which: Literal["best", "last"] | None, modality: str | None = None
) -> None:
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
        if modality is not None:
            raise ValueError(f"encode: --modality: expected a --run beside it, got {modality} alone")
        if x.ndim != 2 or not np.issubdtype(x.dtype, np.floating):
            raise ValueError(f"encode: --input: expected floats (n, bits), got {x.dtype} of shape {x.shape}")
        bits: int = x.shape[1]
        encode: Callable[[Any], Any] = pack
    else:
        from fasthash import training

        hasher = training.load(run, which=which).to(training.Run(run).accelerator())
        bits, encode = hasher.bits, partial(hasher.encode, modality=modality)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.npy")
    try:
        _write(temporary, x, -(-bits // 8), encode)
        if target.suffix == ".npy":
            os.replace(temporary, target)
        else:
            _as_safetensors(temporary, target, bits)
    finally:
        temporary.unlink(missing_ok=True)
    print(f"{target}: {len(x):,} codes of {bits} bits")


def _write(path: Path, x: NDArray[Any], width: int, encode: Callable[[Any], Any]) -> None:
    import sys

    from tqdm import tqdm

    codes = np.lib.format.open_memmap(path, "w+", np.uint8, (len(x), width))
    starts = range(0, len(x), BLOCK)
    for start in tqdm(starts, desc="encode", unit="block", file=sys.stderr, disable=not sys.stderr.isatty()):
        codes[start : start + BLOCK] = encode(np.ascontiguousarray(x[start : start + BLOCK]))
    codes.flush()


def _as_safetensors(codes: Path, target: Path, bits: int) -> None:
    from safetensors.torch import save_file

    rows = torch.from_numpy(np.load(codes))
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        save_file({"codes": rows}, temporary, metadata={"bits": str(bits)})
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
