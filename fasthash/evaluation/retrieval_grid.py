"""A picture of queries and what they found. matplotlib is imported inside the function; no global state is touched."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fasthash.evaluation.checks import Array, to_numpy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RIGHT, _WRONG = "#2a9d4a", "#b00020"
_GREY = "#555555"


def plot_retrieval_grid(
    query_images: Array,
    neighbour_images: Array,
    correct: Array,
    path: str | PathLike[str] | None = None,
    *,
    query_titles: Sequence[str] | None = None,
    neighbour_titles: Sequence[Sequence[str]] | None = None,
) -> Figure:
    """Draw each query and its nearest images in a row, framed and marked as right (green tick) or wrong (red cross).

    Args:
        query_images: (q, H, W), (q, H, W, C) or (q, C, H, W), C = 1 or 3; tensors or NumPy arrays. uint8 images span
            0..255; others are scaled from the smallest to the largest value of the whole grid.
        neighbour_images: (q, k, ...) with the same image shape, nearest first.
        correct: (q, k) bool, True = relevant.
        path: where to save the picture (the suffix gives the format).
        query_titles: q texts above the query images, such as class names.
        neighbour_titles: q sequences of k texts above the neighbours, such as distances.

    Returns:
        The matplotlib Figure.

    Raises:
        ValueError: shapes that do not fit together, or an empty grid.

    Example:
        >>> images = np.random.default_rng(0).random((2, 8, 8))
        >>> figure = plot_retrieval_grid(images, images[:, None].repeat(3, axis=1), np.ones((2, 3), dtype=bool))
    """
    from matplotlib.figure import Figure

    queries, neighbours, right = to_numpy(query_images), to_numpy(neighbour_images), to_numpy(correct)
    _check_grid(queries, neighbours, right, query_titles, neighbour_titles)
    rows, columns = right.shape
    if queries.dtype == np.uint8:
        span = (0.0, 255.0)
    else:
        span = (float(min(queries.min(), neighbours.min())), float(max(queries.max(), neighbours.max())))

    height = 1.18 if query_titles or neighbour_titles else 1.02
    figure = Figure(figsize=(columns + 1.3, height * rows + 0.35), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.05, wspace=0.02, hspace=0.03)  # type: ignore[union-attr,call-arg]
    query_titles = query_titles or ["query"] + [""] * (rows - 1)
    neighbour_titles = neighbour_titles or [[str(j + 1) for j in range(columns)]] + [[""] * columns] * (rows - 1)
    # A narrow empty column sets the queries apart from their neighbours.
    grid = figure.add_gridspec(rows, columns + 2, width_ratios=[1.0, 0.12] + [1.0] * columns)
    for i in range(rows):
        axes = figure.add_subplot(grid[i, 0])
        _show(axes, queries[i], span, _GREY, width=1.0)
        axes.set_title(query_titles[i], fontsize=8, pad=3)
        for j in range(columns):
            axes = figure.add_subplot(grid[i, j + 2])
            _show(axes, neighbours[i, j], span, _RIGHT if right[i, j] else _WRONG, width=2.5)
            _mark(axes, bool(right[i, j]))
            axes.set_title(neighbour_titles[i][j], fontsize=8, pad=3)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def _check_grid(
    queries: NDArray[Any],
    neighbours: NDArray[Any],
    right: NDArray[Any],
    query_titles: Sequence[str] | None,
    neighbour_titles: Sequence[Sequence[str]] | None,
) -> None:
    name = "plot_retrieval_grid"
    if queries.ndim not in (3, 4):
        raise ValueError(f"{name}: query_images: expected 3 or 4 dimensions, got shape {queries.shape}")
    if right.ndim != 2 or right.size == 0 or len(right) != len(queries):
        raise ValueError(f"{name}: correct: expected shape ({len(queries)}, k) with k >= 1, got {right.shape}")
    if neighbours.shape != right.shape + queries.shape[1:]:
        expected = right.shape + queries.shape[1:]
        raise ValueError(f"{name}: neighbour_images: expected shape {expected}, got {neighbours.shape}")
    if query_titles is not None and len(query_titles) != len(right):
        raise ValueError(f"{name}: query_titles: expected {len(right)} texts, got {len(query_titles)}")
    if neighbour_titles is not None and [len(row) for row in neighbour_titles] != [right.shape[1]] * len(right):
        raise ValueError(
            f"{name}: neighbour_titles: expected {len(right)} rows of {right.shape[1]} texts, got other lengths"
        )


def _channel_axis(shape: tuple[int, ...]) -> int | None:
    """The channel axis of one image (H, W), (H, W, C) or (C, H, W)."""
    if len(shape) == 2:
        return None
    for axis in (2, 0):
        if shape[axis] in (1, 3):
            return axis
    raise ValueError(
        f"plot_retrieval_grid: query_images: expected 1 or 3 channels, first or last, got image shape {shape}"
    )


def _show(axes: Axes, image: NDArray[Any], span: tuple[float, float], frame: str, width: float) -> None:
    channels = _channel_axis(image.shape)
    image = image if channels is None else np.moveaxis(image, channels, 2)
    low, high = span
    scaled = np.clip((image.astype(np.float64) - low) / ((high - low) or 1.0), 0, 1)
    axes.imshow(scaled.squeeze(2) if scaled.shape[2:] == (1,) else scaled, cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=frame, linewidth=width)


def _mark(axes: Axes, right: bool) -> None:
    """A tick or a cross on a disc in the corner: readable without colour."""
    axes.text(
        0.97,
        0.03,
        "\N{CHECK MARK}" if right else "\N{BALLOT X}",
        transform=axes.transAxes,
        ha="center",
        va="center",
        fontsize=9,
        fontfamily="DejaVu Sans",  # ships with matplotlib and has both signs
        color="white",
        in_layout=False,
        bbox={"boxstyle": "circle,pad=0.15", "facecolor": _RIGHT if right else _WRONG, "edgecolor": "white"},
    )
