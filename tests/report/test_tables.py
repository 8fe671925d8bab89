"""Runs side by side."""

from __future__ import annotations

import json

from fasthash.report import read_run, tables


def test_differences_are_those_of_the_reports(make_run):
    records = [read_run(make_run(name, seed=seed)) for seed, name in enumerate(("a", "b"))]
    columns = [record.measured[0] for record in records]
    rows = {row.name: row for row in tables.score_rows(columns, "")}
    values = [column.reports[""]["mAP@all"] for column in columns]
    cells = rows["mAP@all"].cells
    assert [cell.value for cell in cells] == [f"{value:.4f}" for value in values]
    assert cells[0].difference == ""
    assert cells[1].difference.replace("\N{MINUS SIGN}", "-") == f"{values[1] - values[0]:+.4f}"
    assert tables.other_queries(columns, "") == []


def test_other_queries_and_other_conventions_are_not_compared(make_run):
    folders = [make_run(name) for name in ("a", "b", "c")]
    content = json.loads((folders[1] / "report.json").read_text())
    (folders[1] / "report.json").write_text(json.dumps({**content, "digest": "others"}))
    content["scores"]["P@5"]["convention"] = "P@5[ties=worst, relevance=share]"
    (folders[2] / "report.json").write_text(json.dumps(content))
    columns = [read_run(folder).measured[0] for folder in folders]
    rows = tables.score_rows(columns, "")
    assert tables.other_queries(columns, "") == ["b"]
    assert all(row.cells[1].difference == "" for row in rows)
    first, second = [row for row in rows if row.name == "P@5"]
    assert [cell.value == "\N{EN DASH}" for cell in first.cells] == [False, False, True]
    assert [cell.value == "\N{EN DASH}" for cell in second.cells] == [True, True, False]
    assert second.cells[2].difference == ""


def test_only_what_differs_is_listed(make_run):
    records = [read_run(make_run("a")), read_run(make_run("b", seed=1, method="dpsh", near=0.1))]
    assert tables.differences(records) == [("method", ["pts3h", "dpsh"]), ("training.seed", ["0", "1"])]
