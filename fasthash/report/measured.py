"""The numbers of a run: report.json and the codes beside it, and other lengths that the run learnt."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fasthash.evaluation import RetrievalReport, evaluate
from fasthash.report.items import Items
from fasthash.training import Run, load


@dataclass(frozen=True, eq=False)
class Measured:
    """Codes of one length and what they scored.

    Attributes:
        label: in legends and tables.
        reports: by direction, such as "image->text"; "" where there is one kind of items.
        codes: packed, uint8, by name: "queries", "database", and with "-NAME" behind for each of several modalities.
    """

    label: str
    reports: dict[str, RetrievalReport]
    codes: dict[str, Tensor]

    @property
    def bits(self) -> int:
        """Of the codes."""
        return next(iter(self.reports.values())).bits


def read_measured(run: Run, label: str) -> Measured:
    """What `report_run` or `report_directions` left; codes of another length than the report's are left out.

    Raises:
        FileNotFoundError: there is no report.json.
        KeyError, TypeError, ValueError: it is not what they write.
    """
    content = json.loads(run.report_path.read_text(encoding="utf-8"))
    directions = {"": content} if "scores" in content else content
    reports = {str(name): RetrievalReport.from_dict(report) for name, report in directions.items()}
    curves = {f"{by}, macro" for by in ("rank", "radius")}
    if not reports or any(not curves <= set(report.curves) for report in reports.values()):
        raise ValueError(f"expected reports with the curves {', '.join(sorted(curves))}")
    bits = next(iter(reports.values())).bits
    found = {path.stem: run.codes(path.stem) for path in sorted((run.path / "codes").glob("*.safetensors"))}
    return Measured(label, reports, {name: codes for name, (codes, width) in found.items() if width == bits})


def measure_other_lengths(run: Run, label: str, known: Measured, items: Items) -> list[Measured]:
    """The other lengths of a run that learnt several, measured as the known one was; all of them, short to long.

    Raises:
        FileNotFoundError, TypeError, ValueError: as `training.load` and `Hasher.encode` do.
    """
    if len(run.method().code_lengths) < 2:
        return [known]
    hasher = load(run)
    split, source, labels = items.split, items.dataset.source, torch.as_tensor(items.dataset.labels)
    queries, database = source.select(split.queries), source.select(split.database)
    report = known.reports[""]
    options: dict[str, Any] = {name: report.settings[name] for name in ("k", "radius", "ties", "empty", "relevance")}
    if report.settings["gain"] is not None:
        options["gain"] = report.settings["gain"]
    found = []
    for length in sorted(hasher.lengths):
        if length == known.bits:
            found.append(Measured(f"{label}, {length} bits", known.reports, known.codes))
            continue
        codes = {
            "queries": hasher.encode(queries, length=length),
            "database": hasher.encode_database(database, split.database, length=length),
        }
        sides = (codes["queries"], codes["database"], labels[split.queries], labels[split.database])
        found.append(Measured(f"{label}, {length} bits", {"": evaluate(*sides, bits=length, **options)}, codes))
    return found
