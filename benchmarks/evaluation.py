"""Evaluation beside NumPy: mAP of a full ranking, a report of all metrics, and memory.

    python benchmarks/evaluation.py [map] [report] [memory] [--repeats 5] [--threads 2]

Results are compared before anything is timed. NumPy's versions see a part of the queries and are scaled. The codes are
random, or learned by a supervised method (few of them different; from the folder FASTHASH_DATA, with labels drawn to
go with them). Writes benchmarks/results/evaluation.json, part by part.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import card
from numpy_evaluation import average_precision_loop, expected_average_precision, report, signs

import fasthash
from fasthash import evaluation, ops

RESULTS = Path(__file__).parent / "results" / "evaluation.json"
OPS = ("relevance_histogram", "overlap_histogram", "average_precision_counts", "hamming_topk", "hamming_distance")
KS = [10, 100, 1000, 5000]
PLAIN = "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"  # features of NumPy that sort with vectors


def learned(name: str, bits: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Packed query and database codes of a supervised method, or None."""
    path = Path(os.environ.get("FASTHASH_DATA", "data")) / "hash-codes" / f"{name}.npz"
    if not path.is_file():
        print(f"no learned codes: {path} is not there; FASTHASH_DATA names another folder")
        return None
    arrays = np.load(path)
    return arrays[f"query_{bits}"], arrays[f"database_{bits}"]


def labels_for(codes: np.ndarray, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Class ids that mostly go with the code: each different code has a class, one item in ten another."""
    _, number = np.unique(codes, axis=0, return_inverse=True)
    own = rng.integers(0, classes, int(number.max()) + 1)[number.reshape(-1)]
    return np.where(rng.random(len(codes)) < 0.1, rng.integers(0, classes, len(codes)), own)


@contextmanager
def time_in_ops() -> Iterator[list[float]]:
    """Collects the seconds that calls of the counting ops take, in a list of one number."""
    spent, originals = [0.0], {name: getattr(ops, name) for name in OPS}

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                spent[0] += time.perf_counter() - start

        return call

    for name, function in originals.items():
        setattr(ops, name, timed(function))
    try:
        yield spent
    finally:
        for name, function in originals.items():
            setattr(ops, name, function)


def measure(call: Callable[[], Any], repeats: int) -> dict[str, Any]:
    """Seconds of each repeat, and of the ops inside."""
    seconds, kernels = [], []
    for _ in range(repeats):
        with time_in_ops() as spent:
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        kernels.append(spent[0])
    return {"seconds": seconds, "seconds_in_ops": kernels}


def map_cells() -> Iterator[tuple[str, tuple[np.ndarray, ...]]]:
    """10,000 queries, 50,000 codes, 10 classes."""
    rng = np.random.default_rng(0)
    queries, database = (rng.integers(0, 256, (n, 8), dtype=np.uint8) for n in (10_000, 50_000))
    yield "random, 64 bits", (queries, database, rng.integers(0, 10, 10_000), rng.integers(0, 10, 50_000))
    for name in ("cifar-10", "nus-wide"):
        codes = learned(name, 48)
        if codes is not None:
            both = np.concatenate(codes)[rng.permutation(sum(map(len, codes)))]
            both = both[rng.integers(0, len(both), 60_000)] if len(both) < 60_000 else both[:60_000]
            classes = labels_for(both, 10, rng)
            yield f"{name}, 48 bits", (both[:10_000], both[10_000:], classes[:10_000], classes[10_000:])


def time_map(repeats: int) -> list[dict[str, Any]]:
    rows = []
    for name, (queries, database, query_labels, labels) in map_cells():
        few = 200
        eye = np.eye(10, dtype=np.float32)
        loop = signs(queries[:few]), signs(database), eye[query_labels[:few]], eye[labels]
        by_index = evaluation.mean_average_precision(queries, database, query_labels, labels, ties="index")
        expected = evaluation.mean_average_precision(queries, database, query_labels, labels)
        np.testing.assert_allclose(by_index.per_query[:few], average_precision_loop(*loop, "stable"), rtol=1e-9)
        for i in range(20):
            distance = fasthash.hamming_distance(queries[i : i + 1], database)[0]
            exact = expected_average_precision(distance, labels == query_labels[i])
            np.testing.assert_allclose(expected.per_query[i], exact, rtol=1e-9)
        arguments = queries, database, query_labels, labels
        calls = {
            "expected": lambda a=arguments: evaluation.mean_average_precision(*a),
            "index": lambda a=arguments: evaluation.mean_average_precision(*a, ties="index"),
        }
        ours = {ties: measure(call, repeats) for ties, call in calls.items()}
        loops = {kind or "default": loop_seconds(loop, kind) for kind in (None, "stable")}
        loops["no vector sort"] = plain_loop_seconds(loop)
        ratios = {
            f"{ties}, loop {kind}": {
                "of medians": len(queries) * np.median(loops[kind]) / np.median(ours[ties]["seconds"]),
                "of least": len(queries) * np.quantile(loops[kind], 0.1) / min(ours[ties]["seconds"]),
            }
            for ties, kind in (("expected", "default"), ("index", "stable"), ("expected", "no vector sort"))
        }
        different = len(np.unique(database, axis=0))
        rows.append({"codes": name, "different": different, "ours": ours, "loop": loops, "ratios": ratios})
        for ties, times in ours.items():
            best = int(np.argmin(times["seconds"]))
            total, inside = times["seconds"][best], times["seconds_in_ops"][best]
            print(f"{name:<20} {ties:<9} {1e3 * total:8.1f} ms, {1e3 * (total - inside):6.1f} ms outside of the ops")
        for kind, times in loops.items():
            median, tenth = 1e3 * np.median(times), 1e3 * np.quantile(times, 0.1)
            print(f"{'':<20} loop, {kind}: {median:.2f} ms a query, the fastest tenth under {tenth:.2f} ms")
        for what, ratio in ratios.items():
            print(f"{'':<20} {what}: " + ", ".join(f"{value:.0f}x {of}" for of, value in ratio.items()), flush=True)
    return rows


def _seconds(call: Callable[..., Any], *arguments: Any) -> float:
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


def loop_seconds(loop: Sequence[np.ndarray], kind: str | None) -> list[float]:
    """Seconds of each query. The first ones warm up."""
    queries, database, query_labels, labels = loop
    rows = [slice(0, 10), *(slice(i, i + 1) for i in range(len(queries)))]
    times = [_seconds(average_precision_loop, queries[row], database, query_labels[row], labels, kind) for row in rows]
    return times[1:]


def plain_loop_seconds(loop: Sequence[np.ndarray]) -> list[float]:
    """The same where NumPy sorts without vector instructions, as on other processors and in older releases."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "loop.npz"
        np.savez(path, *loop)
        environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": PLAIN}
        command = [sys.executable, __file__, "--child", "loop", "--file", str(path)]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    seconds: list[float] = json.loads(result.stdout)
    return seconds


def report_cells() -> Iterator[tuple[str, tuple[np.ndarray, ...]]]:
    """2,100 queries, 193,734 codes, 21 labels, about two an item."""
    rng = np.random.default_rng(0)
    sizes = (2_100, 193_734)
    labels = [rng.random((n, 21)) < 0.1 for n in sizes]
    yield "random, 48 bits", (*(rng.integers(0, 256, (n, 6), dtype=np.uint8) for n in sizes), *labels)
    codes = learned("nus-wide", 48)
    if codes is not None:
        yield "nus-wide, 48 bits", (*codes, *labels)


def numpy_reports(
    queries: np.ndarray, database: np.ndarray, query_labels: np.ndarray, labels: np.ndarray, block: int = 21
) -> list[dict[str, np.ndarray]]:
    parts = [slice(i, i + block) for i in range(0, len(queries), block)]
    return [report(queries[part], database, query_labels[part], labels, KS, 2) for part in parts]


def time_report(repeats: int) -> list[dict[str, Any]]:
    rows = []
    for name, (queries, database, query_labels, labels) in report_cells():
        few = 42
        sides = signs(queries[:few]), signs(database), query_labels[:few].astype(np.float32), labels.astype(np.float32)
        by_index = evaluation.evaluate(queries[:few], database, query_labels[:few], labels, ties="index")
        expected = numpy_reports(*sides)
        for metric, score in by_index.scores.items():
            values = np.concatenate([part[metric] for part in expected])
            np.testing.assert_allclose(score.per_query, values, rtol=1e-9, atol=1e-9, err_msg=metric)
        scale = len(queries) / few
        numpy_seconds = [scale * _seconds(numpy_reports, *sides) for _ in range(2)]
        arguments = queries, database, query_labels, labels
        ours = measure(lambda a=arguments: evaluation.evaluate(*a), repeats)
        best = int(np.argmin(ours["seconds"]))
        total, inside = ours["seconds"][best], ours["seconds_in_ops"][best]
        ratio = min(numpy_seconds) / total
        different = len(np.unique(database, axis=0))
        rows.append({"codes": name, "different": different, "ours": ours, "numpy": numpy_seconds, "ratio": ratio})
        outside = f"{total - inside:.2f} s outside of the ops"
        print(f"{name:<20} {total:.2f} s, {outside}; NumPy {min(numpy_seconds):.0f} s; {ratio:.0f}x", flush=True)
    return rows


def time_memory(_: int) -> list[dict[str, Any]]:
    """Peak of a process during an evaluation, less what it held before: one process for each number of codes."""
    rows = []
    calls = (
        "mean_average_precision(*ids)",
        'mean_average_precision(*ids, ties="index")',
        "evaluate(*ids)",
        "evaluate(*sets)",
    )
    for call in calls:
        for items in (50_000, 500_000):
            command = [sys.executable, __file__, "--child", call, "--items", str(items)]
            result = subprocess.run(command, capture_output=True, text=True, check=True)
            rows.append({"call": call, "queries": 10_000, "items": items, "megabytes": float(result.stdout)})
            print(f"{call:<44} {items:>8,} codes: {rows[-1]['megabytes']:.0f} MB", flush=True)
    return rows


def child(call: str, items: int) -> None:
    """Print the megabytes that one evaluation adds to the peak of this process."""
    rng = np.random.default_rng(0)
    sizes = (10_000, items)
    codes = [rng.integers(0, 256, (n, 8), dtype=np.uint8) for n in sizes]
    ids = (*codes, *(rng.integers(0, 10, n) for n in sizes))
    sets = (*codes, *(rng.random((n, 21), dtype=np.float32) < 0.1 for n in sizes))
    names = {"evaluation": evaluation, "ids": tuple(x[:100] for x in ids), "sets": tuple(x[:100] for x in sets)}
    eval(f"evaluation.{call}", names)
    gc.collect()
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    eval(f"evaluation.{call}", names | {"ids": ids, "sets": sets})
    print(resident("VmHWM") - before)


def resident(field: str) -> float:
    """Megabytes that this process holds (VmRSS), or held at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


PARTS = {"map": time_map, "report": time_report, "memory": time_memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="map, report, memory; default all")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--items", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.child == "loop":
        print(json.dumps(loop_seconds(list(np.load(options.file).values()), None)))
        return
    if options.child:
        child(options.child, options.items)
        return
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in options.parts or PARTS:
        results[part] = {"machine": card(), "repeats": options.repeats, "rows": PARTS[part](options.repeats)}
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
