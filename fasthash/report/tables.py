"""The tables of the page: what was measured, what a run was, and in what runs differ."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from fasthash.evaluation import RetrievalReport
from fasthash.report.measured import Measured
from fasthash.report.record import RunRecord


@dataclass(frozen=True)
class Cell:
    """A value as text, and its difference to the first column where the two may be compared."""

    value: str
    difference: str = ""


@dataclass(frozen=True)
class Row:
    """A metric over several columns."""

    name: str
    convention: str
    cells: list[Cell]


def score_rows(columns: Sequence[Measured], direction: str) -> list[Row]:
    """Every metric of a direction under each of its conventions, a cell for each column.

    Differences are taken to the first column, where both have the metric under one convention over the same queries.
    """
    reports = [column.reports.get(direction) for column in columns]
    names: dict[tuple[str, str], None] = {}
    for report in reports:
        if report is not None:
            names |= {(name, score.convention): None for name, score in report.scores.items()}
    order = [*dict.fromkeys(name for name, _ in names)]
    rows = []
    for name, convention in sorted(names, key=lambda key: order.index(key[0])):
        values = [_value(report, name, convention) for report in reports]
        cells = []
        for place, (report, value) in enumerate(zip(reports, values, strict=True)):
            first, reference = reports[0], values[0]
            comparable = place > 0 and first is not None and report is not None and first.digest == report.digest
            if value is None:
                cells.append(Cell("\N{EN DASH}"))
            elif comparable and reference is not None:
                cells.append(Cell(f"{value:.4f}", f"{value - reference:+.4f}".replace("-", "\N{MINUS SIGN}")))
            else:
                cells.append(Cell(f"{value:.4f}"))
        rows.append(Row(name, convention, cells))
    return rows


def other_queries(columns: Sequence[Measured], direction: str) -> list[str]:
    """Labels of the columns whose queries are not those of the first."""
    reports = [(column.label, column.reports.get(direction)) for column in columns]
    first = reports[0][1]
    return [label for label, report in reports if first and report and report.digest != first.digest]


def facts(record: RunRecord) -> list[tuple[str, str]]:
    """What a run was: data and split, training, machine and versions."""
    config, items = record.config, record.config.get("items")
    found = [("method", record.config["method"]), ("bits", str(config["options"].get("bits", "not said")))]
    if len({measured.bits for measured in record.measured}) > 1:
        found.append(("lengths", ", ".join(str(measured.bits) for measured in record.measured)))
    if record.items is not None:
        provenance = record.items.split.provenance()
        seed = "" if provenance["seed"] is None else f", seed {provenance['seed']}"
        found.append(("data", record.items.dataset.name))
        found.append(("split", f"{provenance['protocol']}{seed}"))
        found.append(("split digest", provenance["digest"]))
        found.append(("split counts", ", ".join(f"{n:,} {part}" for part, n in provenance["counts"].items())))
    else:
        found.append(("split", f"its digest is not known: {record.missing['items']}"))
    if isinstance(items, dict):
        if items.get("modalities"):
            found.append(("modalities", ", ".join(str(name) for name, _ in items["modalities"])))
        found.append(("items", f"shape {_shape(items.get('shape'))}, {items.get('classes')} classes"))
        found.append(("trained on", f"{_count(items, 'labelled')} labelled, {_count(items, 'unlabelled')} unlabelled"))
        found.append(("digest of items and visible labels", str(items.get("digest"))))
    found += [*_training(record), *_machine(record)]
    return found


def options(record: RunRecord) -> list[tuple[str, str]]:
    """Every option of method and training, by its dotted name."""
    config = record.config
    return [*_flat(config["options"], ""), *_flat(config.get("training") or {}, "training.")]


def differences(records: Sequence[RunRecord]) -> list[tuple[str, list[str]]]:
    """Facts and options in which runs that have them differ, with the value of each run."""
    described = [dict([*_compared(record), *options(record)]) for record in records]
    names = dict.fromkeys(name for found in described for name in found)
    differing = [name for name in names if len({found[name] for found in described if name in found}) > 1]
    return [(name, [found.get(name, "\N{EN DASH}") for found in described]) for name in differing]


def duration(seconds: float) -> str:
    """In words.

    Example:
        >>> duration(4.23), duration(75), duration(7_300)
        ('4.2 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _compared(record: RunRecord) -> list[tuple[str, str]]:
    config = record.config
    found = [("method", str(config["method"])), *_flat(config.get("items") or {}, "items.")]
    found += _flat(config.get("validation") or {}, "validation.")
    found += _flat(config.get("versions") or {}, "version of ")
    if record.items is not None:
        found.append(("split digest", record.items.split.digest))
    for start in record.starts[:1]:
        found.append(("processor", str((start.get("machine") or {}).get("processor"))))
    return found


def _training(record: RunRecord) -> Iterator[tuple[str, str]]:
    training = record.config.get("training") or {}
    yield "seed", str(training.get("seed", "not said"))
    if record.metrics:
        state = {True: "finished", False: "not finished", None: "no checkpoint tells whether it finished"}
        steps, seconds = record.metrics[-1]["steps"], duration(record.seconds)
        yield "training", f"{steps:,} steps in {seconds}, {state[record.finished]}"
    if record.best is not None:
        yield "best validation mAP@all", f"{record.best['score']:.4f} at step {record.best['steps']:,}"


def _machine(record: RunRecord) -> Iterator[tuple[str, str]]:
    for place, start in enumerate(record.starts):
        number = f" {place + 1}" if len(record.starts) > 1 else ""
        machine = start.get("machine") or {}
        command = [str(word) for word in start.get("command") or []]
        yield f"start{number}", str(start.get("started"))
        if command:
            yield f"command{number}", " ".join([PurePath(command[0]).name, *command[1:]])
        gpus = ", ".join(str(gpu) for gpu in machine.get("gpus") or []) or "no GPU used"
        cores = f"{machine.get('cores')} cores, {gpus}"
        work = f"torch threads {start.get('threads')}, processes {start.get('ranks')}"
        yield f"machine{number}", f"{machine.get('processor')}, {cores}; {work}; {machine.get('system')}"
        versions = start.get("versions") or {}
        yield f"versions{number}", ", ".join(f"{name} {version}" for name, version in versions.items())
        if git := start.get("git"):
            yield f"git commit{number}", f"{git.get('commit')}{' and changes' if git.get('changed') else ''}"


def _flat(content: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value)


def _count(content: Mapping[str, Any], name: str) -> str:
    value = content.get(name)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _shape(shape: Any) -> str:
    return " \N{MULTIPLICATION SIGN} ".join(str(length) for length in shape or [])


def _value(report: RetrievalReport | None, name: str, convention: str) -> float | None:
    score = None if report is None else report.scores.get(name)
    if score is None or score.convention != convention or math.isnan(score):
        return None
    return float(score)
