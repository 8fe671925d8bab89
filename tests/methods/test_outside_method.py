"""The method of docs/extending.md, which is no part of the package: loop, command line, resume in mid-stage, report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
import torch
from document_parts import ROOT, write_files
from run_helpers import StopAfter, final_state, same_weights, without_times

from fasthash import data, methods, training
from fasthash.methods import registry

COMMAND = Path(sysconfig.get_path("scripts")) / "fasthash"
OPTIONS = ("--preset", "digits", "--bits", "16", "--epochs", "10", "--network.dropout", "0.3")
ENTRY_POINTS = "[fasthash.methods]\ncodewords = codewords:Codewords\n"


@pytest.fixture
def codewords(tmp_path, monkeypatch):
    """The module; what it registers is taken back."""
    write_files(ROOT / "docs/extending.md", tmp_path)
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv(registry.MODULES, "codewords")
    assert "codewords" in methods.available()
    return sys.modules.pop("codewords")


def test_its_loss_is_that_of_a_plain_loop(codewords):
    generator = torch.Generator().manual_seed(0)
    u, words = torch.randn(7, 5, generator=generator), torch.randn(3, 5, generator=generator).sign()
    labels = torch.tensor([0, 2, 1, 1, 0, 2, 2])
    squares = [(u[i, k] - words[labels[i], k]) ** 2 for i in range(7) for k in range(5)]
    assert torch.allclose(codewords.codeword_loss(u, words, labels), sum(squares) / 35)


def test_it_stops_in_mid_stage_and_ends_the_same(codewords, tmp_path):
    images, labels = data.load_digits()
    split = data.make_split("digits-semi", labels)
    items = data.TrainingSet.from_split(images, labels, split)
    method = methods.create("codewords", preset="digits", bits=16, epochs=3, network={"dropout": 0.3})
    assert method.epochs == 3
    assert isinstance(method, codewords.Codewords)

    def run(folder, progress, resume=False):
        config = training.Config(str(tmp_path / folder), accelerator="cpu", log_every=1, resume=resume)
        return training.fit(method, items, config, progress=progress)

    whole = run("whole", training.Silent())
    with pytest.raises(KeyboardInterrupt):
        run("parts", StopAfter(9))
    cursor = final_state(training.Run(tmp_path / "parts"))[1]["cursor"]
    assert (cursor["path"], cursor["step"]) == ([1, 1, 0], 3)  # in the second round of six steps
    parts = run("parts", training.Silent(), resume=True)
    assert same_weights(whole, parts)
    assert torch.equal(whole.tensors()["words"], parts.tensors()["words"])
    assert without_times(whole) == without_times(parts)


def _run(folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments], capture_output=True, text=True, timeout=280, cwd=folder, env=environment
    )


@pytest.mark.slow
def test_the_command_line_finds_it_in_an_installed_package(tmp_path):
    package, runs = tmp_path / "site", tmp_path / "runs"
    about = package / "codewords-1.0.dist-info"
    about.mkdir(parents=True)
    runs.mkdir()
    write_files(ROOT / "docs/extending.md", package)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: codewords\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    environment = {**os.environ, "PYTHONPATH": str(package)}

    whole = _run(runs, environment, "train", "codewords", *OPTIONS, "--out", "whole")
    assert whole.returncode == 0, whole.stderr
    report = json.loads((runs / "whole" / "report.json").read_text())
    score = report["scores"]["mAP@all"]["value"]
    assert score > 0.5
    assert f"{score:.4f}" in whole.stdout

    arguments = ["train", "codewords", *OPTIONS, "--checkpoint-every", "5", "--out", "killed"]
    process = subprocess.Popen(
        [COMMAND, *arguments], cwd=runs, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    while not list((runs / "killed").glob("checkpoints/0*")):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not training.Run(runs / "killed").finished
    resumed = _run(runs, environment, "train", "--resume", "killed")
    assert resumed.returncode == 0, resumed.stderr
    assert same_weights(training.Run(runs / "whole"), training.Run(runs / "killed"))
    assert json.loads((runs / "killed" / "report.json").read_text())["scores"] == report["scores"]


def test_a_module_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv(registry.MODULES, "fasthash, no_such_module")
    with pytest.raises(ImportError, match=r"FASTHASH_METHODS: expected modules .* got 'no_such_module': No module"):
        methods.available()
