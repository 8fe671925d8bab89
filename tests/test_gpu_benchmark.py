"""The GPU benchmark without a GPU: its arithmetic, its peers' results, its loops (emulated, and as machine code)."""

# ruff: noqa: E402

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fasthash

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

if not BENCHMARKS.is_dir():
    pytest.skip("benchmarks/ is not part of this copy of the sources", allow_module_level=True)

sys.path.insert(0, str(BENCHMARKS))

import gpu
import gpu_ceilings
import gpu_report
import sass
from cells import Cell
from gpu_cells import GROUPS, cells, copies, inputs
from gpu_contestants import OPS, contestants
from gpu_machine import summarised
from gpu_roofline import best_bound, bound
from gpu_running import Device, Runner, against_cpu, check
from gpu_timing import MOST_LAUNCHES, take_turns
from running import Budget

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler for the loops of ceilings.cu"
)
needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
needs_disassembler = pytest.mark.skipif(sass.cuobjdump() is None, reason="cuobjdump and nvdisasm are not installed")

# One of each a second, but two of some, so that arithmetic shows.
CEILINGS = {
    "rates": {
        name: {"per_second": 2.0 if name == "popcount" else 1.0, "quartiles": [1, 1], "clock": 1, "per_clock_and_sm": 1}
        for name in gpu_ceilings.loop_names((9, 0))
    },
    "bytes_per_second": {
        name: {"per_second": rate, "quartiles": [rate, rate]}
        for name, rate in {"read": 8.0, "write": 4.0, "copy": 5.0}.items()
    },
    "failed": [],
    "instructions": {},
}


def _cell(op: str, bits: int = 64, queries: int = 37, codes: int = 501, k: int = 5, data: str = "random") -> Cell:
    return Cell("", op, data, bits, codes, 0 if op in ("pack", "unpack") else queries, k)


def _one_second(calls: Any, launches: int, first: int = 0) -> float:
    for launch in range(launches):
        calls[(first + launch) % len(calls)]()
    return 1.0


class _Cpu(Device):
    """A millisecond for everything."""

    def __init__(self) -> None:
        super().__init__("cpu", self._milliseconds, self._latency, cache=16_000)

    def free(self) -> int:
        return 1 << 34

    @staticmethod
    def _milliseconds(calls: Any, launches: int, first: int = 0) -> float:
        return _one_second(calls, launches, first) / 1000

    @staticmethod
    def _latency(call: Any) -> float:
        call()
        return 1e-3


@pytest.fixture(scope="module")
def emulated() -> gpu_ceilings.Library:
    return gpu_ceilings.build_emulated()


# Ceilings.


@needs_compiler
@pytest.mark.parametrize("name", gpu_ceilings.loop_names((7, 5)))
def test_loops_compute_what_numpy_computes(emulated: gpu_ceilings.Library, name: str) -> None:
    measured = gpu_ceilings.measure_loop(emulated, name, 2, "cpu", _one_second)
    assert measured["per_second"] == 2 * 64 * 256  # one round of two blocks: 64 instructions of 256 threads each


@needs_compiler
def test_a_loop_with_another_result_is_no_ceiling(
    emulated: gpu_ceilings.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(gpu_ceilings.STEPS, "popcount", gpu_ceilings.STEPS["pair"])
    with pytest.raises(AssertionError, match="popcount: a block's result"):
        gpu_ceilings.measure_loop(emulated, "popcount", 2, "cpu", _one_second)


@needs_compiler
def test_bandwidth_moves_all_bytes(emulated: gpu_ceilings.Library) -> None:
    measured = gpu_ceilings.bandwidth(emulated, 2, 1 << 16, "cpu", _one_second)
    assert {name: entry["per_second"] for name, entry in measured.items()} == {
        "copy": 2 << 16,
        "write": 1 << 16,
        "read": 1 << 16,
    }


@needs_compiler
@pytest.mark.parametrize("bits", [24, 64])
def test_the_naive_kernel(emulated: gpu_ceilings.Library, bits: int) -> None:
    cell = _cell("hamming_distance", bits)
    ((queries, database),) = inputs(cell, "cpu")
    out = torch.empty(cell.queries, cell.codes, dtype=torch.int32)
    emulated.call("naive_distance", queries, cell.queries, database, cell.codes, cell.bytes, out)
    assert torch.equal(out, fasthash.hamming_distance(queries, database))


@pytest.mark.parametrize("depth", [128, 256])
def test_products_of_fragments_are_products_of_matrices(depth: int) -> None:
    """With a the identity (row i has bit i of each word alone), c counts the set bits of b at those places."""
    seeds = np.zeros((20, 256), np.uint32)
    lanes = np.arange(256) % 32
    for register in range(depth // 64):
        seeds[register] = 1 << (lanes // 4 + 8 * (register % 2))  # row l / 4, or 8 further on
    seeds[4:] = np.random.default_rng(0).integers(0, 1 << 32, (16, 256), dtype=np.uint32)
    c = gpu_ceilings._products(seeds, depth)
    words = seeds[4:].reshape(8, 2, 8, 8, 4)[:, : depth // 128]  # chain, register, warp, column, word
    bits = (words[..., None] >> np.arange(16)) & 1
    counts = bits.sum(axis=(1, 4))  # chain, warp, column, row
    for chain, register, thread in ((0, 0, 0), (3, 1, 77), (7, 2, 255), (5, 3, 130)):
        row = thread % 32 // 4 + 8 * (register // 2)
        column = 2 * (thread % 4) + register % 2
        assert c[4 * chain + register, thread] == counts[chain, thread // 32, column, row]


@needs_nvcc
@needs_disassembler
@pytest.mark.parametrize("architecture", [80, 90])
def test_loops_are_the_instructions_that_they_are_called(architecture: int, tmp_path: Path) -> None:
    cubin = tmp_path / "ceilings.cubin"
    includes = [f"-I{BENCHMARKS.parent / 'csrc' / name}" for name in ("include", "cuda")]
    command = ["nvcc", "-std=c++17", "-O3", f"-arch=sm_{architecture}", "-cubin", *includes]
    subprocess.run([*command, str(BENCHMARKS / "ceilings.cu"), "-o", str(cubin)], check=True)
    loops = gpu_ceilings.inner_loops(cubin)
    assert set(loops) == set(gpu_ceilings.INSTRUCTIONS)
    for name, found in loops.items():
        assert not gpu_ceilings.misses(name, found), name
        assert not {"LDG", "STG", "LDL", "STL", "LDS"} & set(found), f"{name} touches memory: {found}"
    # What else is in a loop of popcounts takes a quarter of their time at most: those rates are four times as high.
    for name in ("popcount", "pair"):
        assert loops[name]["POPC"] == 64
        assert loops[name].total() <= 4 * 64


def test_loops_of_machine_code() -> None:
    text = """
        Function : _Z5outerv
        /*0000*/                   MOV R1, c[0x0][0x28] ;
        /*0010*/                   POPC R2, R2 ;
        /*0020*/                   IMAD.IADD R3, R2, 0x1, R3 ;
        /*0030*/               @P0 BRA 0x10 ;
        /*0040*/                   EXIT ;
        /*0050*/                   BRA 0x50;
"""
    assert sass.loops(text) == {"_Z5outerv": {"POPC": 1, "IMAD.IADD": 1, "BRA": 1}}


# Cells and contestants.


def test_cells_are_there_once_and_can_be_chosen() -> None:
    none = gpu._sizes(gpu.parse([]))
    found = cells(GROUPS, (), none)
    sizes = [replace(cell, group="") for cell in found]
    assert len(set(sizes)) == len(sizes)
    assert {cell.op for cell in found} == set(OPS)
    assert [cell.group for cell in found[:1]] == ["bar"]
    options = gpu.parse(["--quick", "--ops", "hamming_range", "--bits", "64", "128", "--codes", "1000"])
    chosen = cells(options.groups, tuple(options.ops), gpu._sizes(options))
    assert [(cell.bits, cell.codes) for cell in chosen] == [(64, 1000), (128, 1000)]


def test_databases_take_turns_where_the_cache_would_hold_one() -> None:
    cache = 50 << 20
    assert copies(_cell("hamming_topk", queries=1, codes=1_000_000), cache) == 27  # 8 MB each, four caches
    assert copies(_cell("hamming_topk", queries=1, codes=100_000_000), cache) == 1
    assert copies(_cell("hamming_topk", queries=64, codes=1_000_000), cache) == 1
    first, second = inputs(_cell("hamming_topk", queries=1), "cpu", 2)
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])


@needs_compiler
@pytest.mark.parametrize("bits", [64, 1024])
@pytest.mark.parametrize("op", OPS)
def test_peers_give_equal_results(emulated: gpu_ceilings.Library, op: str, bits: int) -> None:
    cell = _cell(op, bits, data="float16" if op == "pack" else "random", k=20)
    ((*arrays,),) = inputs(cell, "cpu")
    reference = OPS[op](cell, tuple(arrays))
    against_cpu(cell, tuple(arrays), reference)
    names = []
    for contestant in contestants(op, emulated):
        if not contestant.missing(cell) and contestant.name != "faiss":
            check(cell, tuple(arrays), reference, contestant.start(cell, tuple(arrays))(), contestant)
            names.append(contestant.name)
    assert "fasthash" in names
    assert any(name.startswith("torch") for name in names)
    assert ("naive" in names) == (op in ("hamming_topk", "hamming_distance"))


@pytest.mark.parametrize(
    "op", ["hamming_topk", "hamming_range", "relevance_histogram", "rescore", "topk_rescored", "unpack"]
)
def test_a_wrong_result_is_refused(op: str) -> None:
    cell = _cell(op)
    (arrays,) = inputs(cell, "cpu")
    right = OPS[op](cell, arrays)
    parts = right if isinstance(right, tuple) else (right,)
    peer = next(c for c in contestants(op, None) if c.name.startswith("torch"))
    own = contestants(op, None)[0]
    for place in range(len(parts)):
        wrong = [part.clone() for part in parts]
        wrong[place].view(-1)[0] += 1
        for contestant in (own, peer):
            with pytest.raises(AssertionError):
                check(cell, arrays, right, tuple(wrong) if len(wrong) > 1 else wrong[0], contestant)
        with pytest.raises(AssertionError, match="on the CPU"):
            against_cpu(cell, arrays, tuple(wrong) if len(wrong) > 1 else wrong[0])


def test_only_peers_may_place_ties_as_they_like() -> None:
    cell = _cell("hamming_topk", 64, queries=1, codes=300, k=2)
    query = torch.zeros(1, 8, dtype=torch.uint8)
    database = torch.full((300, 8), 255, dtype=torch.uint8)
    arrays = (query, database)
    right = fasthash.hamming_topk(query, database, 2)
    other = (right[0], right[1].flip(1))
    own, peer = (
        next(c for c in contestants("hamming_topk", None) if c.name == name) for name in ("fasthash", "torch fp16")
    )
    check(cell, arrays, right, other, peer)
    with pytest.raises(AssertionError):
        check(cell, arrays, right, other, own)
    with pytest.raises(AssertionError, match="an index twice"):
        check(cell, arrays, right, (right[0], torch.zeros_like(right[1])), peer)


def test_turns() -> None:
    seen: list[tuple[str, int]] = []

    def call(name: str, copy: int) -> Any:
        return lambda: seen.append((name, copy))

    seconds = {"slow": 0.4, "fast": 1e-3}

    def seconds_of(calls: Any, launches: int, first: int = 0) -> float:
        _one_second(calls, launches, first)
        return seconds[seen[-1][0]]

    times = take_turns({"slow": [call("slow", 0)], "fast": [call("fast", i) for i in range(3)]}, 20, seconds_of)
    assert len(times["fast"]) == 20
    assert len(times["slow"]) == 5  # has taken long enough
    warm_up = 1 + 1 + 3 + 1
    order = [name for name, _ in seen[warm_up:]]
    assert order[:6] == ["slow", "fast", "fast", "fast", "fast", "slow"]  # two launches each; then the other way round
    assert [copy for name, copy in seen[warm_up:] if name == "fast"][:4] == [1, 2, 0, 1]
    seconds["fast"] = 1e-7
    seen.clear()
    take_turns({"fast": [call("fast", 0)]}, 1, seconds_of)
    assert len(seen) == 2 + MOST_LAUNCHES


# Roofline and bars.


def test_the_bound_is_that_of_the_formulas() -> None:
    cell = _cell("hamming_topk", 256, queries=3, codes=100, k=5)
    memory = 103 * 32 / 8 + 3 * 5 * 12 / 4
    assert bound(cell, CEILINGS, "popcount").seconds == {"memory": memory, "popcount": 300 * 8 / 2, "compare": 300}
    assert bound(cell, CEILINGS, "tensor").seconds == {"memory": memory, "b1": 300 * 256, "compare": 300}
    assert bound(replace(cell, bits=64), CEILINGS, "tensor").seconds["b1"] == 300 * 128
    assert bound(replace(cell, bits=320), CEILINGS, "tensor").seconds["b1"] == 300 * 512
    assert bound(replace(cell, bits=72), CEILINGS, "popcount").seconds["popcount"] == 300 * 3 / 2
    best = best_bound(cell, CEILINGS)
    assert (best.path, best.binding, best.least) == ("popcount", "popcount", 1200)
    fast = CEILINGS | {"rates": CEILINGS["rates"] | {"b1 k256": {"per_second": 256.0}}}
    assert best_bound(cell, fast)[0] == "tensor"
    assert best_bound(cell, fast).binding == "memory"

    histogram = bound(_cell("relevance_histogram", 64, 3, 100, 0), CEILINGS, "popcount")
    assert histogram.seconds == {"memory": 103 * 16 / 8 + 3 * 65 * 16 / 4, "popcount": 300, "histogram": 300}
    assert bound(_cell("hamming_distance", 64, 3, 100, 0), CEILINGS, "popcount").seconds["memory"] == 103 + 300
    assert best_bound(_cell("pack", 64, 0, 100, 0, "float16"), CEILINGS).seconds == {"memory": 1600 + 200}
    assert best_bound(_cell("unpack", 64, 0, 100, 0), CEILINGS).seconds == {"memory": 100 + 6400}
    rescore = best_bound(_cell("rescore", 64, 3, 100, 7), CEILINGS)
    assert rescore.seconds == {"memory": 3 * (256 + 7 * 40) / 8 + 21, "float add": 21 * 64}
    both = best_bound(_cell("topk_rescored", 64, 3, 100, 5), CEILINGS)
    assert both.least == 300 + 60 * 64  # topk of 20 and their scores


def test_bounds_without_the_loops_are_those_of_memory() -> None:
    ceilings = {"rates": {}, "bytes_per_second": {n: {"per_second": 1.0} for n in ("copy", "write")}}
    assert best_bound(_cell("hamming_topk"), ceilings).binding == "memory"


def _row(bits: int, queries: int, codes: int, **seconds: float) -> dict[str, Any]:
    names = {
        "fasthash": "fasthash",
        "popcount": "fasthash popcount",
        "tensor": "fasthash tensor",
        "torch": "torch fp16",
    }
    cell = _cell("hamming_topk", bits, queries, codes, 10)
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
        return [verdict.holds for verdict in gpu_report.verdicts(results)]

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


# The command.


MACHINE = {
    "gpu": "none",
    "capability": [9, 0],
    "multiprocessors": 1,
    "memory_bytes": 1 << 30,
    "cache_bytes": 1 << 14,
    "cuda_of_torch": None,
    "nvcc": None,
    "architectures": "",
    "python": "3",
    "versions": {"torch": "2"},
    "cpu": "none",
    "cores": 1,
    "commit": "unknown",
    "date": "today",
    "command": "",
}


def test_a_run_from_end_to_end(tmp_path: Path) -> None:
    options = gpu.parse(["--quick", "--codes", "2000", "--queries", "4", "40", "--bits", "64", "256", "--repeats", "3"])
    results: dict[str, Any] = {"rows": [], "machine": {**MACHINE, "ceilings": CEILINGS, "clocks": {}}}
    gpu.run(options, results, Runner(_Cpu(), Budget(5), options.repeats, None, None))
    assert results["wrong"] == []
    assert results["not_run"] == []
    assert {row["op"] for row in results["rows"]} == set(OPS)
    for row in results["rows"]:
        own = row["contestants"]["fasthash"]
        assert len(own["seconds"]) == 3
        assert gpu_report.share(row, "fasthash") == 1000 * row["bounds"]["best"]["least"]
        cold = row["queries"] == 4 and row["op"] not in ("pack", "unpack", "rescore")
        assert row["databases"] == ((4 if row["bits"] == 64 else 1) if cold else 1)
        assert ("fasthash, in cache" in row["contestants"]) == (row["databases"] > 1)
        if row["op"] == "hamming_topk":
            assert "no choice of path" in row["contestants"]["fasthash tensor"]["not_run"]
            assert row["contestants"]["naive"]["not_run"] == "nvcc is not installed"
            assert row["contestants"]["torch int8"]["median"] == 1e-3
    gpu.save(results, tmp_path / "gpu.json")
    kept = json.loads((tmp_path / "gpu.json").read_text())
    assert kept["rows"] == results["rows"]
    text = gpu.show(kept)
    assert "top-k, all cells that torch ran" in text
    assert "| hamming_topk, random, 256 bits, 4 x 2,000, k = 10" in text
    assert gpu_report.why_not(kept) == ""
    gpu_report.draw(kept, tmp_path / "gpu.png")
    assert (tmp_path / "gpu.png").stat().st_size > 10_000


def test_wrong_results_are_not_timed_and_the_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiled(cell: Cell, x: Any) -> Any:
        distances, indices = fasthash.hamming_topk(*x, cell.k)
        return distances + (len(distances) > 1), indices

    options = gpu.parse(["--ops", "hamming_topk", "unpack", "--groups", "ops", "bar", "--codes", "500", "--bits", "64"])
    options.peers = []
    monkeypatch.setitem(OPS, "hamming_topk", spoiled)
    monkeypatch.setattr("gpu_running.OPS", {**OPS, "hamming_topk": lambda cell, x: fasthash.hamming_topk(*x, cell.k)})
    results: dict[str, Any] = {"rows": [], "machine": {**MACHINE, "ceilings": CEILINGS}}
    gpu.run(options, results, Runner(_Cpu(), Budget(5), 1, [], None))
    assert [(row["op"], row["queries"]) for row in results["rows"]] == [("hamming_topk", 1), ("unpack", 0)]
    assert len(results["wrong"]) == 2  # 1,024 and 256 queries
    assert all("on the CPU" in line for line in results["wrong"])


def test_a_run_keeps_to_its_budget() -> None:
    results: dict[str, Any] = {"rows": [], "machine": {**MACHINE, "ceilings": CEILINGS}}
    options = gpu.parse(["--codes", "500"])
    gpu.run(options, results, Runner(_Cpu(), Budget(0), 1, [], None))
    assert results["rows"] == []
    assert all(line.endswith("not run: budget") for line in results["not_run"])


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
    done = subprocess.run([sys.executable, str(BENCHMARKS / script)], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "not measured: no GPU is visible to torch\n"
