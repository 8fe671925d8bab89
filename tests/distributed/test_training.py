"""Two processes train as one does: the same losses and weights, one Ctrl-C for all, exact resume, no hanging."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from run_helpers import final_state, same_weights, without_times

from fasthash.training import Run

PLACE = ("steps", "stage", "rounds", "step")
JOBS = Path(__file__).with_name("jobs.py")


def torchrun(folder: Path, *jobs: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(JOBS)]
    return subprocess.run(
        [*command, str(folder), *jobs],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"},
    )


@pytest.fixture(scope="module")
def jobs():
    spec = importlib.util.spec_from_file_location("jobs", JOBS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The runs of two processes, and what they printed."""
    folder = tmp_path_factory.mktemp("two")
    done = torchrun(folder, "equality", "resume")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["descent", "clipped", "dpsh", "pts3h", "ssdh", "hashnet", "mah", "skdch", "distillhash"]
)
def test_losses_scores_and_weights_are_those_of_one_process(two, jobs, tmp_path, name):
    one, both = jobs.RUNS[name](str(tmp_path / name)), Run(two[0] / name)
    lines, expected = without_times(both), without_times(one)
    assert len(lines) == len(expected) > 8
    for line, wanted in zip(lines, expected, strict=True):
        assert line.keys() == wanted.keys()
        assert [line[key] for key in line if key not in PLACE] == pytest.approx(
            [wanted[key] for key in line if key not in PLACE], rel=1e-4, abs=1e-6
        )
    (tensors, _), (wanted, _) = final_state(both), final_state(one)
    for key in (key for key in wanted if key.startswith("module/")):
        assert torch.allclose(tensors[key], wanted[key], rtol=1e-4, atol=1e-5), key
    for key in (key for key in wanted if key.startswith(("tensor/codes", "tensor/labels"))):
        assert torch.equal(tensors[key], wanted[key]), key


@pytest.mark.slow
def test_ctrl_c_in_one_process_stops_all_and_they_resume_bit_for_bit(two, jobs):
    folder, printed = two
    stopped = [line for line in printed.splitlines() if "all saved" in line]
    assert sorted(line[:6] for line in stopped) == ["rank 0", "rank 1"]
    assert all("stopped after 12 steps" in line for line in stopped)
    whole, parts = Run(folder / "whole"), Run(folder / "parts")
    assert without_times(whole) == without_times(parts)
    assert same_weights(whole, parts)
    assert whole.best == parts.best
    with pytest.raises(ValueError, match=r"fit: to resume .*, training\.ranks must be 2, got 1"):
        jobs.train(str(folder / "whole"), whole.method(), resume=True)


@pytest.mark.slow
def test_each_process_draws_for_its_own_items(two):
    tensors, _ = final_state(Run(two[0] / "whole"))
    one, other = (tensors[f"generator/labelled@{rank}"] for rank in (0, 1))
    assert not torch.equal(one, other)


@pytest.mark.slow
def test_a_process_that_fails_ends_the_others(tmp_path):
    done = torchrun(tmp_path, "failure")
    assert done.returncode != 0
    assert "this process fails" in done.stderr
    assert not Run(tmp_path / "failed").finished


def test_devices_need_torchrun(jobs, tmp_path):
    with pytest.raises(ValueError, match="devices must be 1 without torchrun, got 2; start with: torchrun"):
        jobs.RUNS["dpsh"](str(tmp_path / "run"), devices=2)
    assert not (tmp_path / "run").exists()
