"""Line charts as geometry, which `templates/chart.html` writes down as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT = 280, 205
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 24, 36
STYLES = 7
"""Colours and dashes in `templates/style.css`; further lines begin again."""
MARKED = 24
"""Lines of up to this many points show them."""


@dataclass(frozen=True)
class Series:
    """A line.

    Attributes:
        name: in the legend.
        points: x and y; points that are no finite numbers are gaps.
        titles: what a point shows under the mouse; default x and y.
        style: place in the palette; None = its place in the chart.
    """

    name: str
    points: Sequence[tuple[float, float]]
    titles: Sequence[str] = ()
    style: int | None = None


@dataclass(frozen=True)
class Line:
    """A series as SVG: where it runs, and places and titles of its points."""

    name: str
    style: int
    path: str
    fill: str
    marked: bool
    dots: list[tuple[str, str, str]]


@dataclass(frozen=True)
class Chart:
    """A chart as SVG; lengths are those of its view box."""

    title: str
    x_label: str
    y_label: str
    lines: list[Line]
    x_ticks: list[tuple[str, str]]
    y_ticks: list[tuple[str, str]]
    note: str = ""
    legend: bool = False
    rule: str | None = None  # height of a dashed line across
    width: int = WIDTH
    height: int = HEIGHT
    box: tuple[int, int, int, int] = field(default=(LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM))


def line_chart(
    title: str,
    series: Iterable[Series],
    *,
    x_label: str,
    y_label: str,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    log: bool = False,
    note: str = "",
    legend: bool = False,
    filled: bool = False,
    rule: float | None = None,
) -> Chart | None:
    """Put series into a frame.

    Args:
        title: above it.
        series: the lines.
        x_label: below it.
        y_label: above its axis.
        x_range: ends of the axis; default those of the points.
        y_range: likewise.
        log: x is logarithmic; points that are not positive are left out.
        note: in small letters below.
        legend: name the lines below.
        filled: shade what lies under the lines.
        rule: y of a dashed line across.

    Returns:
        The chart; None where there is no point to draw.

    Example:
        >>> line_chart("squares", [Series("y", [(0, 0), (1, 1), (2, 4)])], x_label="x", y_label="y").lines[0].path
        'M44.0,169.0L158.0,132.8L272.0,24.0'
    """
    kept = []
    for place, line in enumerate(series):
        texts = line.titles or [f"{_number(x)}: {y:.4g}" for x, y in line.points]
        points = [
            (math.log10(x) if log else float(x), float(y), text)
            for (x, y), text in zip(line.points, texts, strict=True)
            if not log or x > 0
        ]
        kept.append((line, place if line.style is None else line.style, points))
    seen = [(x, y) for _, _, points in kept for x, y, _ in points if math.isfinite(x) and math.isfinite(y)]
    if not seen:
        return None
    if x_range is not None and log:
        x_range = (math.log10(x_range[0]), math.log10(x_range[1]))
    x_low, x_high = _span([x for x, _ in seen], x_range)
    y_low, y_high = _span([y for _, y in seen], y_range)

    def across(x: float) -> float:
        return LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def down(y: float) -> float:
        return TOP + (y_high - y) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)

    lines = []
    for line, style, points in kept:
        places = [
            (across(x), down(y), text) if math.isfinite(x) and math.isfinite(y) else None for x, y, text in points
        ]
        there = [place for place in places if place is not None]
        if not there:
            continue
        path = _path(places)
        fill = f"{path}L{there[-1][0]:.1f},{HEIGHT - BOTTOM}L{there[0][0]:.1f},{HEIGHT - BOTTOM}Z" if filled else ""
        dots = [(f"{x:.1f}", f"{y:.1f}", text) for x, y, text in there]
        lines.append(Line(line.name, style % STYLES, path, fill, len(there) <= MARKED and not filled, dots))
    ticks = _decades(x_low, x_high) if log else [(x, _number(x)) for x in _steps(x_low, x_high)]
    return Chart(
        title,
        x_label,
        y_label,
        lines,
        [(f"{across(x):.1f}", label) for x, label in ticks],
        [(f"{down(y):.1f}", _number(y)) for y in _steps(y_low, y_high)],
        note,
        legend,
        None if rule is None else f"{down(rule):.1f}",
    )


def _path(places: Sequence[tuple[float, float, str] | None]) -> str:
    parts, pen = [], "M"
    for place in places:
        if place is None:
            pen = "M"
            continue
        parts.append(f"{pen}{place[0]:.1f},{place[1]:.1f}")
        pen = "L"
    return "".join(parts)


def _span(values: list[float], given: tuple[float, float] | None) -> tuple[float, float]:
    low, high = given or (min(values), max(values))
    if low < high:
        return low, high
    return low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)


def _steps(low: float, high: float) -> list[float]:
    """About five round numbers from low to high.

    Example:
        >>> _steps(0, 1), _steps(0, 48)
        ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 10.0, 20.0, 30.0, 40.0])
    """
    rough = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = unit * next(factor for factor in (1, 2, 5, 10) if factor * unit >= rough * 0.99)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _decades(low: float, high: float) -> list[tuple[float, str]]:
    """Powers of ten between two logarithms; the ends themselves where there is at most one."""
    found = [
        (float(power), _number(10.0**power)) for power in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
    ]
    return found if len(found) > 1 else [(x, _number(10.0**x)) for x in (low, high)]


def _number(x: float) -> str:
    """As one would write it on an axis."""
    if (x and abs(x) < 1e-3) or abs(x) >= 1e7:
        return f"{x:.3g}"
    return f"{x:,.10g}" if x == round(x) else f"{x:.4g}"
