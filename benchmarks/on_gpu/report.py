"""Tables, verdicts and picture of a run of gpu.py (gpu.json)."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import gpu_ceilings
from bars import Verdict, best_peer
from on_gpu.cells import FILTERED
from report import label
from tables import table

POPCOUNT = 0.7  # share of the popcount ceiling, from 256 queries on
TENSOR = 8.0  # times the popcount ceiling, from 256 bits and 1,024 queries on
STREAM = 0.7  # of the rate of copying, one query over 100,000,000 codes of 64 bits
TORCH = 10.0  # times as fast as the better product and topk of torch

MOST_PANELS = 4
# Whose ceiling a contestant is set against: on a path its own, else the best that the machine allows.
PATH_NAMES = {
    "fasthash": "best",
    "fasthash counting": "popcount",
    "fasthash popcount": "popcount",
    "fasthash tensor": "tensor",
}


def median(row: dict[str, Any], name: str) -> float | None:
    """Seconds of a contestant."""
    return row["contestants"].get(name, {}).get("median")


def share(row: dict[str, Any], name: str) -> float | None:
    """Of the ceiling that binds."""
    seconds, bound = median(row, name), row["bounds"].get(PATH_NAMES.get(name, "best"))
    return bound["least"] / seconds if seconds and bound else None


def verdicts(results: dict[str, Any]) -> Iterator[Verdict]:
    """Each bar, by the worst of the cells that it speaks of."""
    top_k = [row for row in results["rows"] if row["op"] == "hamming_topk"]
    for bits in (64, 128, 256, 512, 1024):
        case = f"path popcount, {bits} bits, 256 queries or more"
        yield from _worst(case, "of the popcount ceiling", _of_popcounts(top_k, "popcount", bits, 256), POPCOUNT)
    for bits in (256, 512, 1024):
        case = f"path tensor, {bits} bits, 1,024 queries or more"
        yield from _worst(case, "x the popcount ceiling", _of_popcounts(top_k, "tensor", bits, 1024), TENSOR)
    copying = results["machine"]["ceilings"]["bytes_per_second"]["copy"]["per_second"]
    streams = [
        (row["codes"] * row["bits"] / 8 / seconds / copying, row)
        for row in top_k
        if (row["queries"], row["codes"], row["bits"]) == (1, 100_000_000, 64) and (seconds := median(row, "fasthash"))
    ]
    yield from _worst("one query, 100,000,000 codes of 64 bits", "of the rate of copying", streams, STREAM)
    ratios = [
        (best[1] / seconds, row)
        for row in top_k
        if (seconds := median(row, "fasthash")) and (best := best_peer(row, "torch"))
    ]
    yield from _worst("top-k, all cells that torch ran", "x torch", ratios, TORCH)


def _of_popcounts(rows: list[dict[str, Any]], path: str, bits: int, queries: int) -> list[tuple[float, dict[str, Any]]]:
    """What counting every pair by popcount takes at best, over what a path takes; with that many queries or more."""
    return [
        (counting / seconds, row)
        for row in rows
        if row["bits"] == bits
        and row["data"] not in FILTERED  # whose bound counts only codes that are allowed
        and row["queries"] >= queries
        and (seconds := median(row, f"fasthash {path}"))
        and (counting := row["bounds"]["popcount"]["seconds"].get("popcount"))
    ]


def _worst(case: str, unit: str, found: list[tuple[float, dict[str, Any]]], aim: float) -> Iterator[Verdict]:
    if not found:
        return
    value, row = min(found, key=lambda item: item[0])

    def text(number: float) -> str:
        return f"{number:.1f}{unit}" if unit.startswith("x") else f"{number:.0%} {unit}"

    yield Verdict(case, text(aim), f"{text(value)} (the worst of {len(found)}: {label(row)})", value >= aim)


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Every table that these results can fill, by name."""
    rows = results["rows"]
    top_k = [row for row in rows if row["op"] == "hamming_topk"]
    found = [[v.case, v.aim, v.measured, "met" if v.holds else "missed"] for v in verdicts(results)]
    made = {
        "machine": machine_card(results["machine"]),
        "ceilings": gpu_ceilings.show(results["machine"]["ceilings"]),
        "bars": table(["case", "aim", "measured", ""], found, left=4) if found else "",
        "top-k": _cells(top_k),
        "ops": _cells([row for row in rows if row["op"] != "hamming_topk"]),
    }
    return {name: text for name, text in made.items() if text}


def _cells(rows: list[dict[str, Any]]) -> str:
    """Ours with its share and what binds, then everyone's time and how many times as long it is."""
    rows = [row for row in rows if median(row, "fasthash")]
    if not rows:
        return ""
    rows.sort(key=lambda row: (row["op"], row["queries"], row["codes"], row["k"], row["bits"], row["data"]))
    names = list(dict.fromkeys(name for row in rows for name in row["contestants"] if name != "fasthash"))
    names.sort(key=lambda name: not name.startswith("fasthash"))
    lines = []
    for row in rows:
        own = row["contestants"]["fasthash"]
        bound = row["bounds"]["best"]
        lines.append(
            [
                label(row) + (f", {row['databases']} databases in turn" if row["databases"] > 1 else ""),
                _times(own),
                f"{1e3 * own['latency']['median']:.3f}",
                f"{share(row, 'fasthash'):.0%} {bound['binding']}",
                _path(row),
                *(_against(row, name) for name in names),
            ]
        )
    head = ["cell", "fasthash ms", "with wait", "of ceiling", "path", *(f"{name} ms" for name in names)]
    return table(head, lines)


def _path(row: dict[str, Any]) -> str:
    """Where a top-k went by itself, and how many queries were answered by one scan."""
    return ", ".join(filter(None, (row.get("path"), _answered(row["contestants"]["fasthash"]))))


def _answered(entry: dict[str, Any]) -> str:
    part = entry.get("answered")
    return "" if part is None else f"one scan {100 * part:.5g}%"


def _times(entry: dict[str, Any]) -> str:
    """Median and half of what lies between the quartiles."""
    first, third = entry["quartiles"]
    return f"{1e3 * entry['median']:.3f} ±{(third - first) / 2 / entry['median']:.0%}{gpu_ceilings.host_bound(entry)}"


def _against(row: dict[str, Any], name: str) -> str:
    entry, own = row["contestants"].get(name), median(row, "fasthash")
    if entry is None:
        return ""
    if "not_run" in entry:
        return f"not run: {entry['not_run']}"
    if name in PATH_NAMES and (part := share(row, name)) is not None:
        text = f"{_times(entry)}, {part:.0%} {row['bounds'][PATH_NAMES[name]]['binding']}"
        return ", ".join(filter(None, (text, _answered(entry))))
    blocks = f", blocks of {entry['block_bytes'] / 1e9:g} GB" if "block_bytes" in entry else ""
    return f"{_times(entry)}, {entry['median'] / own:.1f}x{blocks}"


def progress(row: dict[str, Any]) -> str:
    """A line for a cell that has been run: medians in ms."""
    parts = [
        f"{name} {1e3 * entry['median']:.3f}" if "median" in entry else f"{name} not run ({entry['not_run']})"
        for name, entry in row["contestants"].items()
    ]
    part = share(row, "fasthash")
    return f"{label(row)}: {', '.join(parts)}" + (f"; {part:.0%} of {row['bounds']['best']['binding']}" if part else "")


def machine_card(machine: dict[str, Any]) -> str:
    """In a few lines."""
    major, minor = machine["capability"]
    clocks = [
        f"{name} {found['median']:,.0f} ({found['least']:,.0f} to {found['most']:,.0f})"
        for name, found in machine.get("clocks", {}).items()
    ]
    lines = [
        f"{machine['gpu']}, sm_{major}{minor}, {machine['multiprocessors']} multiprocessors, "
        f"{machine['memory_bytes'] / 2**30:.0f} GiB, L2 {machine['cache_bytes'] / 2**20:.0f} MiB",
        f"driver {machine.get('driver_version', 'unknown')}, power limit {machine.get('power.limit', 'unknown')} W, "
        f"clocks at most {machine.get('clocks.max.sm', '?')} and {machine.get('clocks.max.mem', '?')} MHz, "
        f"ECC {machine.get('ecc.mode.current', 'unknown')}",
        "during the run, median (least to most): " + (", ".join(clocks) or "not known, nvidia-smi is not installed"),
        f"CUDA of torch {machine['cuda_of_torch']}, nvcc {machine['nvcc']}, fasthash built for "
        f"{machine['architectures'] or 'no GPU'}; Python {machine['python']}, "
        + ", ".join(f"{name} {version}" for name, version in machine["versions"].items()),
        f"{machine['cpu']}, {machine['cores']} cores; commit {machine['commit']}, {machine['date']}; "
        f"command: gpu.py {machine['command']}",
    ]
    return "\n".join(f"- {line}" for line in lines)


# The picture.


def why_not(results: dict[str, Any]) -> str:
    """Why there is nothing to draw, or nothing."""
    if importlib.util.find_spec("matplotlib") is None:
        return "matplotlib is not installed"
    if not _drawn(results):
        return "it takes top-k with two lengths at one number of queries"
    return ""


def _drawn(results: dict[str, Any]) -> dict[tuple[int, int, int], list[dict[str, Any]]]:
    """Rows of several lengths, by (queries, codes, k); those with the most lengths."""
    groups: dict[tuple[int, int, int], list[dict[str, Any]]] = {}
    for row in results["rows"]:
        if row["op"] == "hamming_topk" and median(row, "fasthash"):
            groups.setdefault((row["queries"], row["codes"], row["k"]), []).append(row)
    several = sorted((item for item in groups.items() if len(item[1]) > 1), key=lambda item: -len(item[1]))
    return {size: sorted(rows, key=lambda row: int(row["bits"])) for size, rows in several[:MOST_PANELS]}


def draw(results: dict[str, Any], path: Path) -> None:
    """Writes the picture: the share of the binding ceiling over code length, one panel a size."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    groups = _drawn(results)
    figure, panels = plt.subplots(
        1, len(groups), figsize=(1 + 4 * len(groups), 4.5), sharey=True, squeeze=False, layout="constrained"
    )
    lines: dict[str, Any] = {}
    names = list(dict.fromkeys(name for rows in groups.values() for row in rows for name in row["contestants"]))
    for axes, ((queries, codes, k), rows) in zip(panels[0], groups.items(), strict=True):
        for number, name in enumerate(names):
            points = [(row["bits"], part) for row in rows if (part := share(row, name))]
            if points:
                own = name.startswith("fasthash")
                (line,) = axes.plot(*zip(*points, strict=True), f"C{number % 10}o-", linewidth=2 if own else 1)
                lines.setdefault(name, line)
        lengths = _lengths(rows)
        axes.axhline(1, color="0.4", linestyle="--")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(lengths, [str(bits) for bits in lengths])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.set_xlabel("bits of a code")
        axes.set_title(f"{queries:,} queries, {codes:,} codes, k = {k:,}", fontsize="medium")
    panels[0][0].set_ylabel("share of the ceiling that binds (paths: of their own)")
    figure.legend(lines.values(), lines.keys(), fontsize="small", loc="outside right center")
    figure.suptitle(f"top-k on {results['machine']['gpu']}: medians")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _lengths(rows: Iterable[dict[str, Any]]) -> list[int]:
    return sorted({int(row["bits"]) for row in rows})
