"""The charts of the page, from reports, logs and codes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fasthash.evaluation import BitStatistics, PrecisionRecallCurve, RetrievalReport
from fasthash.ops import unpack
from fasthash.report.charts import Chart, Series, line_chart
from fasthash.report.thumbnails import png_address

POINTS = 150
"""Points of a line of the training history, at most; more lines of the log are averaged."""
CODES = 20_000
"""Codes that correlations are taken over, at most."""
SIDE = 128
"""Bits that the picture of correlations shows one by one; of more, the largest of neighbours is shown."""
# What a line of metrics.jsonl says about its place, beside the numbers.
PLACE = ("steps", "seconds", "stage", "rounds", "step")

Labelled = Sequence[tuple[str, int, RetrievalReport]]  # name in the legend, place in the palette, report


def rank_charts(reports: Labelled) -> list[Chart]:
    """mAP@k, precision, recall and both against each other over the first ranks."""
    by = [(name, style, report.curves["rank, macro"]) for name, style, report in reports]
    last = max((int(curve.points.max(initial=1)) for _, _, curve in by), default=1)
    ends: Any = {"x_range": (1, max(last, 10)), "y_range": (0, 1), "log": True}
    charts = [
        line_chart(
            "mAP@k", [_map_at(*labelled) for labelled in reports], x_label="k, first ranks", y_label="mAP@k", **ends
        ),
        line_chart(
            "Precision by rank",
            [_against_points(*labelled, "precision") for labelled in by],
            x_label="N, first ranks",
            y_label="P@N",
            **ends,
        ),
        line_chart(
            "Recall by rank",
            [_against_points(*labelled, "recall") for labelled in by],
            x_label="N, first ranks",
            y_label="R@N",
            **ends,
        ),
        _precision_recall("Precision and recall by rank", by),
    ]
    return [chart for chart in charts if chart is not None]


def radius_charts(reports: Labelled) -> list[Chart]:
    """Precision, recall, empty balls, and precision against recall within each radius."""
    by = [(name, style, report.curves["radius, macro"]) for name, style, report in reports]
    titles = {
        "precision": "Precision within radius",
        "recall": "Recall within radius",
        "empty_share": "Queries with an empty ball",
    }
    charts = [
        line_chart(
            title,
            [_against_points(*labelled, part) for labelled in by],
            x_label="Hamming radius, bits",
            y_label=part.replace("_", " "),
            y_range=(0, 1),
        )
        for part, title in titles.items()
    ]
    charts.append(_precision_recall("Precision and recall by radius", by))
    return [chart for chart in charts if chart is not None]


def distance_chart(report: RetrievalReport) -> Chart | None:
    """How distances of relevant pairs and of the others are spread, each as shares of their own sum."""
    series = []
    for name, pairs in (("relevant", report.distances.relevant), ("others", report.distances.irrelevant)):
        total = int(pairs.sum())
        points = [(float(d), float(count) / max(total, 1)) for d, count in enumerate(pairs)]
        titles = [f"{name}, {d} bits: {count:,} pairs, {count / max(total, 1):.2%}" for d, count in enumerate(pairs)]
        series.append(Series(f"{name}, {total:,} pairs", points, titles))
    return line_chart(
        "Distances of pairs",
        series,
        x_label="Hamming distance, bits",
        y_label="share of the pairs",
        legend=True,
        filled=True,
    )


def balance_chart(sides: dict[str, BitStatistics]) -> Chart | None:
    """Share of the codes in which each bit is set, bits in order of that share."""
    series = []
    for name, statistics in sides.items():
        order = np.argsort(statistics.mean, kind="stable")
        points = [(float(place), float(statistics.mean[bit])) for place, bit in enumerate(order)]
        titles = [f"{name}, bit {bit}: set in {statistics.mean[bit]:.1%}" for bit in order]
        series.append(Series(name, points, titles))
    return line_chart(
        "Bit balance",
        series,
        x_label="bits, in order of their mean",
        y_label="share of codes with it set",
        y_range=(0, 1),
        rule=0.5,
        legend=True,
    )


@dataclass(frozen=True)
class Correlations:
    """Of the bits of codes with each other.

    Attributes:
        picture: data: address of an image with a pixel for each pair of bits, opaque where |r| = 1.
        mean: of |r| over pairs of different bits; NaN for one bit.
        largest: of them.
        pair: the two bits that have it.
        codes: how many codes were looked at.
        constant: bits that are equal in all of them, which correlate with nothing.
    """

    picture: str
    mean: float
    largest: float
    pair: tuple[int, int]
    codes: int
    constant: int


def correlations(codes: Tensor, bits: int) -> Correlations:
    """Of packed codes (n, bytes); of more than 20,000, evenly spread ones are taken.

    Example:
        >>> import torch
        >>> found = correlations(torch.tensor([[0b11000000], [0b00100000], [0b11100000]], dtype=torch.uint8), 3)
        >>> round(found.largest, 6), found.pair
        (1.0, (0, 1))
    """
    rows = np.unique(np.linspace(0, len(codes) - 1, min(len(codes), CODES)).astype(np.int64))
    signs = unpack(codes[rows], bits).numpy().astype(np.float64)
    centred = signs - signs.mean(0)
    deviation = np.sqrt((centred**2).sum(0))
    varies = deviation > 0
    scaled = np.divide(centred, deviation, out=np.zeros_like(centred), where=varies)
    absolute = np.minimum(np.abs(scaled.T @ scaled), 1)
    apart = absolute - np.eye(bits) * absolute
    a, b = divmod(int(apart.argmax()), bits)
    pairs = bits * (bits - 1)
    mean = float(apart.sum()) / pairs if pairs else float("nan")
    return Correlations(_picture(absolute), mean, float(apart.max()), (a, b), len(rows), int((~varies).sum()))


def loss_charts(metrics: Sequence[dict[str, Any]]) -> list[Chart]:
    """Each loss of each stage over the steps of the run."""
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for line in metrics:
        for name, value in line.items():
            if name not in PLACE and name != "validation_mAP" and isinstance(value, int | float):
                found.setdefault((str(line.get("stage", "")), name), []).append((line["steps"], float(value)))
    several = len({stage for stage, _ in found}) > 1
    charts = []
    for (stage, name), points in found.items():
        each = -(-len(points) // POINTS)
        parts = [points[start : start + each] for start in range(0, len(points), each)]
        means = [(float(part[-1][0]), float(np.mean([y for _, y in part]))) for part in parts]
        titles = [f"step {x:,.0f}: {y:.5g}" for x, y in means]
        chart = line_chart(
            f"{stage}: {name}" if several else name,
            [Series(name, means, titles)],
            x_label="steps",
            y_label="loss, weighted",
            note=f"each point is the mean of {each} lines of the log" if each > 1 else "",
        )
        if chart is not None:
            charts.append(chart)
    return charts


def validation_chart(runs: Sequence[tuple[str, int, Sequence[dict[str, Any]]]]) -> Chart | None:
    """mAP on the validation items over the steps, a line a run: name, place in the palette, lines of its log."""
    series = []
    for name, style, metrics in runs:
        points = [
            (float(line["steps"]), float(line["validation_mAP"]))
            for line in metrics
            if isinstance(line.get("validation_mAP"), int | float)
        ]
        titles = [f"{name}, step {x:,.0f}: {y:.4f}" for x, y in points]
        series.append(Series(name, points, titles, style))
    return line_chart("Validation", series, x_label="steps", y_label="mAP@all", legend=len(runs) > 1)


def _map_at(name: str, style: int, report: RetrievalReport) -> Series:
    found = {report.items: float(report.scores["mAP@all"])} if "mAP@all" in report.scores else {}
    for short, score in report.scores.items():
        if match := re.fullmatch(r"mAP@(\d+)", short):
            found[min(int(match[1]), report.items)] = float(score)
    points = sorted((float(k), value) for k, value in found.items())
    return Series(name, points, [f"{name}, k = {k:,.0f}: {y:.4f}" for k, y in points], style)


def _against_points(name: str, style: int, curve: PrecisionRecallCurve, part: str) -> Series:
    values: NDArray[np.float64] = getattr(curve, part)
    points = list(zip(curve.points.astype(float).tolist(), values.tolist(), strict=True))
    return Series(name, points, [f"{name}, {curve.by} {x:,.0f}: {y:.4f}" for x, y in points], style)


def _precision_recall(title: str, curves: Sequence[tuple[str, int, PrecisionRecallCurve]]) -> Chart | None:
    series = []
    for name, style, curve in curves:
        points = list(zip(curve.recall.tolist(), curve.precision.tolist(), strict=True))
        titles = [
            f"{name}, {curve.by} {at:,}: precision {y:.4f}, recall {x:.4f}"
            for at, (x, y) in zip(curve.points.tolist(), points, strict=True)
        ]
        series.append(Series(name, points, titles, style))
    return line_chart(title, series, x_label="recall", y_label="precision", x_range=(0, 1), y_range=(0, 1))


def _picture(absolute: NDArray[np.float64]) -> str:
    """Black, opaque where |r| is 1, so that it can be turned over on a dark page."""
    each = -(-len(absolute) // SIDE)
    starts = np.arange(0, len(absolute), each)
    shown = np.maximum.reduceat(np.maximum.reduceat(absolute, starts, axis=0), starts, axis=1)
    pixels = np.zeros((*shown.shape, 2), dtype=np.uint8)
    pixels[..., 1] = (shown * 255).round()
    return png_address(pixels)
