"""Exact top-k beside FAISS IndexBinaryFlat: one run, the same codes, results compared before anything is timed.

    python benchmarks/peers.py [--codes 1000000] [--queries 256] [--repeats 7] [--threads 2]

Repeats of all contestants take turns, so that a slow moment of the machine meets each of them. Writes
benchmarks/results/topk_faiss.json.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import faiss
import numpy as np
import torch
from machine import card

import fasthash

RESULTS = Path(__file__).parent / "results"


class Cell(NamedTuple):
    """One row of the table: packed codes (rows, bytes) and k."""

    name: str
    queries: np.ndarray
    database: np.ndarray
    k: int


def contestants(cell: Cell) -> dict[str, Callable[[], np.ndarray]]:
    """Each gives the distances (q, k). FAISS breaks ties by arrival, so indices are not compared."""
    index = faiss.IndexBinaryFlat(8 * cell.database.shape[1])
    index.add(cell.database)

    def search(use_heap: bool) -> np.ndarray:
        index.use_heap = use_heap
        return index.search(cell.queries, cell.k)[0]

    return {
        "fasthash": lambda: fasthash.hamming_topk(cell.queries, cell.database, cell.k)[0],
        "faiss heap": lambda: search(True),
        "faiss counting": lambda: search(False),
    }


def measure(calls: dict[str, Callable[[], np.ndarray]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each repeat, after one call of each whose results must agree."""
    results = {name: call() for name, call in calls.items()}
    for name, result in results.items():
        np.testing.assert_array_equal(result, results["fasthash"], err_msg=name)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            time.sleep(0.1)  # OpenMP's threads go on spinning for a while after FAISS has answered
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def random_cells(codes: int, queries: int) -> Iterator[Cell]:
    """Uniform codes of 64 to 1024 bits."""
    rng = np.random.default_rng(0)
    for bits in (64, 128, 256, 512, 1024):
        database = rng.integers(0, 256, (codes, bits // 8), dtype=np.uint8)
        search = rng.integers(0, 256, (queries, bits // 8), dtype=np.uint8)
        for k in (10, 100, 1000):
            yield Cell(f"random, {bits} bits", search, database, k)


def learned_cells() -> Iterator[Cell]:
    """Codes that a supervised method learned, few of them distinct; from the folder FASTHASH_DATA, if it is there."""
    folder = Path(os.environ.get("FASTHASH_DATA", "data")) / "hash-codes"
    if not folder.is_dir():
        print(f"no learned codes: {folder} is not there; FASTHASH_DATA names another folder")
        return
    for path in sorted(folder.glob("*.npz")):
        arrays = np.load(path)
        yield Cell(f"{path.stem}, 48 bits", arrays["query_48"], arrays["database_48"], 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    faiss.omp_set_num_threads(options.threads)
    rows = []
    print(f"{'codes':<20} {'k':>5} {'fasthash ms':>20} {'faiss heap ms':>20} {'faiss counting ms':>20}  ratios")
    for cell in chain(random_cells(options.codes, options.queries), learned_cells()):
        seconds = measure(contestants(cell), options.repeats)
        median = {name: float(np.median(values)) for name, values in seconds.items()}
        least = {name: min(values) for name, values in seconds.items()}
        of_medians, of_least = (min(t["faiss heap"], t["faiss counting"]) / t["fasthash"] for t in (median, least))
        shown = [f"{1e3 * median[n]:.1f} [{1e3 * min(s):.1f} {1e3 * max(s):.1f}]" for n, s in seconds.items()]
        print(
            f"{cell.name:<20} {cell.k:>5} "
            + " ".join(f"{x:>20}" for x in shown)
            + f"  {of_medians:.1f}x {of_least:.1f}x",
            flush=True,
        )
        bits = len(cell.queries) * len(cell.database) * 8 * cell.database.shape[1]
        rows.append(
            {
                "codes": cell.name,
                "queries": len(cell.queries),
                "database": len(cell.database),
                "k": cell.k,
                "seconds": seconds,
                "ratio_of_medians": of_medians,
                "ratio_of_least": of_least,
                "gbit_pairs_per_second": bits / median["fasthash"] / 1e9,
            }
        )
    RESULTS.mkdir(exist_ok=True)
    result = {"machine": card("faiss-cpu"), "options": vars(options), "rows": rows}
    (RESULTS / "topk_faiss.json").write_text(json.dumps(result, indent=1) + "\n")
    print(f"median [least most] of {options.repeats}; ratios of medians and of least times")
    print(f"written to {RESULTS / 'topk_faiss.json'}")


if __name__ == "__main__":
    main()
