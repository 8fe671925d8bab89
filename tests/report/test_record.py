"""What `read_run` reads, and what it says of what is not there."""

from __future__ import annotations

import json

import pytest

from fasthash.report import read_run, tables


def test_a_whole_run(make_run, items):
    record = read_run(make_run("first"), items=items)
    assert record.missing == {}
    assert (record.name, record.finished, record.best) == ("first", True, {"score": 0.75, "steps": 30})
    assert record.seconds == pytest.approx(3.0 + 3.0)  # of the process before the stop, and of the one after it
    assert set(record.measured[0].codes) == {"queries", "database"}
    facts = dict(tables.facts(record))
    assert facts["split digest"] == items.split.digest
    assert facts["training"] == "60 steps in 6.0 s, finished"
    assert facts["command"] == "fasthash train pts3h"
    assert facts["git commit"] == "c0ffee and changes"
    assert dict(tables.options(record))["optimiser.lr"] == "0.001"


@pytest.mark.parametrize(
    ("file", "part", "said"),
    [
        ("report.json", "report", "`fasthash evaluate --run"),
        ("environment.json", "environment", "there is no environment.json"),
        ("metrics.jsonl", "metrics", "there is no metrics.jsonl"),
        ("checkpoints/60/state.json", "checkpoint", "there is no checkpoint"),
    ],
)
def test_a_missing_part_is_named(make_run, items, file, part, said):
    record = read_run(make_run("first", without=(file,)), items=items)
    assert set(record.missing) == {part}
    assert said in record.missing[part]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"scores": {}}', '{"a->b": {"scores": 3}}', "null"])
def test_a_spoilt_report_is_named(make_run, text):
    folder = make_run("first")
    (folder / "report.json").write_text(text)
    record = read_run(folder)
    assert record.measured == []
    assert record.missing["report"]


def test_half_a_line_and_a_spoilt_log(make_run):
    folder = make_run("first")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"steps": 70, "sec')
    assert read_run(folder).metrics[-1]["steps"] == 60
    (folder / "metrics.jsonl").write_text('{"steps": 70}\n')
    record = read_run(folder)
    assert (record.metrics, record.missing["metrics"]) == ([], "KeyError: 'seconds'")


def test_what_is_no_run_is_refused_with_a_cure(make_run, tmp_path):
    first = make_run("first")
    with pytest.raises(ValueError, match=f"its config.json, got '{tmp_path}'; name the runs in it: .* {first}$"):
        read_run(tmp_path)
    with pytest.raises(ValueError, match="'nowhere', which is not there; `fasthash train` makes one"):
        read_run("nowhere")
    with pytest.raises(ValueError, match=r"config.json'; `fasthash train` makes one"):
        read_run(first / "config.json")
    (first / "config.json").write_text(json.dumps({"method": 3}))
    with pytest.raises(ValueError, match=r"expected a config\.json that training wrote"):
        read_run(first)
