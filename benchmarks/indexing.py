"""What the index costs: adding beside a plain copy, searching beside the bare op, files; from 10^5 to 10^8 codes.

    python benchmarks/indexing.py [--codes 100000 1000000] [--bits 64] [--repeats 9] [--threads 2] [--folder /tmp]

Results of index and op are compared before they are timed. Writes benchmarks/results/indexing.json, or where --json
says.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from machine import card
from timing import summary, take_turns

import fasthash
from fasthash import HammingIndex

RESULTS = Path(__file__).parent / "results"
BLOCK = 100_000
QUERIES = (1, 64)
K = 10
MOST_ADDED = 10_000_000  # codes that are added block by block


def added(codes: np.ndarray) -> HammingIndex:
    """An index, filled block by block."""
    index = HammingIndex(8 * codes.shape[1], multi_index="never")
    for first in range(0, len(codes), BLOCK):
        index.add(codes[first : first + BLOCK])
    return index


def measure(codes: np.ndarray, repeats: int, folder: Path) -> dict[str, list[float]]:
    """Seconds of each repeat of everything."""
    seconds: dict[str, list[float]] = {}
    if len(codes) <= MOST_ADDED:
        calls = {"plain copy": lambda: codes.copy(), "add, blocks of 100,000": lambda: added(codes)}
        seconds |= take_turns(calls, repeats)
    index = HammingIndex(8 * codes.shape[1], multi_index="never")
    index.add(codes)
    rng = np.random.default_rng(1)
    for count in QUERIES:
        queries = rng.integers(0, 256, (count, codes.shape[1]), dtype=np.uint8)
        for a, b in zip(index.search(queries, K), fasthash.hamming_topk(queries, codes, K), strict=True):
            np.testing.assert_array_equal(a, b)
        calls = {
            f"hamming_topk, {count} queries": lambda queries=queries: fasthash.hamming_topk(queries, codes, K),
            f"search, {count} queries": lambda queries=queries: index.search(queries, K),
        }
        seconds |= take_turns(calls, repeats)
    path = folder / "index"
    files: dict[str, list[float]] = {}
    for _ in range(3):
        begun = time.perf_counter()
        index.save(path)
        files.setdefault("save", []).append(time.perf_counter() - begun)
        mapped = None  # unmapping is not what is timed
        begun = time.perf_counter()
        mapped = HammingIndex.load(path, mmap=True)
        files.setdefault("load, mapped", []).append(time.perf_counter() - begun)
        begun = time.perf_counter()
        mapped.search(codes[:1], K)
        files.setdefault("first search, mapped: checksums too", []).append(time.perf_counter() - begun)
        begun = time.perf_counter()
        HammingIndex.load(path)
        files.setdefault("load", []).append(time.perf_counter() - begun)
    return seconds | files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", type=int, nargs="+", default=[10**5, 10**6, 10**7, 10**8])
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", type=Path, default=RESULTS / "indexing.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = {}
    for count in options.codes:
        codes = np.frombuffer(np.random.default_rng(0).bytes(count * options.bits // 8), np.uint8)
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            seconds = measure(codes.reshape(count, -1), options.repeats, Path(folder))
        for name, own in seconds.items():
            found = summary(own)
            spread = f"{1e3 * found['least']:.2f} to {1e3 * found['most']:.2f}"
            print(f"{count:>11,} {name:<36}{1e3 * found['median']:10.2f} ms ({spread})")
        rows[str(count)] = seconds
    result = {"machine": card(), "bits": options.bits, "seconds": rows}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
