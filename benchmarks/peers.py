"""fasthash beside what users would pick instead: one run, the same inputs, equal results before anything is timed.

    python benchmarks/peers.py                                         # all cells but the grid, for 20 minutes
    python benchmarks/peers.py --groups bar --peers faiss              # the project's own bars, quickly
    python benchmarks/peers.py --bits 64 256 --queries 1 --codes 10000000 --k 10 --groups star
    python benchmarks/peers.py --table                                 # tables of the last run, as Markdown
    python benchmarks/peers.py --table docs/performance.md             # puts them into the document

Cells run in order of importance (cells.py) until the budget is spent. Sizes that are given take the place of a cell's
own. Repeats of all contestants take turns. Writes peers.json and peers.png into the folder of results.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import ceilings
import plot
import report
import torch
from cells import GROUPS, Sizes, cells
from contestants import versions
from machine import card
from running import Budget, Runner

HERE = Path(__file__).parent


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=20, metavar="MINUTES")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=GROUPS[:-1], help="default: all but grid")
    parser.add_argument("--peers", nargs="*", metavar="NAME", help="beginnings of names; none: only fasthash")
    for name in ("bits", "queries", "codes", "k"):
        parser.add_argument(f"--{name}", nargs="+", type=int, default=[], help="instead of a cell's own")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--megabytes", type=int, default=512, help="of the array that measures the memory's bandwidth")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="the folder that is written to")
    parser.add_argument("--append", action="store_true", help="keeps cells of earlier runs that are not run again")
    parser.add_argument("--table", nargs="?", const=True, metavar="DOCUMENT", help="only shows the last run's tables")
    options = parser.parse_args()
    options.groups = tuple(group for group in GROUPS if group in options.groups)
    return options


def run(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Adds rows to the results, and the machine they were measured on."""
    torch.set_num_threads(options.threads)
    budget = Budget(options.budget)
    machine = {**card(*versions()), "repeats": options.repeats, "command": " ".join(sys.argv[1:])}
    results["machines"].append(machine)
    try:
        loops = ceilings.Loops(machine["cpu_level"])
        machine["ceilings"] = ceilings.measure(loops, options.threads, options.megabytes)
    except ceilings.Unavailable as reason:
        loops, machine["ceilings"] = None, {"not_run": str(reason)}
        print(f"no ceilings: {reason}")
    runner = Runner(budget, options.threads, options.repeats, options.peers, loops)
    sizes = Sizes(*(tuple(getattr(options, name)) for name in ("bits", "queries", "codes", "k")))
    machine["not_run"] = []
    for cell in cells(options.groups, sizes):
        row = {**runner.run(cell), "machine": len(results["machines"]) - 1}
        if "median" in row["contestants"]["fasthash"]:
            results["rows"] = [other for other in results["rows"] if not _same(other, row)] + [row]
            print(progress(results, row), flush=True)
        else:
            reason = row["contestants"]["fasthash"]["not_run"]
            machine["not_run"].append(f"{report.label(row)}: not run: {reason}")
    if "memory" in options.groups:
        results.pop("memory", None)
        if budget.left() > 0:
            results["memory"] = measured_memory(options)
        else:
            machine["not_run"].append("memory: not run: budget")


def _same(row: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(row[name] == other[name] for name in ("op", "data", "bits", "queries", "codes", "k"))


def progress(results: dict[str, Any], row: dict[str, Any]) -> str:
    """A line for a cell that has been run: medians in ms."""
    parts = [
        f"{name} {1e3 * entry['median']:.1f}" if "median" in entry else f"{name} not run ({entry['not_run']})"
        for name, entry in row["contestants"].items()
    ]
    share = report.share_of_ceiling(results, row) if row["op"] == "hamming_topk" else None
    return f"{report.label(row)}: {', '.join(parts)}" + (f"; {share:.0%} of the ceiling" if share else "")


def measured_memory(options: argparse.Namespace) -> dict[str, Any]:
    """In a process of its own, which has computed nothing yet."""
    command = [sys.executable, str(HERE / "memory.py"), "--json", "--threads", str(options.threads)]
    if options.codes:
        command += ["--codes", *map(str, options.codes)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"memory.py: {done.stderr}")
    return json.loads(done.stdout)


def save(results: dict[str, Any], path: Path) -> None:
    """A line for each row. Machines that no row comes from any more are left out, but for the last."""
    last = len(results["machines"]) - 1
    used = sorted({row["machine"] for row in results["rows"]} | {last})
    results["machines"] = [results["machines"][index] for index in used]
    for row in results["rows"]:
        row["machine"] = used.index(row["machine"])
    rows = ",\n".join(json.dumps(row) for row in results["rows"])
    others = json.dumps({name: value for name, value in results.items() if name != "rows"}, indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{{"rows": [\n{rows}\n],\n{others.removeprefix("{")}\n')


def main() -> None:
    options = parse()
    path = options.results / "peers.json"
    keep = options.append or options.table
    results = json.loads(path.read_text()) if keep and path.exists() else {"machines": [], "rows": []}
    if not options.table:
        try:
            run(options, results)
        finally:
            save(results, path)  # what was measured before an error or an interrupt
        if reason := plot.why_not(results):
            print(f"no picture: {reason}")
        else:
            plot.draw(results, options.results / "peers.png")
    made = report.tables(results)
    if isinstance(options.table, str):
        print("filled in:", ", ".join(report.fill(Path(options.table), made)))
        return
    print("\n" + "\n\n".join(f"{name}\n\n{text}" for name, text in made.items()))
    print("\nMilliseconds: median (least to most), or median ± half of what lies between the quartiles.")
    print("\n".join(report.not_run(results)))
    if not options.table:
        print(f"written to {options.results}")


if __name__ == "__main__":
    main()
