"""The first call on a GPU machine keeps to its minutes, and goes on after what may fail."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import first_gpu_call
import gpu
import pytest
from first_gpu_call import Step, follow

SAY = [sys.executable, "-c", "import sys; print('said', *sys.argv[1:])"]
FAIL = [sys.executable, "-c", "raise SystemExit(3)"]
# A step that starts a process in a group of its own, as ninja does, which would go on after it.
START = """
import os, subprocess, time
print(subprocess.Popen(["sleep", "60"], preexec_fn=os.setpgrp).pid, flush=True)
time.sleep(60)
"""
HANG = [sys.executable, "-c", START]


def test_steps_go_on_after_failed_tests_but_not_after_a_failed_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ends = follow([Step("build", SAY, 60, True), Step("tests", FAIL, 60), Step("benchmark", SAY, 60)], 60, tmp_path)
    assert ends == {"build": "ok", "tests": "exit status 3", "benchmark": "ok"}
    minutes = float((tmp_path / "benchmark.log").read_text().split("--budget ")[1])
    assert 0 < minutes <= round((60 - first_gpu_call.CLOSING) / 60, 2)
    assert "== tests: exit status 3" in capsys.readouterr().out
    ends = follow([Step("build", FAIL, 60, True), Step("tests", SAY, 60)], 60, tmp_path)
    assert ends == {"build": "exit status 3"}


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc to look a process up in")
def test_a_step_that_hangs_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    ends = follow([Step("tests", HANG, 2), Step("benchmark", SAY, 60)], 60, tmp_path)
    assert ends == {"tests": "stopped after 2 s", "benchmark": "ok"}
    child = (tmp_path / "tests.log").read_text().strip()
    for _ in range(50):
        try:
            state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.1)
    pytest.fail("what the step started is still running")


def test_the_steps_are_those_of_this_copy(tmp_path: Path) -> None:
    planned = first_gpu_call.steps(100, tmp_path)
    has_tests = (first_gpu_call.TOP / "tests" / "gpu").is_dir()
    assert [step.name for step in planned] == ["build", *(["tests"] if has_tests else []), "benchmark"]
    assert planned[0].needed
    assert sum(step.seconds for step in planned[:-1]) < 100
    gpu.parse(planned[-1].command[2:])  # it knows these options
