"""Throughput over code length, ours and the peers', with the ceiling of the cores drawn in."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from bars import is_bound
from ceilings import ceiling
from report import GIGA, gbit_pairs

QUERIES, CODES, K = 256, 1_000_000, 10


def why_not(results: dict[str, Any]) -> str:
    """Why there is nothing to draw, or nothing."""
    if importlib.util.find_spec("matplotlib") is None:
        return "matplotlib is not installed"
    if len({row["bits"] for row in _rows(results)}) < 2:
        return "it takes top-k of random codes with two lengths"
    return ""


def _rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Random codes of several lengths, at the usual sizes if they were run, else at the first that were."""
    rows = [
        row
        for row in results["rows"]
        if row["op"] == "hamming_topk" and row["data"] == "random" and "median" in row["contestants"]["fasthash"]
    ]
    sizes = [(row["queries"], row["codes"], row["k"]) for row in rows]
    if not sizes:
        return []
    usual = (QUERIES, CODES, K)
    chosen = usual if usual in sizes else max(sizes, key=sizes.count)
    return sorted(
        (row for row, size in zip(rows, sizes, strict=True) if size == chosen), key=lambda row: int(row["bits"])
    )


def draw(results: dict[str, Any], path: Path) -> None:
    """Writes the picture. Gbit-pair/s: query bits compared with database bits a second."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = _rows(results)
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    machine = results["machines"][rows[0]["machine"]]
    if "level" in machine.get("ceilings", {}):
        bounds = [(row["bits"], ceiling(machine["ceilings"], row["bits"], machine["threads"])) for row in rows]
        drawn = [(bits, bits * bound / GIGA) for bits, bound in bounds if bound]
        label = f"ceiling, {machine['threads']} threads, {machine['ceilings']['level']}"
        axes.plot(*zip(*drawn, strict=True), "--", color="0.4", label=label)
    for name in dict.fromkeys(name for row in rows for name in row["contestants"] if not is_bound(name)):
        points = [
            (row["bits"], *(gbit_pairs(row, seconds) for seconds in (entry["median"], *entry["quartiles"])))
            for row in rows
            if "median" in (entry := row["contestants"].get(name, {}))
        ]
        if points:
            bits, median, high, low = zip(*points, strict=True)
            line = axes.plot(bits, median, marker="o", linewidth=2.5 if name == "fasthash" else 1.2, label=name)
            axes.fill_between(bits, low, high, color=line[0].get_color(), alpha=0.12, linewidth=0)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks([row["bits"] for row in rows], [str(row["bits"]) for row in rows])
    axes.minorticks_off()
    axes.set_xlabel("bits of a code")
    axes.set_ylabel("Gbit-pair/s")
    axes.grid(alpha=0.3)
    first = rows[0]
    axes.set_title(
        f"top-k, {first['queries']:,} queries, {first['codes']:,} codes, k = {first['k']:,}: medians and quartiles"
    )
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=120)
    plt.close(figure)
