"""The `fasthash` command as a user types it."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from fasthash import evaluation
from fasthash.data import load_digits, make_split

COMMAND = Path(sysconfig.get_path("scripts")) / "fasthash"


def run(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    assert COMMAND.exists(), "the command is not installed beside this Python"
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=280, cwd=folder)


def test_an_error_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should go")
    result = run("demo", "--out", str(tmp_path / "taken"))
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].startswith("fasthash: ")
    assert "Traceback" not in result.stderr


def test_the_demo_leaves_other_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "pts3h").mkdir()
    (tmp_path / "pts3h" / "thesis.txt").write_text("mine")
    result = run("demo", "--out", str(tmp_path))
    assert result.returncode == 1
    assert "fasthash: demo: out: expected a new or empty folder" in result.stderr
    assert (tmp_path / "pts3h" / "thesis.txt").read_text() == "mine"


@pytest.mark.slow
def test_the_demo_does_the_main_job_twice(tmp_path: Path) -> None:
    """Into a folder, then over its own results; what it printed is what its files say."""
    first = run("demo", "--out", "runs/demo", folder=tmp_path)
    assert first.returncode == 0, first.stderr
    out = tmp_path / "runs" / "demo"
    codes = load_file(out / "codes.safetensors")
    again = run("demo", "--out", "runs/demo", folder=tmp_path)
    assert again.returncode == 0, again.stderr
    for name, rows in load_file(out / "codes.safetensors").items():
        np.testing.assert_array_equal(rows, codes[name], err_msg="the same seed gave other codes")

    metrics = json.loads((out / "metrics.json").read_text())
    _, labels = load_digits()
    split = make_split("digits-semi", labels, 0)
    for title, numbers in metrics["results"].items():
        score = evaluation.mean_average_precision(
            codes[f"{title}/queries"],
            codes[f"{title}/database"],
            labels[split.queries].numpy(),
            labels[split.database].numpy(),
            bits=48,
        )
        assert numbers["mAP@all"]["value"] == float(score)
        assert f"{score:.4f}" in first.stdout
        assert numbers["mAP@all"]["convention"] == score.convention
    for picture in ("precision_recall.png", "retrieval.png"):
        assert (out / picture).read_bytes().startswith(b"\x89PNG")
    for run_folder in ("dpsh", "pts3h"):
        assert json.loads((out / run_folder / "config.json").read_text())["training"]["seed"] == 0
    assert "\r" not in first.stderr, "a progress bar in a file"
    ranks = {title: numbers["mAP@all"]["value"] for title, numbers in metrics["results"].items()}
    assert ranks["PTS3H"] > 0.9
    assert ranks["supervised only"] > 0.85
