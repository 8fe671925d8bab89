"""Rescoring beside NumPy and torch: one run, the same candidates, results compared before anything is timed.

    python benchmarks/rescoring.py [--queries 1000] [--candidates 200] [--bits 1024] [--repeats 9] [--threads 2]

Writes benchmarks/results/rescoring.json, or where --json says.

Candidates lie anywhere in the documents ("scattered"), or among so few rows that the cache holds them: the difference
is what memory costs. Sixteen dimensions of each row alone are memory at work and little else.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from machine import card
from timing import summary, take_turns

import fasthash

RESULTS = Path(__file__).parent / "results"
ROWS_IN_CACHE = 1_000


class Cell(NamedTuple):
    """One row of the table: float queries (q, dim), documents, candidates (q, c)."""

    name: str
    queries: np.ndarray
    documents: np.ndarray
    candidates: np.ndarray


def gathered(cell: Cell, queries: slice = slice(None)) -> np.ndarray:
    """The candidates as float32 (q, c, dim)."""
    rows = cell.documents[cell.candidates[queries]]
    if rows.dtype == np.uint8:
        return np.unpackbits(rows, axis=-1).astype(np.float32) * 2 - 1
    return rows.astype(np.float32)


def numpy_at_once(cell: Cell) -> np.ndarray:
    """As sentence-transformers rescores."""
    return np.einsum("qd,qcd->qc", cell.queries, gathered(cell))


def numpy_by_query(cell: Cell) -> np.ndarray:
    """The same a query at a time, so that what is gathered stays in the cache."""
    out = np.empty(cell.candidates.shape, np.float32)
    for i, query in enumerate(cell.queries):
        out[i] = gathered(cell, slice(i, i + 1))[0] @ query
    return out


def torch_at_once(cell: Cell) -> np.ndarray:
    """Gather and batched product; codes go through fasthash.unpack, as torch has none."""
    rows = torch.from_numpy(cell.documents)[torch.from_numpy(cell.candidates)]
    values = fasthash.unpack(rows, cell.queries.shape[1]) if rows.dtype == torch.uint8 else rows.float()
    return torch.bmm(values, torch.from_numpy(cell.queries)[:, :, None])[:, :, 0].numpy()


def contestants(cell: Cell) -> dict[str, Callable[[], np.ndarray]]:
    """Each gives the scores (q, c)."""
    return {
        "fasthash": lambda: fasthash.rescore(cell.queries, cell.documents, cell.candidates),
        "numpy at once": lambda: numpy_at_once(cell),
        "numpy by query": lambda: numpy_by_query(cell),
        "torch": lambda: torch_at_once(cell),
    }


def measure(cell: Cell, repeats: int) -> dict[str, list[float]]:
    """Seconds of each contestant, after one call of each whose scores must agree."""
    calls = contestants(cell)
    expected = calls["fasthash"]()
    tolerance = 1e-5 * float(np.abs(expected).max())
    for name, call in calls.items():
        np.testing.assert_allclose(call(), expected, rtol=1e-4, atol=tolerance, err_msg=name)
    calls["fasthash, 16 dimensions"] = sixteen_dimensions(cell)
    return take_turns(calls, repeats)


def sixteen_dimensions(cell: Cell) -> Callable[[], np.ndarray]:
    """Scores with the first dimensions of each candidate, the rows where they are."""
    width = 2 if cell.documents.dtype == np.uint8 else 16
    queries, documents = cell.queries[:, :16].copy(), cell.documents[:, :width]
    return lambda: fasthash.rescore(queries, documents, cell.candidates)


def cells(options: argparse.Namespace) -> Iterator[Cell]:
    """Codes, then values of one byte, two and four; scattered and in the cache."""
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((options.queries, options.bits), dtype=np.float32)
    shape = (options.queries, options.candidates)
    tables = {
        "codes": lambda: rng.integers(0, 256, (options.codes, options.bits // 8), dtype=np.uint8),
        "int8": lambda: rng.integers(-128, 128, (options.values, options.bits), dtype=np.int8),
        "float16": lambda: rng.standard_normal((options.values, options.bits), dtype=np.float32).astype(np.float16),
        "float32": lambda: rng.standard_normal((options.values, options.bits), dtype=np.float32),
    }
    for name, make in tables.items():
        documents = make()
        yield Cell(f"{name}, scattered", queries, documents, rng.integers(0, len(documents), shape))
        row_bytes = documents.strides[0]
        few = min(len(documents), ROWS_IN_CACHE * (options.bits // 8) // row_bytes)
        yield Cell(f"{name}, in cache", queries, documents, rng.integers(0, few, shape))


def stages(options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of a whole search, topk_rescored, and of its parts."""
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 256, (options.codes, options.bits // 8), dtype=np.uint8)
    queries = rng.standard_normal((options.queries, options.bits), dtype=np.float32)
    k = options.candidates // 4
    packed = fasthash.pack(queries)
    _, candidates = fasthash.hamming_topk(packed, codes, options.candidates)
    scores = fasthash.rescore(queries, codes, candidates)
    best, indices = fasthash.topk_rescored(queries, codes, k)
    order = np.lexsort((candidates, -scores))[:, :k]
    np.testing.assert_array_equal(indices, np.take_along_axis(candidates, order, 1))
    np.testing.assert_array_equal(best, np.take_along_axis(scores, order, 1))
    tensors = torch.from_numpy(scores), torch.from_numpy(candidates)
    return take_turns(
        {
            "topk_rescored": lambda: fasthash.topk_rescored(queries, codes, k),
            "pack": lambda: fasthash.pack(queries),
            "hamming_topk": lambda: fasthash.hamming_topk(packed, codes, options.candidates),
            "rescore": lambda: fasthash.rescore(queries, codes, candidates),
            "order": lambda: torch.ops.fasthash.score_order(*tensors, k),
        },
        options.repeats,
    )


def shown(seconds: list[float]) -> str:
    spread = summary(seconds)
    return f"{1e3 * spread['median']:.2f} [{1e3 * spread['least']:.2f} {1e3 * spread['most']:.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--bits", type=int, default=1024, help="dimensions of the values as well")
    parser.add_argument("--codes", type=int, default=1_000_000)
    parser.add_argument("--values", type=int, default=100_000, help="rows of int8 and float documents")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, default=RESULTS / "rescoring.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for cell in cells(options):
        seconds = measure(cell, options.repeats)
        fastest = min(seconds["fasthash"])
        gigabytes = cell.candidates.size * cell.documents.strides[0] / fastest / 1e9
        ratios = {name: min(values) / fastest for name, values in seconds.items() if not name.startswith("fasthash")}
        print(f"{cell.name}: {1e9 * fastest / cell.candidates.size:.1f} ns a candidate, {gigabytes:.1f} GB/s of rows")
        for name, values in seconds.items():
            ratio = f"  {ratios[name]:.1f}x" if name in ratios else ""
            print(f"  {name:<24} {shown(values):>28} ms{ratio}", flush=True)
        rows.append(
            {"case": cell.name, "seconds": seconds, "ratio_of_least": ratios, "gigabytes_per_second": gigabytes}
        )
    parts = stages(options)
    print(f"a whole search, k = {options.candidates // 4}, oversample 4")
    for name, values in parts.items():
        print(f"  {name:<24} {shown(values):>28} ms")
    options.json.parent.mkdir(exist_ok=True)
    settings = {name: value for name, value in vars(options).items() if name != "json"}
    result = {"machine": card(), "options": settings, "rows": rows, "stages": parts}
    options.json.write_text(json.dumps(result, indent=1) + "\n")
    print(f"median [least most] of {options.repeats}; ratios of least times")
    print(f"written to {options.json}")


if __name__ == "__main__":
    main()
