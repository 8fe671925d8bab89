"""What `evaluate` returns: numbers with their conventions, curves, bit statistics, alarms and cost."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasthash.evaluation.alarms import Alarm
from fasthash.evaluation.bit_statistics import BitStatistics
from fasthash.evaluation.curves import PrecisionRecallCurve
from fasthash.evaluation.score import Score


@dataclass(frozen=True)
class Cost:
    """What an evaluation took: wall-clock seconds, and pairs of a query and an item that were compared."""

    seconds: float
    pairs: int


@dataclass(frozen=True, eq=False)
class DistanceHistogram:
    """Pairs of a query and an item at each distance 0 .. bits, int64: relevant ones, and the others."""

    relevant: NDArray[np.int64]
    irrelevant: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RetrievalReport:
    """The result of `evaluate`. ``str()`` is a table.

    Attributes:
        queries: number of queries.
        items: number of database items.
        bits: code width.
        settings: the options that it was made with, and the version of fasthash.
        scores: short name -> `Score`, such as "mAP@all", "mAP@1000", "mAP@1000[min]", "P@100".
        curves: "radius, macro", "radius, micro", "rank, macro", "rank, micro" -> `PrecisionRecallCurve`.
        distances: relevant and irrelevant pairs by distance.
        query_bits: statistics of the query codes.
        database_bits: statistics of the database codes.
        alarms: what a reader should know.
        notes: what was left out or changed.
        cost: seconds and pairs.
        digest: of the query labels; reports of the same queries have the same.
    """

    queries: int
    items: int
    bits: int
    settings: dict[str, Any]
    scores: dict[str, Score]
    curves: dict[str, PrecisionRecallCurve]
    distances: DistanceHistogram
    query_bits: BitStatistics
    database_bits: BitStatistics
    alarms: list[Alarm]
    notes: list[str]
    cost: Cost
    digest: str

    def __getitem__(self, name: str) -> Score:
        """The score of that short name."""
        return self.scores[name]

    def __str__(self) -> str:
        width = max(len(score.convention) for score in self.scores.values())
        lines = [self._heading(), "", f"{'':<{width}}  {'value':>8}  {'best':>8}  {'worst':>8}  {'empty':>7}"]
        for score in self.scores.values():
            numbers = "  ".join(f"{_shown(x):>8}" for x in (float(score), score.best, score.worst))
            lines.append(f"{score.convention:<{width}}  {numbers}  {score.empty:>7,}")
        lines += ["", *self._bit_lines()]
        lines += [f"{alarm}" for alarm in self.alarms] or ["no alarms"]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    def to_markdown(self) -> str:
        """The table in Markdown, with bit statistics, alarms and notes below."""
        lines = [self._heading(), "", "| metric | value | best | worst | empty queries |", "|---|---:|---:|---:|---:|"]
        for score in self.scores.values():
            numbers = " | ".join(_shown(x) for x in (float(score), score.best, score.worst))
            lines.append(f"| {score.convention} | {numbers} | {score.empty:,} |")
        lines += ["", *(f"- {line}" for line in self._bit_lines())]
        lines += [f"- {alarm}" for alarm in self.alarms] or ["- no alarms"]
        lines += [f"- note: {note}" for note in self.notes]
        return "\n".join(lines) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """Everything but the values of single queries, in plain Python types; numbers that do not exist are None."""
        scores = {
            name: {
                "value": float(score),
                "best": score.best,
                "worst": score.worst,
                "empty": score.empty,
                "convention": score.convention,
            }
            for name, score in self.scores.items()
        }
        result = {
            "queries": self.queries,
            "items": self.items,
            "bits": self.bits,
            "settings": self.settings,
            "scores": scores,
            "curves": {name: {**asdict(curve), "area": curve.area} for name, curve in self.curves.items()},
            "distances": asdict(self.distances),
            "query_bits": _bits(self.query_bits),
            "database_bits": _bits(self.database_bits),
            "alarms": [asdict(alarm) for alarm in self.alarms],
            "notes": self.notes,
            "cost": asdict(self.cost),
            "digest": self.digest,
        }
        converted: dict[str, Any] = plain(result)
        return converted

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> RetrievalReport:
        """A report again from what `to_dict` or a file of `to_json` holds: all but the values of single queries.

        Raises:
            KeyError, TypeError, ValueError: something else.

        Example:
            >>> from fasthash.evaluation import RetrievalReport, evaluate
            >>> codes, labels = np.array([[True, False], [True, True]]), np.array([0, 0])
            >>> report = evaluate(codes, codes.copy(), labels, labels)
            >>> RetrievalReport.from_dict(json.loads(report.to_json()))["mAP@all"].convention
            'mAP@all[divisor=hits, ties=expected, empty=zero, relevance=share]'
        """
        scores = {}
        for name, score in content["scores"].items():
            value = math.nan if score["value"] is None else score["value"]
            rest = (score["empty"], score["convention"], score["best"], score["worst"])
            scores[name] = Score(value, np.zeros(0), *rest)
        curves = {}
        for name, curve in content["curves"].items():
            curves[name] = PrecisionRecallCurve(
                by=curve["by"],
                points=np.array(curve["points"], dtype=np.int64),
                precision=_floats(curve["precision"]),
                recall=_floats(curve["recall"]),
                empty_share=_floats(curve["empty_share"]),
                convention=curve["convention"],
            )
        distances = (np.array(content["distances"][side], dtype=np.int64) for side in ("relevant", "irrelevant"))
        return cls(
            **{name: content[name] for name in ("queries", "items", "bits", "settings", "notes", "digest")},
            scores=scores,
            curves=curves,
            distances=DistanceHistogram(*distances),
            query_bits=_statistics(content["query_bits"]),
            database_bits=_statistics(content["database_bits"]),
            alarms=[Alarm(**alarm) for alarm in content["alarms"]],
            cost=Cost(**content["cost"]),
        )

    def to_json(self, path: str | PathLike[str] | None = None) -> str:
        """`to_dict` as JSON, also written to ``path`` if one is given."""
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    def save_plots(self, folder: str | PathLike[str]) -> list[Path]:
        """Draw curves, P@N, distances and bit balance into a folder, made if need be; numbers beside them as CSV.

        Returns:
            The pictures: precision_recall_by_radius.png, precision_recall_by_rank.png, precision_at.png, distances.png,
            bit_balance.png.
        """
        from fasthash.evaluation.plots import (
            plot_bit_balance,
            plot_distances,
            plot_precision_at,
            plot_precision_recall,
        )

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        names = ("precision_recall_by_radius", "precision_recall_by_rank", "precision_at", "distances", "bit_balance")
        paths = [folder / f"{name}.png" for name in names]
        by = {kind: {f"{a}": self.curves[f"{kind}, {a}"] for a in ("macro", "micro")} for kind in ("radius", "rank")}
        plot_precision_recall(by["radius"], paths[0], title="PR by radius")
        plot_precision_recall(by["rank"], paths[1], title="PR by rank, expected over ties")
        plot_precision_at({"mean over queries": self.curves["rank, macro"]}, paths[2])
        plot_distances(self.distances.relevant, self.distances.irrelevant, paths[3])
        plot_bit_balance({"queries": self.query_bits.mean, "database": self.database_bits.mean}, paths[4])
        return paths

    def _heading(self) -> str:
        seconds = f"{self.cost.pairs:,} pairs in {self.cost.seconds:.2f} s"
        return f"{self.queries:,} queries, {self.items:,} items, {self.bits} bits; {seconds}"

    def _bit_lines(self) -> list[str]:
        lines = []
        for side, statistics in (("query", self.query_bits), ("database", self.database_bits)):
            if statistics.codes:
                mean = statistics.mean
                lines.append(
                    f"{side} codes: {statistics.distinct:,} different of {statistics.codes:,}, the most frequent has "
                    f"{statistics.largest_share:.2%}; {len(statistics.constant)} constant bits; bit means from "
                    f"{mean.min():.2f} to {mean.max():.2f}"
                )
        return lines


def _shown(x: float | None) -> str:
    return "" if x is None else f"{x:.4f}"


def _bits(statistics: BitStatistics) -> dict[str, Any]:
    return {
        **asdict(statistics),
        "constant": statistics.constant,
        "duplicate_rate": statistics.duplicate_rate,
    }


def _statistics(content: Mapping[str, Any]) -> BitStatistics:
    share = math.nan if content["largest_share"] is None else content["largest_share"]
    return BitStatistics(content["codes"], _floats(content["mean"]), content["distinct"], share)


def _floats(values: list[float | None]) -> NDArray[np.float64]:
    """With NaN for None."""
    return np.array(values, dtype=np.float64)


def plain(x: Any) -> Any:
    """Arrays as lists, NaN as None, NumPy numbers as Python's."""
    if isinstance(x, dict):
        return {key: plain(value) for key, value in x.items()}
    if isinstance(x, list | tuple):
        return [plain(value) for value in x]
    if isinstance(x, np.ndarray):
        return plain(x.tolist())
    if isinstance(x, float):
        return float(x) if math.isfinite(x) else None
    return x
