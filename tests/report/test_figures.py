"""Charts and correlations, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fasthash import pack
from fasthash.report.charts import Series, line_chart
from fasthash.report.figures import correlations, loss_charts, rank_charts
from fasthash.report.measured import read_measured
from fasthash.training import Run


def test_a_gap_breaks_the_line():
    chart = line_chart("t", [Series("s", [(0, 0), (1, math.nan), (2, 1), (3, 1)])], x_label="x", y_label="y")
    assert chart.lines[0].path.count("M") == 2
    assert len(chart.lines[0].dots) == 3


def test_a_logarithmic_axis_has_decades_at_equal_steps():
    points = [(10.0**power, 0.5) for power in range(4)]
    chart = line_chart("t", [Series("s", points)], x_label="x", y_label="y", y_range=(0, 1), log=True)
    places = [float(x) for x, _ in chart.x_ticks]
    assert [label for _, label in chart.x_ticks] == ["1", "10", "100", "1,000"]
    assert np.diff(places) == pytest.approx(np.full(3, places[1] - places[0]), abs=0.11)
    assert [x for x, _, _ in chart.lines[0].dots] == [x for x, _ in chart.x_ticks]


@pytest.mark.parametrize("points", [[], [(0, math.nan)], [(math.inf, 1)]])
def test_no_points_no_chart(points):
    assert line_chart("t", [Series("s", points)], x_label="x", y_label="y") is None


def test_one_point_and_a_level_line_have_room():
    for points in ([(5, 0.0)], [(0, 3), (1, 3)]):
        chart = line_chart("t", [Series("s", points)], x_label="x", y_label="y")
        assert all(chart.box[1] < float(y) < chart.box[3] for _, y, _ in chart.lines[0].dots)


def test_correlations_are_those_of_numpy():
    bits = np.random.default_rng(0).random((40, 11)) < 0.4
    bits[:, 3], bits[:, 7] = True, ~bits[:, 2]
    found = correlations(torch.from_numpy(pack(bits)), 11)
    varying = np.delete(bits, 3, axis=1)
    expected = np.abs(np.corrcoef(varying.T.astype(float)))
    assert found.mean == pytest.approx((expected.sum() - 10) / (11 * 10))
    assert (found.pair, found.constant, found.codes) == ((2, 7), 1, 40)
    assert found.largest == pytest.approx(1)


def test_long_logs_are_averaged():
    metrics = [{"steps": s, "seconds": 0.0, "stage": "a", "pair": float(s % 2)} for s in range(1, 1001)]
    (chart,) = loss_charts(metrics)
    assert len(chart.lines[0].dots) == 143  # of 7 lines each, the last of 6
    assert chart.note == "each point is the mean of 7 lines of the log"
    assert chart.lines[0].dots[0][2] == f"step 7: {4 / 7:.5g}"


def test_curves_show_the_values_of_the_report(make_run):
    report = read_measured(Run(make_run("a")), "a").reports[""]
    by_name = {chart.title: chart for chart in rank_charts([("a", 0, report)])}
    curve = report.curves["rank, macro"]
    titles = [text for _, _, text in by_name["Recall by rank"].lines[0].dots]
    assert titles == [f"a, rank {n}: {r:.4f}" for n, r in zip(curve.points, curve.recall, strict=True)]
    titles = [text for _, _, text in by_name["mAP@k"].lines[0].dots]
    assert titles == [f"a, k = {k}: {report[name]:.4f}" for k, name in ((5, "mAP@5"), (10, "mAP@10"), (60, "mAP@all"))]
