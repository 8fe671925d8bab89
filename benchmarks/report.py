"""Tables of a run's results (peers.json), as Markdown, and the document that shows them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import memory
from bars import best_peer, is_bound, own, share, verdicts
from ceilings import ceiling, show
from tables import table

GIGA = 1e9


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Every table that these results can fill, by name."""
    top_k = sorted((row for row in results["rows"] if row["op"] == "hamming_topk"), key=_place)
    others = [row for row in results["rows"] if row["op"] != "hamming_topk"]
    made = {
        "bars": _bars(results),
        "top-k": _top_k(results, top_k),
        "peers": _contestants(top_k),
        "ops": _contestants(others),
        "memory": memory.show(results["memory"]) if "memory" in results else "",
        "ceilings": _ceilings(results),
        "machine": _machines(results),
    }
    return {name: text for name, text in made.items() if text}


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    """Random codes first, then by sizes: cells may have been run in any order."""
    return row["data"] != "random", row["data"], row["k"], row["queries"], row["codes"], row["bits"]


def _bars(results: dict[str, Any]) -> str:
    found = [[v.case, v.aim, v.measured, "yes" if v.holds else "no"] for v in verdicts(results)]
    return table(["case", "aim", "measured", "holds"], found, left=4) if found else ""


def _case(row: dict[str, Any]) -> list[str]:
    return [f"{row['data']}, {row['bits']} bits", f"{row['queries']:,}", f"{row['codes']:,}", f"{row['k']:,}"]


def _times(entry: dict[str, Any]) -> str:
    """Median and extremes."""
    if "not_run" in entry:
        return f"not run: {entry['not_run']}"
    return f"{1e3 * entry['median']:.1f} ({1e3 * entry['least']:.1f} to {1e3 * entry['most']:.1f})"


def _median(entry: dict[str, Any]) -> str:
    """Median, and half of what lies between the quartiles."""
    if "not_run" in entry:
        return f"not run: {entry['not_run']}"
    first, third = entry["quartiles"]
    return f"{1e3 * entry['median']:.1f} ±{(third - first) / 2 / entry['median']:.0%}"


def gbit_pairs(row: dict[str, Any], seconds: float) -> float:
    """Bit-pairs a second, in G: query bits compared with database bits."""
    return row["queries"] * row["codes"] * row["bits"] / seconds / GIGA


def share_of_ceiling(results: dict[str, Any], row: dict[str, Any], figure: str = "median") -> float | None:
    """Of the ceiling of the machine that ran the row (ceilings.py); None where it was not measured."""
    machine, seconds = results["machines"][row["machine"]], own(row, figure)
    if "level" not in machine.get("ceilings", {}) or seconds is None:
        return None
    bound = ceiling(machine["ceilings"], row["bits"], machine["threads"])
    return row["queries"] * row["codes"] / seconds / bound if bound else None


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _top_k(results: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Ours, the better FAISS variant, and how far from what the core and the memory can do."""
    lines = []
    for row in rows:
        seconds, best = own(row), best_peer(row, "faiss")
        if seconds is None:
            continue
        ratios = ["", ""]
        if best is not None:
            least = best_peer(row, "faiss", "least")
            ratios = [f"{best[1] / seconds:.1f}x", f"{least[1] / own(row, 'least'):.1f}x"]
        lines.append(
            [
                *_case(row),
                _times(row["contestants"]["fasthash"]),
                _times(row["contestants"][best[0]]) if best else "",
                *ratios,
                f"{gbit_pairs(row, seconds):,.0f}",
                _percent(share_of_ceiling(results, row)),
                _percent(share_of_ceiling(results, row, "least")),
                _percent(share(row, "read")),
            ]
        )
    header = ["codes", "queries", "database", "k", "fasthash ms", "best FAISS ms", "by medians", "by least times"]
    header += ["Gbit-pair/s", "of ceiling", "at best", "of reading"]
    return table(header, lines) if lines else ""


def _contestants(rows: list[dict[str, Any]]) -> str:
    """Everyone, or why not."""
    names = list(dict.fromkeys(name for row in rows for name in row["contestants"]))
    if not names:
        return ""
    names.sort(key=is_bound)  # passes over memory come last
    lines = []
    for row in rows:
        if "median" not in row["contestants"].get("fasthash", {}):
            continue
        case = _case(row)
        if row["op"] != "hamming_topk":
            case = [f"{row['op']}, {row['data']}, {row['bits']} bits", f"{row['queries'] or ''}", f"{row['codes']:,}"]
        lines.append(
            [*case, *(_median(row["contestants"][name]) if name in row["contestants"] else "" for name in names)]
        )
    first = ["codes", "queries", "database", "k"]
    if rows[0]["op"] != "hamming_topk":
        first = ["op", "rows of a", "rows"]
    return table([*first, *(f"{name} ms" for name in names)], lines) if lines else ""


def not_run(results: dict[str, Any]) -> list[str]:
    """Who did not run a cell that others ran, and why; then the cells that nobody ran."""
    lines = []
    for row in results["rows"]:
        reasons = {name: entry["not_run"] for name, entry in row["contestants"].items() if "not_run" in entry}
        if reasons:
            lines.append(f"{label(row)}: " + ", ".join(f"{name} not run: {why}" for name, why in reasons.items()))
    return lines + results["machines"][-1].get("not_run", [])


def label(row: dict[str, Any]) -> str:
    """A cell in one line."""
    sizes = f"{row['queries']:,} x {row['codes']:,}" if row["queries"] else f"{row['codes']:,} rows"
    return f"{row['op']}, {row['data']}, {row['bits']} bits, {sizes}" + (f", k = {row['k']:,}" if row["k"] else "")


def _ceilings(results: dict[str, Any]) -> str:
    found = [m["ceilings"] for m in results["machines"] if "level" in m.get("ceilings", {})]
    return show(found[-1]) if found else ""


def _machines(results: dict[str, Any]) -> str:
    """One line for each run that rows come from."""
    used = sorted({row["machine"] for row in results["rows"]})
    return "\n".join(dict.fromkeys(f"- {card_line(results['machines'][index])}" for index in used))


def card_line(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if name != "fasthash")
    return (
        f"{machine['cpu']}, {machine['cores']} cores, level {machine['cpu_level']}, {machine['threads']} threads, "
        f"{machine['scheduling']} scheduling; {machine['compiler']}, Python {machine['python']}, {versions}; "
        f"commit {machine['commit']}, {machine['date']}"
    )


def fill(document: Path, made: dict[str, str]) -> list[str]:
    """Puts the tables into their places in a document, <!-- table NAME --> to <!-- end -->; the names put in."""
    filled = []

    def replaced(match: re.Match[str]) -> str:
        name = match[1]
        if name not in made:
            return match[0]
        filled.append(name)
        return f"<!-- table {name} -->\n{made[name]}\n<!-- end -->"

    text = re.sub(r"<!-- table (.+?) -->\n.*?<!-- end -->", replaced, document.read_text(), flags=re.DOTALL)
    document.write_text(text)
    return filled
