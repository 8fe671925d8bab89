"""Tables of the rows that `methods.py` wrote: means over the seeds, their spread, and differences by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from method_cells import Group
from tables import table

NOT_RUN = "not run"
Row = Mapping[str, str]


def interval(differences: Sequence[float], confidence: float = 0.95) -> float:
    """Half the width of the t interval of a mean; NaN of fewer than two."""
    from scipy.stats import t

    if len(differences) < 2:
        return math.nan
    spread = float(np.std(differences, ddof=1))
    return float(t.ppf((1 + confidence) / 2, len(differences) - 1)) * spread / math.sqrt(len(differences))


def spread(values: Sequence[float], seeds: int, digits: int = 4) -> str:
    """Mean and standard deviation over the seeds, with their number where it is not yet all of them."""
    if not values:
        return NOT_RUN
    deviation = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{deviation}" + (f" ({len(values)})" if len(values) < seeds else "")


def gain(of: Mapping[int, float], over: Mapping[int, float]) -> str:
    """Mean difference over the seeds that both have, with its 95 % interval."""
    seeds = sorted(set(of) & set(over))
    if not seeds:
        return NOT_RUN
    differences = [of[seed] - over[seed] for seed in seeds]
    half = interval(differences)
    mean = float(np.mean(differences))
    return f"{mean:+.4f}" if math.isnan(half) else f"{mean:+.4f} ({mean - half:+.4f} to {mean + half:+.4f})"


def by_seed(rows: Sequence[Row], column: str, **wanted: object) -> dict[int, float]:
    """A column of the rows that have these values, by seed: the mean over directions, without rows where it is empty.

    Of runs of several lengths the row of the one that they were made for.
    """
    found: dict[int, list[float]] = {}
    for row in rows:
        if row[column] and not row["length"] and all(row[name] == str(value) for name, value in wanted.items()):
            found.setdefault(int(row["seed"]), []).append(float(row[column]))
    return {seed: float(np.mean(values)) for seed, values in found.items()}


def scores(rows: Sequence[Row], group: Group, column: str, digits: int = 4) -> str:
    """One line a variant, one column a width."""
    lines = []
    for variant in group.variants:
        found = [by_seed(rows, column, variant=variant.name, bits=width) for width in group.bits]
        lines.append([variant.name, *(spread(list(values.values()), group.seeds, digits) for values in found)])
    return table(["", *(f"{width} bits" for width in group.bits)], lines)


def gains(rows: Sequence[Row], variants: Sequence[str], baseline: str, bits: Sequence[int], column: str) -> str:
    """What each variant has more than the baseline of the same seed, split, network and batches."""
    lines = []
    for variant in variants:
        cells = []
        for width in bits:
            of, over = (by_seed(rows, column, variant=name, bits=width) for name in (variant, baseline))
            cells.append(gain(of, over))
        lines.append([f"{variant} - {baseline}", *cells])
    return table(["", *(f"{width} bits" for width in bits)], lines)


def lengths(rows: Sequence[Row], group: Group, column: str) -> str:
    """One line a variant and width whose runs give longer codes too, a column for each of these."""
    lines = []
    for variant in group.variants:
        for width in group.bits:
            own = [row for row in rows if row["length"] and (row["variant"], row["bits"]) == (variant.name, str(width))]
            found: dict[int, list[float]] = {}
            for row in own:
                found.setdefault(int(row["length"]), []).append(float(row[column]))
            cells = [f"{length}: {spread(found[length], group.seeds)}" for length in sorted(found)]
            if cells:
                lines.append([f"{variant.name}, {width} bits", "; ".join(cells)])
    return table(["", "longer codes of the same runs"], lines)


def tables(groups: Sequence[Group], rows: Sequence[Row]) -> dict[str, str]:
    """All tables, by name, of rows with the options of today."""
    made = {}
    for group in groups:
        here = [row for row in rows if (row["data"], row["labels"]) == (group.data, str(group.labels))]
        made[group.name] = scores(here, group, "map")
        if group.baseline is not None:
            made[f"{group.name} gains"] = gains(here, group.compared, group.baseline, group.bits, "map")
        if any(row["length"] for row in here):
            made[f"{group.name} lengths"] = lengths(here, group, "map")
        made[f"{group.name} seconds"] = scores(here, group, "train_cpu_seconds", digits=0)
    return made
