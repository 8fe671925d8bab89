"""Turns, ceilings, bars and a whole run of gpu.py, with a CPU in the GPU's place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gpu
import gpu_ceilings
import pytest
import torch
from ceilings import Unavailable
from gpu_fakes import CEILINGS, MACHINE, Cpu, cell_of, one_second
from on_gpu import report
from on_gpu.contestants import OPS
from on_gpu.machine import Clocks, gpu_card, summarised
from on_gpu.roofline import best_bound, bound
from on_gpu.running import Runner
from on_gpu.timing import MOST_LAUNCHES, Timing, device_seconds, take_turns
from running import Budget

import fasthash
from fasthash.ops._library import has_cuda_kernels


def test_turns() -> None:
    seen: list[tuple[str, int]] = []

    def call(name: str, copy: int) -> Any:
        return lambda: seen.append((name, copy))

    seconds = {"slow": 0.4, "fast": 1e-3}
    tries: list[bool] = []

    def seconds_of(calls: Any, launches: int, first: int, retry: bool) -> Timing:
        one_second(calls, launches, first)
        tries.append(retry)
        return Timing(seconds[seen[-1][0]], seen[-1][0] == "slow")

    times = take_turns({"slow": [call("slow", 0)], "fast": [call("fast", i) for i in range(3)]}, 20, 1.5, seconds_of)
    assert len(times["fast"]) == 20
    assert len(times["slow"]) == 5  # has taken long enough
    warm_up = 1 + 1 + 3 + 1
    order = [name for name, _ in seen[warm_up:]]
    assert order[:6] == ["slow", "fast", "fast", "fast", "fast", "slow"]  # two launches each; then the other way round
    assert [copy for name, copy in seen[warm_up:] if name == "fast"][:4] == [1, 2, 0, 1]
    assert tries[4:8] == [False, True, True, False]  # longer pauses do not help whose single call is host-bound
    assert all(timing.host_bound for timing in times["slow"])
    seconds["fast"] = 1e-7
    seen.clear()
    take_turns({"fast": [call("fast", 0)]}, 1, 1.5, seconds_of)
    assert len(seen) == 2 + MOST_LAUNCHES


@pytest.mark.parametrize(
    ("enough", "retry", "pauses", "late"),
    [
        (1e-4, True, [240e-6], False),
        (1e-3, True, [240e-6, 960e-6, 3.84e-3], False),
        (1e-3, False, [240e-6], True),
        (1.0, True, [240e-6, 960e-6, 3.84e-3, 15.36e-3, 20e-3], True),
    ],
)
def test_events_stand_around_launches_that_are_queued_meanwhile(
    monkeypatch: pytest.MonkeyPatch, enough: float, retry: bool, pauses: list[float], late: bool
) -> None:
    """A pause of `enough` seconds suffices to queue all."""
    seen: list[str] = []
    waited: list[float] = []

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            seen.append("event")

        def query(self) -> bool:
            seen.append("over?")
            return waited[-1] < enough

        def synchronize(self) -> None:
            seen.append("wait")

        def elapsed_time(self, end: Event) -> float:
            return 12.0

    def sleep(clocks: int) -> None:
        seen.append("pause")
        waited.append(clocks / 2e9)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "_sleep", sleep)
    calls = [lambda i=i: seen.append(str(i)) for i in range(2)]
    timing = device_seconds(calls, 3, 1, retry)
    assert timing == (pytest.approx(0.004), late)
    assert waited == pytest.approx(pauses)
    assert seen == ["pause", "event", "1", "0", "1", "event", "over?", "wait"] * len(pauses)


def test_the_bound_is_that_of_the_formulas() -> None:
    cell = cell_of("hamming_topk", 256, queries=3, codes=100, k=5)
    memory = 103 * 32 / 8 + 3 * 5 * 12 / 4
    assert bound(cell, CEILINGS, "popcount").seconds == {"memory": memory, "popcount": 300 * 8 / 2, "compare": 150}
    assert bound(cell, CEILINGS, "tensor").seconds == {"memory": memory, "b1": 300 * 256, "compare": 150}
    slow = CEILINGS | {"rates": {name: CEILINGS["rates"][name] for name in ("popcount", "compare", "max")}}
    assert bound(cell, slow, "popcount").seconds["compare"] == 300
    assert bound(replace(cell, bits=64), CEILINGS, "tensor").seconds["b1"] == 300 * 128
    assert bound(replace(cell, bits=320), CEILINGS, "tensor").seconds["b1"] == 300 * 512
    assert bound(replace(cell, bits=72), CEILINGS, "popcount").seconds["popcount"] == 300 * 3 / 2
    best = best_bound(cell, CEILINGS)
    assert (best.path, best.binding, best.least) == ("popcount", "popcount", 1200)
    fast = CEILINGS | {"rates": CEILINGS["rates"] | {"b1 k256": {"per_second": 256.0}}}
    assert best_bound(cell, fast)[0] == "tensor"
    assert best_bound(cell, fast).binding == "memory"

    histogram = bound(cell_of("relevance_histogram", 64, 3, 100, 0), CEILINGS, "popcount")
    assert histogram.seconds == {"memory": 103 * 16 / 8 + 3 * 65 * 16 / 4, "popcount": 300, "histogram": 300}
    assert bound(cell_of("hamming_distance", 64, 3, 100, 0), CEILINGS, "popcount").seconds["memory"] == 103 + 300
    assert best_bound(cell_of("pack", 64, 0, 100, 0, "float16"), CEILINGS).seconds == {"memory": 1600 + 200}
    assert best_bound(cell_of("unpack", 64, 0, 100, 0), CEILINGS).seconds == {"memory": 100 + 6400}
    rescore = best_bound(cell_of("rescore", 64, 3, 100, 7), CEILINGS)
    assert rescore.seconds == {"memory": 3 * (256 + 7 * 40) / 8 + 21, "float add": 21 * 64}
    both = best_bound(cell_of("topk_rescored", 64, 3, 100, 5), CEILINGS)
    assert both.least == 300 + 60 * 64  # topk of 20 and their scores


def test_bounds_without_the_loops_are_those_of_memory() -> None:
    ceilings = {"rates": {}, "bytes_per_second": {n: {"per_second": 1.0} for n in ("copy", "write")}}
    assert best_bound(cell_of("hamming_topk"), ceilings).binding == "memory"


def _row(bits: int, queries: int, codes: int, **seconds: float) -> dict[str, Any]:
    names = {
        "fasthash": "fasthash",
        "popcount": "fasthash popcount",
        "tensor": "fasthash tensor",
        "torch": "torch fp16",
    }
    cell = cell_of("hamming_topk", bits, queries, codes, 10)
    times = {"median": 0.0, "least": 0.0}
    return {
        **vars(cell),
        "contestants": {names[name]: dict.fromkeys(times, value) for name, value in seconds.items()},
        "bounds": {path: gpu._kept(bound(cell, CEILINGS, path)) for path in ("popcount", "tensor")}
        | {"best": gpu._kept(best_bound(cell, CEILINGS))},
    }


def test_verdicts() -> None:
    def found(*rows: dict[str, Any]) -> list[bool]:
        results = {"rows": list(rows), "machine": {"ceilings": CEILINGS}}
        return [verdict.holds for verdict in report.verdicts(results)]

    popcounts = 256 * 1000 * 2 / 2  # seconds of 256 x 1000 pairs of 64 bits
    assert found(_row(64, 256, 1000, popcount=popcounts / 0.71)) == [True]
    assert found(_row(64, 256, 1000, popcount=popcounts / 0.69)) == [False]
    assert found(_row(64, 256, 1000, popcount=popcounts), _row(64, 512, 1000, popcount=popcounts / 0.3)) == [False]
    assert found(_row(64, 255, 1000, popcount=popcounts / 0.69)) == []
    popcounts = 1024 * 1000 * 8 / 2
    assert found(_row(256, 1024, 1000, tensor=popcounts / 8.1)) == [True]
    assert found(_row(256, 1024, 1000, tensor=popcounts / 7.9)) == [False]
    assert found(_row(64, 1, 100_000_000, fasthash=8e8 / 5 / 0.71)) == [True]
    assert found(_row(64, 1, 100_000_000, fasthash=8e8 / 5 / 0.69)) == [False]
    assert found(_row(64, 1, 5, fasthash=1, torch=10.1), _row(128, 1, 5, fasthash=1, torch=9.9)) == [False]


@pytest.fixture
def cpu_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that only a GPU could answer."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(fasthash, "build_info", lambda: {"cuda": "on", "cuda_architectures": "90a"})
    monkeypatch.setattr(gpu, "gpu_card", lambda: dict(MACHINE))
    monkeypatch.setattr(gpu_ceilings, "measure", lambda library: CEILINGS)
    monkeypatch.setattr(gpu, "Device", lambda *rest: Cpu())

    def no_compiler(capability: tuple[int, int]) -> None:
        raise Unavailable("nvcc is not installed")

    monkeypatch.setattr("on_gpu.loops.build", no_compiler)


@pytest.mark.usefixtures("cpu_for_a_gpu")
def test_a_run_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--codes", "500", "--queries", "4", "40", "--bits", "64", "256"]
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--quick", *sizes, "--repeats", "3", "--results", str(tmp_path)])
    gpu.main()
    results = json.loads((tmp_path / "gpu.json").read_text())
    assert results["wrong"] == []
    assert results["not_run"] == []
    assert {row["op"] for row in results["rows"]} == set(OPS)
    for row in results["rows"]:
        own = row["contestants"]["fasthash"]
        assert len(own["seconds"]) == 3
        assert report.share(row, "fasthash") == 1000 * row["bounds"]["best"]["least"]
        cold = row["queries"] == 4 and row["op"] not in ("pack", "unpack", "rescore")
        assert row["databases"] == ((16 if row["bits"] == 64 else 4) if cold else 1)
        assert ("fasthash, in cache" in row["contestants"]) == (row["databases"] > 1)
        if row["op"] == "hamming_topk":
            why = "these sizes go by counting" if has_cuda_kernels() else "this build has no choice of path"
            assert row["contestants"]["fasthash tensor"]["not_run"] == why
            assert row["contestants"]["naive"]["not_run"] == "nvcc is not installed"
            assert row["contestants"]["torch int8"]["median"] == 1e-3
    text = capsys.readouterr().out
    assert "top-k, all cells that torch ran" in text
    assert "| hamming_topk, random, 256 bits, 4 x 500, k = 10" in text
    assert (tmp_path / "gpu.png").stat().st_size > 10_000
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--table", "--results", str(tmp_path)])
    gpu.main()
    assert capsys.readouterr().out.strip() in text


def test_wrong_results_are_not_timed_and_the_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiled(cell: Any, x: Any) -> Any:
        distances, indices = fasthash.hamming_topk(*x, cell.k)
        return distances + (len(distances) > 1), indices

    options = gpu.parse(["--ops", "hamming_topk", "unpack", "--groups", "ops", "bar", "--codes", "500", "--bits", "64"])
    options.peers = []
    monkeypatch.setitem(OPS, "hamming_topk", spoiled)
    monkeypatch.setattr(
        "on_gpu.running.OPS", {**OPS, "hamming_topk": lambda cell, x: fasthash.hamming_topk(*x, cell.k)}
    )
    results: dict[str, Any] = {"rows": [], "machine": {**MACHINE, "ceilings": CEILINGS}}
    gpu.run(options, results, Runner(Cpu(), Budget(5), 1, [], None))
    assert [(row["op"], row["queries"]) for row in results["rows"]] == [("hamming_topk", 1), ("unpack", 0)]
    assert len(results["wrong"]) == 2  # 1,024 and 256 queries
    assert all("on the CPU" in line for line in results["wrong"])


def test_a_run_keeps_to_its_budget() -> None:
    results: dict[str, Any] = {"rows": [], "machine": {**MACHINE, "ceilings": CEILINGS}}
    options = gpu.parse(["--codes", "500"])
    gpu.run(options, results, Runner(Cpu(), Budget(0), 1, [], None))
    assert results["rows"] == []
    assert all(line.endswith("not run: budget") for line in results["not_run"])


def test_what_nvidia_smi_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command of that name answers once, or goes on until it is stopped."""
    program = tmp_path / "nvidia-smi"
    program.write_text("""#!/bin/sh
case "$*" in
*driver_version*) echo "580.1, 700.00, 1980, 3201, Enabled" ;;
*loop-ms*) while :; do echo "1755, 3201, 600.50, 50"; sleep 0.05; done ;;
esac
""")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    properties = SimpleNamespace(
        name="GPU", major=9, minor=0, multi_processor_count=132, total_memory=1, L2_cache_size=2, uuid="1-2"
    )
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda: properties)
    card = gpu_card()
    assert (card["gpu"], card["driver_version"], card["power.limit"]) == ("GPU", "580.1", "700.00")
    with Clocks() as clocks:
        time.sleep(0.5)
    assert clocks.found["clocks.sm"] == {"least": 1755, "median": 1755, "most": 1755}


def test_samples_of_the_clocks() -> None:
    text = "1980, 3201, 500.5, 40\n345, 3201, [N/A], 30\n1755, 3201, 600.5, 50\n17"
    assert summarised(text) == {
        "clocks.sm": {"least": 345, "median": 1755, "most": 1980},
        "clocks.mem": {"least": 3201, "median": 3201, "most": 3201},
        "power.draw": {"least": 500.5, "median": 550.5, "most": 600.5},
        "temperature.gpu": {"least": 30, "median": 40, "most": 50},
    }


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is visible to torch")
@pytest.mark.parametrize("script", ["gpu.py", "gpu_ceilings.py"])
def test_without_a_gpu_the_scripts_say_so(script: str) -> None:
    done = subprocess.run([sys.executable, str(gpu.HERE / script)], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "not measured: no GPU is visible to torch\n"
