"""The first minutes on a GPU machine, in one command: build, tests on the GPU, ceilings and the quick benchmark.

    python benchmarks/first_gpu_call.py [--minutes 9] [--results FOLDER]

For a machine that one has for a short time, possibly without a network: it uses the Python that runs it and what is
installed there, never asks a registry where the build tools are at hand, and ends within its minutes whatever happens.
Each step has a share of them at most, and what is left goes to the benchmark. A failed build ends the run, failed tests
do not: the benchmark compares all results itself. Logs, gpu.json and gpu.png are written to the folder.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
TOP = HERE.parent
GROUPS = ("bar", "ops", "data", "star")  # of cells, in this order, as long as there is time
TAIL = 15  # lines of a log that are shown
CLOSING = 30.0  # seconds of the benchmark outside of its own budget: imports, the last cell, tables and picture


@dataclass(frozen=True)
class Step:
    """A command and the seconds that it may take."""

    name: str
    command: list[str]
    seconds: float
    needed: bool = False  # nothing after it makes sense without it


def build_command() -> list[str]:
    """An editable install with CUDA; with the build tools that are installed, where they are."""
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--editable", str(TOP)]
    command.append("--config-settings=cmake.define.FASTHASH_CUDA=ON")
    if all(importlib.util.find_spec(name) for name in ("scikit_build_core", "pybind11")):
        command += ["--no-build-isolation", "--no-index"]
    return command


def kill(process: subprocess.Popen[bytes]) -> None:
    """With all that it started: build tools put theirs into process groups of their own, but all are one session."""
    os.killpg(process.pid, signal.SIGKILL)
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(entry.name)) == process.pid:
                os.kill(int(entry.name), signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
    process.wait()


def run(step: Step, folder: Path) -> str:
    """Runs a step with everything it starts; "ok", or what went wrong. Its output is in a log, its end is shown."""
    log = folder / f"{step.name}.log"
    start = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(
            step.command, stdout=output, stderr=subprocess.STDOUT, cwd=TOP, start_new_session=True
        )
        try:
            code = process.wait(timeout=max(0.0, step.seconds))
            outcome = "ok" if code == 0 else f"exit status {code}"
        except subprocess.TimeoutExpired:
            kill(process)
            outcome = f"stopped after {step.seconds:.0f} s"
    lines = log.read_text(errors="replace").splitlines()
    print(f"\n== {step.name}: {outcome}, {time.monotonic() - start:.0f} s ({log})")
    print("\n".join(lines[-TAIL:]), flush=True)
    return outcome


def steps(seconds: float, folder: Path) -> list[Step]:
    """Of a whole run. The benchmark comes last and may take what is left."""
    found = [Step("build", build_command(), 0.6 * seconds, needed=True)]
    if (TOP / "tests" / "gpu").is_dir():
        tests = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "tests/gpu"]
        found.append(Step("tests", tests, 0.25 * seconds))
    benchmark = [sys.executable, str(HERE / "gpu.py"), "--quick", "--groups", *GROUPS, "--results"]
    return [*found, Step("benchmark", [*benchmark, str(folder)], seconds)]


def follow(planned: list[Step], seconds: float, folder: Path) -> dict[str, str]:
    """Runs the steps within so many seconds; what became of each."""
    end = time.monotonic() + seconds
    outcomes: dict[str, str] = {}
    for step in planned:
        left = end - time.monotonic()
        command = step.command
        if step.name == "benchmark":
            command = [*command, "--budget", f"{max(0.0, left - CLOSING) / 60:.2f}"]
        outcomes[step.name] = run(Step(step.name, command, min(step.seconds, left), step.needed), folder)
        if step.needed and outcomes[step.name] != "ok":
            break
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--results", type=Path, default=TOP / "build" / "first_gpu_call", help="the folder written to")
    options = parser.parse_args()
    folder = options.results.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    seconds = 60 * options.minutes
    outcomes = follow(steps(seconds, folder), seconds, folder)
    text = (folder / "benchmark.log").read_text(errors="replace") if "benchmark" in outcomes else ""
    print("\n" + text[text.rfind("\nmachine\n") :].strip())  # the tables
    print("\n" + "\n".join(f"{name}: {outcome}" for name, outcome in outcomes.items()))
    if set(outcomes.values()) != {"ok"}:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
