"""Pictures of the numbers of an evaluation. matplotlib is imported inside the functions; no global state is touched."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import cycle
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fasthash.evaluation.curves import PrecisionRecallCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's palette: told apart by colour-blind readers; markers and dashes tell the lines apart in greyscale.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_GREY = "#555555"


def plot_precision_recall(
    curves: Mapping[str, PrecisionRecallCurve], path: str | PathLike[str] | None = None, *, title: str | None = None
) -> Figure:
    """Draw precision against recall, one line a curve, one marker a radius.

    Args:
        curves: name in the legend -> curve.
        path: where to save the picture (the suffix gives the format); the numbers go beside it as ``.csv`` with the
            columns curve, by (radius or rank), point, recall, precision, empty_share.
        title: heading; default: the convention when all curves share one.

    Returns:
        The matplotlib Figure.

    Raises:
        ValueError: no curves.

    Example:
        >>> from fasthash.evaluation import precision_recall_curve
        >>> codes, labels = np.array([[True, False], [True, True]]), np.array([0, 0])
        >>> figure = plot_precision_recall({"mine": precision_recall_curve(codes, codes, labels, labels)})
    """
    from matplotlib.figure import Figure

    if not curves:
        raise ValueError("plot_precision_recall: curves: expected at least one curve, got none")
    figure = Figure(figsize=(5.6, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for (name, curve), style in zip(curves.items(), _styles(), strict=False):
        axes.plot(curve.recall, curve.precision, label=name, **style)
    by = {curve.by for curve in curves.values()}
    where = {"radius": " within radius", "rank": " over the first ranks"}[by.pop()] if len(by) == 1 else ""
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel=f"recall{where}", ylabel=f"precision{where}")
    conventions = {curve.convention for curve in curves.values()}
    heading = title if title is not None else conventions.pop() if len(conventions) == 1 else ""
    rows = (
        (name, curve.by, *row)
        for name, curve in curves.items()
        for row in _rows(curve.points, curve.recall, curve.precision, curve.empty_share)
    )
    header = ("curve", "by", "point", "recall", "precision", "empty_share")
    return _finish(figure, axes, heading, path, header, rows)


def plot_precision_at(
    curves: Mapping[str, PrecisionRecallCurve], path: str | PathLike[str] | None = None, *, title: str | None = None
) -> Figure:
    """Draw P@N against N on a logarithmic axis, one line a curve by rank.

    Args:
        curves: name in the legend -> curve by rank.
        path: where to save the picture; numbers go beside it as ``.csv`` with the columns curve, ranks, precision.
        title: heading; default: "precision over the first ranks".

    Returns:
        The matplotlib Figure.

    Raises:
        ValueError: no curves, or one that is not by rank.

    Example:
        >>> from fasthash.evaluation import precision_recall_curve
        >>> codes, labels = np.array([[True, False], [True, True]]), np.array([0, 0])
        >>> figure = plot_precision_at({"mine": precision_recall_curve(codes, codes, labels, labels, by="rank")})
    """
    from matplotlib.figure import Figure

    if not curves or any(curve.by != "rank" for curve in curves.values()):
        raise ValueError("plot_precision_at: curves: expected at least one curve, all of them by rank")
    figure = Figure(figsize=(5.6, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for (name, curve), style in zip(curves.items(), _styles(), strict=False):
        axes.plot(curve.points, curve.precision, label=name, **style)
    axes.set(xscale="log", ylim=(0, 1), xlabel="ranks N", ylabel="P@N")
    rows = ((name, *row) for name, curve in curves.items() for row in _rows(curve.points, curve.precision))
    heading = "precision over the first ranks" if title is None else title
    return _finish(figure, axes, heading, path, ("curve", "ranks", "precision"), rows)


def plot_distances(
    relevant: NDArray[np.int64], irrelevant: NDArray[np.int64], path: str | PathLike[str] | None = None
) -> Figure:
    """Draw how the distances of relevant and of irrelevant pairs are spread, each as shares of its own sum.

    Args:
        relevant: (bits + 1,) relevant pairs at each distance.
        irrelevant: (bits + 1,) the others.
        path: where to save the picture; numbers go beside it as ``.csv`` with the columns distance, relevant,
            irrelevant.

    Returns:
        The matplotlib Figure.

    Example:
        >>> figure = plot_distances(np.array([3, 1, 0]), np.array([0, 2, 2]))
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 4.4), layout="constrained")
    axes = figure.add_subplot()
    distance = np.arange(len(relevant))
    sides = (("relevant", relevant, _COLOURS[0], ""), ("others", irrelevant, _COLOURS[1], "//"))
    for name, pairs, colour, hatch in sides:
        total = int(pairs.sum())
        look: dict[str, Any] = {"color": colour, "edgecolor": colour, "alpha": 0.55, "hatch": hatch}
        axes.bar(distance, pairs / max(1, total), width=1.0, label=f"{name}, {total:,} pairs", **look)
    axes.set(xlabel="Hamming distance, bits", ylabel="share of the pairs")
    rows = _rows(distance, relevant, irrelevant)
    return _finish(figure, axes, "distances of pairs", path, ("distance", "relevant", "irrelevant"), rows)


def plot_bit_balance(means: Mapping[str, NDArray[np.float64]], path: str | PathLike[str] | None = None) -> Figure:
    """Draw the share of codes in which each bit is set, bits in order of that share.

    Args:
        means: name in the legend -> (bits,) means.
        path: where to save the picture; numbers go beside it as ``.csv`` with the columns codes, bit, mean.

    Returns:
        The matplotlib Figure.

    Example:
        >>> figure = plot_bit_balance({"database": np.array([0.5, 0.1, 0.9])})
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for (name, mean), style in zip(means.items(), _styles(), strict=False):
        axes.plot(np.arange(len(mean)), np.sort(mean), label=name, **style)
    axes.axhline(0.5, color=_GREY, linewidth=0.8, linestyle="--")
    axes.set(ylim=(0, 1), xlabel="bits, in order of their mean", ylabel="share of the codes with the bit set")
    rows = ((name, *row) for name, mean in means.items() for row in _rows(np.arange(len(mean)), mean))
    return _finish(figure, axes, "bit balance", path, ("codes", "bit", "mean"), rows)


def _styles() -> Iterator[dict[str, Any]]:
    """Line styles, again and again."""
    for colour, marker in zip(cycle(_COLOURS), cycle(_MARKERS), strict=False):
        yield {
            "color": colour,
            "marker": marker,
            "markersize": 4,
            "markerfacecolor": "white",
            "markeredgewidth": 1.1,
            "linewidth": 1.6,
            "clip_on": False,
            "zorder": 3,
        }


def _rows(*columns: NDArray[Any]) -> Iterator[tuple[Any, ...]]:
    yield from zip(*(column.tolist() for column in columns), strict=True)


def _finish(
    figure: Figure,
    axes: Axes,
    heading: str,
    path: str | PathLike[str] | None,
    header: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> Figure:
    """Put on what all pictures have; save the picture and its numbers."""
    axes.grid(color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="best")
    axes.set_title(heading, fontsize=9, color=_GREY, loc="left", pad=10)
    if path is not None:
        figure.savefig(path, dpi=150)
        with Path(path).with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(rows)
    return figure
