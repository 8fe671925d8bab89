"""`fasthash report` as a user types it."""

from __future__ import annotations

import shutil

import pytest

from fasthash.cli import main

TRAIN = ("train", "itq", "--bits", "16")


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """Calls the command in this process; gives what it printed, or the line with which it refuses."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> str:
        try:
            main(arguments)
        except SystemExit as exit_:
            return str(exit_.code)
        return capsys.readouterr().out

    return call


def test_runs_become_a_page(typed, tmp_path):
    typed(*TRAIN, "--out", "runs/a")
    shutil.copytree("runs/a", "runs/b")
    assert typed("report", "runs/a").startswith("Written to runs/a/report.html, 0.")
    assert typed("report", "runs/a", "runs/b", "--out", "both.html").startswith("Written to both.html, ")
    text = (tmp_path / "both.html").read_text()
    assert text.count('class="walk"') == 2
    (tmp_path / "runs" / "b" / "recipe.yaml").unlink()
    typed("report", "runs/b")
    assert "No pictures: there is no recipe.yaml" in (tmp_path / "runs" / "b" / "report.html").read_text()
    cure = "name the runs in it: fasthash report runs/a runs/b"
    assert typed("report", "runs").endswith(f"expected a run folder, with its config.json, got 'runs'; {cure}")


def test_several_lengths_are_columns(typed, tmp_path):
    typed("train", "mah", "--bits", "4", "--outer-iters", "2", "--num-samples", "100", "--out", "run")
    typed("report", "run", "--out", "page.html")
    text = (tmp_path / "page.html").read_text()
    assert all(f"run, {bits} bits" in text for bits in (4, 8, 16))


def test_no_runs_and_no_folder_are_refused(typed):
    assert (
        typed("report")
        == "fasthash: report: RUNS: expected one run folder or more, got none; fasthash report runs/first"
    )
    assert "'nowhere', which is not there; `fasthash train` makes one" in typed("report", "nowhere")


def test_runs_of_one_name_are_told_apart(typed, tmp_path):
    for folder in ("x/run", "y/run"):
        typed(*TRAIN, "--no-report", "--out", folder)
    typed("report", "x/run", "y/run", "--out", "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "Run x/run" in text
    assert "Run y/run" in text
