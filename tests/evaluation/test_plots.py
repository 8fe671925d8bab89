"""Pictures come out, with the numbers beside them, and touch no global state of matplotlib."""

from __future__ import annotations

import csv
import sys

import numpy as np
import pytest
import torch

from fasthash.evaluation import (
    plot_bit_balance,
    plot_distances,
    plot_precision_at,
    plot_precision_recall,
    plot_retrieval_grid,
    precision_recall_curve,
)

PNG = b"\x89PNG"


def test_curve_is_saved_with_its_numbers(random_problem, tmp_path):
    curves = {f"seed {seed}": precision_recall_curve(*random_problem(seed), empty="skip") for seed in (0, 1)}
    figure = plot_precision_recall(curves, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(PNG)
    with (tmp_path / "curve.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 17
    for name, curve in curves.items():
        mine = [row for row in rows if row["curve"] == name]
        numbers = {"point": curve.points, "recall": curve.recall, "precision": curve.precision}
        for column, values in {**numbers, "empty_share": curve.empty_share}.items():
            written = np.array([float(row[column]) for row in mine])
            assert np.array_equal(written, values, equal_nan=True)
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == curves["seed 0"].convention
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(curves)


def test_nothing_is_written_without_a_path(random_problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plot_precision_recall({"a": precision_recall_curve(*random_problem(0))})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (8, 8, 3), (3, 8, 8), (1, 8, 8)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_grid_marks_right_and_wrong(shape, dtype, tmp_path):
    rng = np.random.default_rng(0)
    queries = (rng.random((2, *shape)) * 200).astype(dtype)
    neighbours = (rng.random((2, 4, *shape)) * 200).astype(dtype)
    correct = np.array([[True, True, False, True], [False, True, True, False]])
    figure = plot_retrieval_grid(queries, neighbours, correct, tmp_path / "grid.png")
    assert (tmp_path / "grid.png").read_bytes().startswith(PNG)
    marks = [axes.texts[0].get_text() for axes in figure.axes if axes.texts]
    assert marks == ["✓" if right else "✗" for right in correct.ravel()]
    assert len(figure.axes) == 2 * (1 + 4)
    frames = [axes.spines["top"].get_edgecolor() for axes in figure.axes if axes.texts]
    assert len(set(frames)) == 2


def test_grid_takes_tensors_and_titles():
    images = torch.rand(2, 3, 8, 8)
    figure = plot_retrieval_grid(
        images,
        images[:, None].expand(2, 3, 3, 8, 8),
        torch.ones(2, 3, dtype=torch.bool),
        query_titles=["cat", "dog"],
        neighbour_titles=[["0", "1", "1"], ["0", "2", "3"]],
    )
    assert [axes.get_title() for axes in figure.axes] == ["cat", "0", "1", "1", "dog", "0", "2", "3"]


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        ("query_images: expected 3 or 4 dimensions", {"query_images": np.zeros((2, 64))}),
        ("neighbour_images: expected shape", {"neighbour_images": np.zeros((2, 3, 8, 9))}),
        ("correct: expected shape", {"correct": np.ones((2, 0), dtype=bool)}),
        ("correct: expected shape", {"correct": np.ones((1, 3), dtype=bool)}),
        ("query_titles: expected 2 texts, got 1", {"query_titles": ["a"]}),
        ("neighbour_titles: expected 2 rows of 3 texts", {"neighbour_titles": [["a"], ["b"]]}),
        (
            "query_images: expected 1 or 3 channels",
            {"query_images": np.zeros((2, 8, 8, 5)), "neighbour_images": np.zeros((2, 3, 8, 8, 5))},
        ),
    ],
)
def test_grid_refuses_shapes_that_do_not_fit(message, changes):
    base = {
        "query_images": np.zeros((2, 8, 8)),
        "neighbour_images": np.zeros((2, 3, 8, 8)),
        "correct": np.ones((2, 3), dtype=bool),
    }
    with pytest.raises(ValueError, match=f"plot_retrieval_grid: {message}"):
        plot_retrieval_grid(**{**base, **changes})


def test_no_curves_is_refused():
    with pytest.raises(ValueError, match="plot_precision_recall: curves"):
        plot_precision_recall({})


def test_pyplot_is_not_loaded(random_problem):
    before = "matplotlib.pyplot" in sys.modules
    plot_precision_recall({"a": precision_recall_curve(*random_problem(0))})
    assert ("matplotlib.pyplot" in sys.modules) == before


def numbers(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_precision_at_ranks(random_problem, tmp_path):
    curve = precision_recall_curve(*random_problem(0), by="rank", points=(1, 10, 100))
    figure = plot_precision_at({"mine": curve}, tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(PNG)
    rows = numbers(tmp_path / "p.csv")
    assert [(row["curve"], int(row["ranks"]), float(row["precision"])) for row in rows] == [
        ("mine", n, p) for n, p in zip((1, 10, 100), curve.precision.tolist(), strict=True)
    ]
    assert figure.axes[0].get_xscale() == "log"


def test_curves_of_two_kinds_share_a_picture(random_problem):
    curves = {by: precision_recall_curve(*random_problem(0), by=by) for by in ("radius", "rank")}
    assert plot_precision_recall(curves).axes[0].get_xlabel() == "recall"
    assert plot_precision_recall({"a": curves["rank"]}).axes[0].get_xlabel() == "recall over the first ranks"


def test_distances_are_shares(tmp_path):
    figure = plot_distances(np.array([3, 1, 0]), np.array([0, 2, 2]), tmp_path / "d.png")
    heights = [[bar.get_height() for bar in container] for container in figure.axes[0].containers]
    assert heights == [[0.75, 0.25, 0.0], [0.0, 0.5, 0.5]]
    assert [row["relevant"] for row in numbers(tmp_path / "d.csv")] == ["3", "1", "0"]
    plot_distances(np.zeros(3, int), np.zeros(3, int))


def test_bits_are_in_order_of_their_mean(tmp_path):
    figure = plot_bit_balance({"codes": np.array([0.5, 0.1, 0.9])}, tmp_path / "b.png")
    assert figure.axes[0].lines[0].get_ydata().tolist() == [0.1, 0.5, 0.9]
    assert [row["mean"] for row in numbers(tmp_path / "b.csv")] == ["0.5", "0.1", "0.9"]


def test_only_curves_by_rank_show_precision_at(random_problem):
    for curves in ({}, {"a": precision_recall_curve(*random_problem(0))}):
        with pytest.raises(
            ValueError, match="plot_precision_at: curves: expected at least one curve, all of them by rank"
        ):
            plot_precision_at(curves)
