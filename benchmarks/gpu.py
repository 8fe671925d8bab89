"""fasthash on the GPU at hand: its ceilings, then every op beside torch, a naive kernel and FAISS, in one run.

    python benchmarks/gpu.py                                           # all cells but the grid, for 8 minutes
    python benchmarks/gpu.py --quick                                   # the bars and every op, for a minute
    python benchmarks/gpu.py --groups grid --bits 64 --queries 1 8 --budget 30
    python benchmarks/gpu.py --ops hamming_range --codes 10000000 --peers          # no peers
    python benchmarks/gpu.py --table                                   # tables of the last run, as Markdown

Cells run in order of importance (on_gpu/cells.py) until the budget is spent. Sizes that are given take the place of a
cell's own. Results are compared before anything is timed: with the CPU, between the paths of fasthash, with the peers.
Writes gpu.json and gpu.png into the folder of results.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import gpu_ceilings
import torch
from ceilings import Unavailable
from cells import Sizes
from on_gpu import loops, report
from on_gpu.cells import GROUPS, cells, searches
from on_gpu.contestants import OPS
from on_gpu.machine import Clocks, gpu_card
from on_gpu.paths import chosen_path
from on_gpu.roofline import Bound, best_bound, bound
from on_gpu.running import PATIENCE, Device, Runner
from on_gpu.timing import device_seconds, host_seconds
from report import label
from running import Budget

import fasthash

HERE = Path(__file__).parent
NOTE = """\
Milliseconds of the device: median ± half of what lies between the quartiles; x: times as long as ours. "One scan": the
share of queries that needed no second search. "Host-bound": may hold time of the host, as hamming_range always does,
which waits inside for the size of its result. With more than 8 queries, a database that fits into the L2 cache (one of
100,000 codes does) is found there."""
QUICK_GROUPS, QUICK_MINUTES, QUICK_PATIENCE, MINUTES = ("bar", "ops"), 1.0, 5.0, 8.0


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the bars and every op, for a minute")
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="default: 8, or 1 when quick")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, help="default: all but grid")
    parser.add_argument("--ops", nargs="+", choices=OPS, default=[], help="default: all")
    parser.add_argument("--peers", nargs="*", metavar="NAME", help="beginnings of names; none: only fasthash")
    for name in ("bits", "queries", "codes", "k"):
        parser.add_argument(f"--{name}", nargs="+", type=int, default=[], help="instead of a cell's own")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--results", type=Path, default=HERE / "results", help="the folder that is written to")
    parser.add_argument("--table", action="store_true", help="only shows the last run's tables")
    options = parser.parse_args(arguments)
    if options.budget is None:
        options.budget = QUICK_MINUTES if options.quick else MINUTES
    options.groups = tuple(options.groups or (QUICK_GROUPS if options.quick else GROUPS[:-1]))
    return options


def run(options: argparse.Namespace, results: dict[str, Any], runner: Runner) -> None:
    """Adds rows to the results; machine and ceilings are there already."""
    ceilings = results["machine"]["ceilings"]
    results |= {"not_run": [], "wrong": list(ceilings["failed"])}
    for cell in cells(options.groups, tuple(options.ops), _sizes(options)):
        row = runner.run(cell)
        for name, entry in row["contestants"].items():
            if "wrong" in entry:
                results["wrong"].append(f"{name}: {label(row)}: {entry['wrong']}")
                print(f"WRONG RESULT: {results['wrong'][-1]}", flush=True)
        if "not_run" in row["contestants"]["fasthash"]:
            results["not_run"].append(f"{label(row)}: not run: {row['contestants']['fasthash']['not_run']}")
            continue
        row["path"] = chosen_path(cell, results["machine"]["capability"][0])
        paths = ("popcount", "tensor") if searches(cell) else ()
        row["bounds"] = {"best": _kept(best_bound(cell, ceilings))}
        row["bounds"] |= {path: _kept(bound(cell, ceilings, path)) for path in paths}
        results["rows"].append(row)
        print(report.progress(row), flush=True)


def _kept(found: Bound) -> dict[str, Any]:
    return {**found._asdict(), "binding": found.binding, "least": found.least}


def _sizes(options: argparse.Namespace) -> Sizes:
    return Sizes(*(tuple(getattr(options, name)) for name in ("bits", "queries", "codes", "k")))


def save(results: dict[str, Any], path: Path) -> None:
    """A line for each row."""
    rows = ",\n".join(json.dumps(row) for row in results["rows"])
    others = json.dumps({name: value for name, value in results.items() if name != "rows"}, indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{{"rows": [\n{rows}\n],\n{others.removeprefix("{")}\n')


def measure(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """A whole run on torch's current GPU."""
    budget = Budget(options.budget)
    machine = results["machine"] = gpu_card()
    machine["architectures"] = fasthash.build_info()["cuda_architectures"]
    machine["command"] = " ".join(sys.argv[1:])
    library = None
    try:
        library = loops.build(tuple(machine["capability"]))
    except Unavailable as reason:
        print(f"only the bandwidth among the ceilings, and no naive kernel: {reason}")
    with Clocks() as clocks:
        machine["ceilings"] = gpu_ceilings.measure(library)
        print(gpu_ceilings.show(machine["ceilings"]), flush=True)
        device = Device("cuda", device_seconds, host_seconds, machine["cache_bytes"])
        patience = QUICK_PATIENCE if options.quick else PATIENCE
        run(options, results, Runner(device, budget, options.repeats, options.peers, library, patience))
    machine["clocks"] = clocks.found


def show(results: dict[str, Any]) -> str:
    """All tables, and what was not run."""
    parts = [f"{name}\n\n{text}" for name, text in report.tables(results).items()]
    parts.append(NOTE)
    return "\n\n".join([*parts, *results["not_run"]])


def main() -> None:
    options = parse()
    path = options.results / "gpu.json"
    if options.table:
        print(show(json.loads(path.read_text())))
        return
    if not torch.cuda.is_available():
        raise SystemExit("not measured: no GPU is visible to torch")
    if not fasthash.build_info()["cuda_architectures"]:
        raise SystemExit(f"not measured: fasthash is built without CUDA kernels: {fasthash.build_info()['cuda']}")
    results: dict[str, Any] = {"rows": [], "not_run": [], "wrong": []}
    try:
        measure(options, results)
    finally:
        if "ceilings" in results.get("machine", {}):
            results["machine"].setdefault("clocks", {})
            save(results, path)  # what was measured before an error or an interrupt
    if reason := report.why_not(results):
        print(f"no picture: {reason}")
    else:
        report.draw(results, options.results / "gpu.png")
    print("\n" + show(results))
    print(f"written to {options.results}")
    if results["wrong"]:
        raise SystemExit("\n".join(["wrong results:", *results["wrong"]]))


if __name__ == "__main__":
    main()
