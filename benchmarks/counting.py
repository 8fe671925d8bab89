"""Counts by distance beside vectorised NumPy: one run, equal results before anything is timed.

    python benchmarks/counting.py [--queries 10000] [--codes 50000] [--repeats 7] [--threads 2]

Writes benchmarks/results/counting.json, or where --json says. NumPy counts a share of the queries, and its time is
scaled; `evaluation.py` has the metrics that are made of the counts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from machine import card
from timing import summary, take_turns

import fasthash

RESULTS = Path(__file__).parent / "results"
BITS = 64
CLASSES = 10
BLOCK = 100  # queries that NumPy takes at a time, so that their distances stay in the cache


def numpy_histogram(
    queries: np.ndarray, database: np.ndarray, query_labels: np.ndarray, database_labels: np.ndarray
) -> np.ndarray:
    """`relevance_histogram` by popcounts of words and one bincount a block; class ids, or label sets as words."""
    words = database.view(np.uint64)[:, 0]
    out = np.empty((len(queries), BITS + 1, 2), dtype=np.int64)
    for first in range(0, len(queries), BLOCK):
        block = queries[first : first + BLOCK].view(np.uint64)
        own = query_labels[first : first + BLOCK, None]
        relevant = own == database_labels if own.dtype != np.uint64 else (own & database_labels) != 0
        bins = 2 * np.bitwise_count(block ^ words).astype(np.int64) + relevant
        bins += np.arange(len(block))[:, None] * (2 * BITS + 2)
        counts = np.bincount(bins.ravel(), minlength=len(block) * (2 * BITS + 2)).reshape(len(block), BITS + 1, 2)
        out[first : first + BLOCK, :, 0] = counts.sum(axis=2)
        out[first : first + BLOCK, :, 1] = counts[:, :, 1]
    return out


def sets_as_words(labels: np.ndarray) -> np.ndarray:
    """Multi-hot (n, up to 64) to (n,) words."""
    packed = np.zeros((len(labels), 8), dtype=np.uint8)
    packed[:, : (labels.shape[1] + 7) // 8] = np.packbits(labels, axis=1)
    return packed.view(np.uint64)[:, 0]


def measure(ours: Callable[[], object], numpy: Callable[[], object], share: float, repeats: int) -> dict[str, object]:
    seconds = take_turns({"fasthash": ours, "numpy": numpy}, repeats)
    seconds["numpy"] = [value / share for value in seconds["numpy"]]
    ratios = {of: summary(seconds["numpy"])[of] / summary(seconds["fasthash"])[of] for of in ("median", "least")}
    return {"seconds": seconds, "ratio": ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--codes", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, default=RESULTS / "counting.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    queries = rng.integers(0, 256, (options.queries, BITS // 8), dtype=np.uint8)
    database = rng.integers(0, 256, (options.codes, BITS // 8), dtype=np.uint8)
    ids = rng.integers(0, CLASSES, options.queries), rng.integers(0, CLASSES, options.codes)
    sets = rng.random((options.queries, 21)) < 0.1, rng.random((options.codes, 21)) < 0.1
    some = slice(0, max(1, options.queries // 20))
    rows = {}
    for name, labels, as_numpy in (
        (f"relevance_histogram, {CLASSES} classes", ids, ids),
        ("relevance_histogram, 21 labels", sets, tuple(map(sets_as_words, sets))),
    ):
        found = fasthash.relevance_histogram(queries, database, *labels)
        theirs = numpy_histogram(queries[some], database, as_numpy[0][some], as_numpy[1])
        np.testing.assert_array_equal(found[some], theirs, err_msg=name)
        rows[name] = measure(
            lambda labels=labels: fasthash.relevance_histogram(queries, database, *labels),
            lambda own=as_numpy: numpy_histogram(queries[some], database, own[0][some], own[1]),
            len(queries[some]) / len(queries),
            options.repeats,
        )
    for name, call in {
        "hamming_histogram": lambda: fasthash.hamming_histogram(queries, database),
        "overlap_histogram, 21 labels": lambda: fasthash.overlap_histogram(queries, database, *sets),
        f"average_precision_counts, {CLASSES} classes": lambda: fasthash.average_precision_counts(
            queries, database, *ids
        ),
    }.items():
        rows[name] = {"seconds": take_turns({"fasthash": call}, options.repeats)}
    for name, row in rows.items():
        own = summary(row["seconds"]["fasthash"])
        pairs = options.queries * options.codes / own["median"] / 1e9
        spread = f"{1e3 * own['least']:.1f} to {1e3 * own['most']:.1f}"
        text = f"{name}: {1e3 * own['median']:.1f} ms ({spread}), {pairs:.1f} Gpair/s"
        if "ratio" in row:
            text += (
                f"; NumPy takes {row['ratio']['median']:.0f} times as long ({row['ratio']['least']:.0f} by least times)"
            )
        print(text)
    result = {"machine": card(), "options": {**vars(options), "json": str(options.json.name)}, "rows": rows}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
