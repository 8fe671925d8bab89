"""`fasthash search`: queries from a file against an index file."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fasthash import HammingIndex
from fasthash.cli.arrays import index_file, packed_rows, read_array
from fasthash.index.atomic import replacing

_QUERIES = 1000  # searched at a time


def run(
    index: str,
    queries: str,
    k: int,
    radius: int | None,
    rescore: bool,
    oversample: int | None,
    filter: str | None,
    out: str | None,
) -> None:
    """Search and write."""
    if out is not None and Path(out).suffix not in (".jsonl", ".npz"):
        raise ValueError(f"search: --out: expected a file that ends in .jsonl or .npz, got {out!r}")
    if radius is not None and rescore:
        raise ValueError("search: --rescore: expected no --radius beside it")
    if oversample is not None and not rescore:
        raise ValueError(f"search: --oversample: expected --rescore beside it, got {oversample} alone")
    loaded = HammingIndex.load(index_file("search", index), mmap=True)
    asked = read_array("search", "queries", queries)
    if asked.ndim != 2:
        raise ValueError(f"search: --queries: expected a matrix in {queries}, got shape {asked.shape}")
    if rescore and asked.dtype == np.uint8:
        raise ValueError("search: --queries: expected floats for --rescore, got packed codes")
    allowed = None if filter is None else read_array("search", "filter", filter)

    def results() -> Iterator[dict[str, NDArray[Any]]]:
        for first in range(0, max(1, len(asked)), _QUERIES):  # once without queries, for empty arrays
            block = np.asarray(asked[first : first + _QUERIES])
            if rescore:
                scores, ids = loaded.search_rescored(
                    block, k, oversample=4 if oversample is None else oversample, filter=allowed
                )
                yield {"ids": ids, "scores": scores}
                continue
            packed = packed_rows("search", "queries", block)
            if radius is not None:
                offsets, distances, ids = loaded.range_search(packed, radius, filter=allowed)
                yield {"offsets": offsets, "ids": ids, "distances": distances}
            else:
                distances, ids = loaded.search(packed, k, filter=allowed)
                yield {"ids": ids, "distances": distances}

    with contextlib.ExitStack() as stack:
        file: BinaryIO = sys.stdout.buffer if out is None else stack.enter_context(replacing(Path(out)))
        if out is not None and out.endswith(".npz"):
            arrays: dict[str, Any] = _joined(list(results()))
            np.savez(file, **arrays)
        else:
            _write_lines(file, results())


def _write_lines(file: BinaryIO, results: Iterator[dict[str, NDArray[Any]]]) -> None:
    """A line of JSON for each query; places without a code are left out."""
    number = 0
    for result in results:
        offsets = result.pop("offsets", None)
        for row in range(len(result["ids"]) if offsets is None else len(offsets) - 1):
            place: Any = row if offsets is None else slice(offsets[row], offsets[row + 1])
            found = result["ids"][place] >= 0
            line = {"query": number, **{name: values[place][found].tolist() for name, values in result.items()}}
            file.write(json.dumps(line).encode() + b"\n")
            number += 1
    file.flush()


def _joined(results: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """The arrays of all blocks of queries as one."""
    joined = {name: np.concatenate([result[name] for result in results]) for name in results[0]}
    if "offsets" in joined:
        counts = np.concatenate([np.diff(result["offsets"]) for result in results])
        joined["offsets"] = np.concatenate([[0], np.cumsum(counts)])
    return joined
