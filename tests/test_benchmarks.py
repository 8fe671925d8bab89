"""The benchmarks run from end to end on tiny sizes, and the document shows what they wrote."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from op_cases import OPS

import fasthash

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
DOCUMENT = BENCHMARKS.parent / "docs" / "performance.md"

if not BENCHMARKS.is_dir():
    pytest.skip("benchmarks/ is not part of this copy of the sources", allow_module_level=True)

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler for the loops of ceilings.py"
)
needs_a_known_step = pytest.mark.skipif(fasthash.cpu_levels()[-1] == "scalar", reason="no ceiling for level scalar")


def _run(*command: object) -> str:
    result = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stderr
    return result.stdout


def _in_benchmarks(code: str) -> str:
    return _run("-c", f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r})\n{code}")


@needs_compiler
@needs_a_known_step
def test_ceilings(tmp_path: Path) -> None:
    text = _run(BENCHMARKS / "ceilings.py", "--threads", 2, "--megabytes", 8, "--json", tmp_path / "ceilings.json")
    assert "1024 bits" in text
    measured = json.loads((tmp_path / "ceilings.json").read_text())
    assert list(measured["threads"]) == ["1", "2"]
    for entry in measured["threads"].values():
        assert all(rate > 0 for group in entry.values() for rate in group.values())


def test_the_ceiling_is_that_of_the_formula() -> None:
    """Two ports, one of which counts and compares: (3w + 1) / 2 clocks for eight codes of w words."""
    code = """
from ceilings import pairs_per_second
rates = {"vpxorq": 2, "vpopcntq": 1, "vpaddq": 2, "vpcmpgtq": 1}
print([round(pairs_per_second("avx512", rates, bits) * 1000) for bits in (16, 64, 128, 256, 1024)])
rates = {"vpxorq": 4, "vpopcntq": 1, "vpaddq": 4, "vpcmpgtq": 1}
print(pairs_per_second("avx512", rates, 1024))
"""
    formula = [round(8000 / ((3 * words + 1) / 2)) for words in (1, 2, 4, 16)]
    popcount_binds = 8 / 16
    assert _in_benchmarks(code).splitlines() == [str([4 * formula[0], *formula]), str(popcount_binds)]


def test_peers(tmp_path: Path) -> None:
    sizes = ["--codes", 2000, "--queries", 4, "--bits", 64, 256, "--k", 10]
    options = ["--budget", 2, "--repeats", 3, "--megabytes", 8, "--results", tmp_path]
    text = _run(BENCHMARKS / "peers.py", "--groups", "bar", "ops", *sizes, *options)
    results = json.loads((tmp_path / "peers.json").read_text())
    assert results["rows"]
    for row in results["rows"]:
        assert row["codes"] == 2000
        assert row["contestants"]["fasthash"]["median"] > 0
        for entry in row["contestants"].values():
            assert entry.get("not_run") or len(entry["seconds"]) == 3
    for name, module in (("usearch", "usearch"), ("numkong", "numkong"), ("faiss heap", "faiss")):
        if importlib.util.find_spec(module) is None:
            assert "is not installed" in results["rows"][0]["contestants"][name]["not_run"]
    assert "| random, 64 bits" in text
    assert (tmp_path / "peers.png").exists()

    assert "| random, 64 bits" in _run(BENCHMARKS / "peers.py", "--table", "--results", tmp_path)


def test_peers_that_take_no_cell_any_more(tmp_path: Path) -> None:
    text = _run(BENCHMARKS / "peers.py", "--budget", 0, "--megabytes", 8, "--results", tmp_path)
    assert json.loads((tmp_path / "peers.json").read_text())["rows"] == []
    assert "hamming_topk, random, 64 bits, 256 x 1,000,000, k = 10: not run: budget" in text


def test_a_wrong_peer_is_not_timed() -> None:
    code = """
import fasthash
from cells import Cell, inputs
from contestants import Contestant
from running import check
cell = Cell("", "hamming_topk", "random", 64, codes=500, queries=3, k=5)
arrays = inputs(cell)
right = lambda: fasthash.hamming_topk(*arrays, cell.k)
def wrong_distance(distances, indices):
    distances[0, 0] += 1
def same_index_twice(distances, indices):
    indices[0, 1] = indices[0, 0]
def other_order(distances, indices):
    indices[0, :2] = indices[0, 1::-1]
def attempt(spoil, ordered):
    def call():
        result = right()
        spoil(*result)
        return result
    try:
        check(cell, arrays, [Contestant("peer", None, None, ordered=ordered)], {"fasthash": right, "peer": call})
    except AssertionError:
        return "refused"
    return "taken"
print(attempt(lambda distances, indices: None, True))
print(*[attempt(spoil, ordered) for spoil in (wrong_distance, same_index_twice) for ordered in (False, True)])
print(attempt(other_order, True))
"""
    assert _in_benchmarks(code).splitlines() == ["taken", "refused refused refused refused", "refused"]


def test_verdicts() -> None:
    code = """
from bars import verdicts
def row(op, data, bits, queries, codes, k, **seconds):
    names = {"fasthash": "fasthash", "faiss": "faiss heap", "numpy": "numpy", "read": "read"}
    times = {names[name]: {"median": value, "least": value} for name, value in seconds.items()}
    return dict(op=op, data=data, bits=bits, queries=queries, codes=codes, k=k, contestants=times)
many, one, few = ("random", 64, 256, 1_000_000), ("random", 256, 1, 10_000_000), (64, 2, 9, 1)
for rows in (
    [row("hamming_topk", *many, 10, fasthash=1, faiss=7.9, numpy=1)],
    [row("hamming_topk", *many, 10, fasthash=1, faiss=8.1, numpy=1)],
    [row("hamming_topk", *one, 10, fasthash=1, faiss=1.5, read=0.79)],
    [row("hamming_topk", *one, 10, fasthash=1, faiss=1.5, read=0.81)],
    [row("hamming_topk", "ten codes", *few, fasthash=3.1), row("hamming_topk", "random", *few, fasthash=2)],
    [row("hamming_topk", "random", 64, 256, 999, 10, fasthash=1, faiss=8.1)],
):
    print([verdict.holds for verdict in verdicts({"rows": rows})])
big = {"threads": 2, "bytes": {"op": {"10": 1 << 26, "20": (1 << 26) + 1}}}
print([verdict.holds for verdict in verdicts({"rows": [], "memory": big})])
"""
    expected = [[False], [True], [False], [True], [False], [], [False]]
    assert _in_benchmarks(code).splitlines() == [str(line) for line in expected]


def test_memory() -> None:
    measured = json.loads(_run(BENCHMARKS / "memory.py", "--codes", 5000, "--queries", 3, "--json"))
    assert all(size < measured["threads"] << 25 for sizes in measured["bytes"].values() for size in sizes.values())


def test_memory_sees_what_an_op_holds() -> None:
    code = """
import calls, fasthash, memory
import numpy as np
def wasteful(codes):
    return np.ones(64 << 20, np.uint8)[:: 1 << 20].copy()
fasthash.wasteful = wasteful
calls.CALLS["wasteful"] = lambda x: (x.database,)
print(memory.extra_bytes("wasteful", 1000, 1, 64, 1) >> 20)
"""
    assert int(_in_benchmarks(code)) in (63, 64)


def test_rescoring(tmp_path: Path) -> None:
    sizes = ["--queries", 5, "--candidates", 12, "--bits", 64, "--codes", 2000, "--values", 300, "--repeats", 1]
    text = _run(BENCHMARKS / "rescoring.py", *sizes, "--json", tmp_path / "rescoring.json")
    assert "codes, scattered: " in text
    results = json.loads((tmp_path / "rescoring.json").read_text())
    assert len(results["rows"]) == 8
    assert all(ratio > 0 for row in results["rows"] for ratio in row["ratio_of_least"].values())
    assert "topk_rescored" in results["stages"]


def test_counting(tmp_path: Path) -> None:
    sizes = ["--queries", 40, "--codes", 300, "--repeats", 1]
    text = _run(BENCHMARKS / "counting.py", *sizes, "--json", tmp_path / "counting.json")
    assert "relevance_histogram, 10 classes: " in text
    rows = json.loads((tmp_path / "counting.json").read_text())["rows"]
    assert len(rows) == 5
    assert sum("ratio" in row for row in rows.values()) == 2


def test_a_turn_of_mah_finds_the_codes_of_the_dense_formulation(tmp_path: Path) -> None:
    options = ("--items", 500, "--bits", 4, "--repeats", 1, "--output", tmp_path / "asymmetric.json")
    assert "none in float64" in _run(BENCHMARKS / "asymmetric.py", *options)
    result = json.loads((tmp_path / "asymmetric.json").read_text())["result"]
    assert result["lengths"] == [4, 8, 16]
    assert result["differing"] <= 2
    assert all(result["times"][name]["median"] > 0 for name in ("package", "dense", "network"))


def test_multi_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTHASH_DATA", raising=False)
    sizes = ["--codes", 3000, "--bits", 24, "--queries", 2, "--repeats", 2]
    text = _run(BENCHMARKS / "multi_index.py", *sizes, "--json", tmp_path / "multi_index.json")
    assert text.count("random, 24 bits: 3,000 codes, 2 queries, k ") == 3
    rows = json.loads((tmp_path / "multi_index.json").read_text())["rows"]
    assert all(len(own) == 2 for row in rows for own in row["seconds"].values())


def test_every_op_has_a_call() -> None:
    names = _in_benchmarks("from calls import CALLS, op_of\nprint(*map(op_of, CALLS))").split()
    assert {op.name for op in OPS} <= set(names), "benchmarks/calls.py: an op is missing"


@pytest.mark.slow
def test_pytest_benchmark_cases() -> None:
    text = _run("-m", "pytest", BENCHMARKS, "--benchmark-disable", "-q", "-p", "no:cacheprovider")
    assert " passed" in text


def test_the_document_shows_the_kept_results(tmp_path: Path) -> None:
    copy = tmp_path / "performance.md"
    copy.write_text(DOCUMENT.read_text())
    assert "top-k" in _run(BENCHMARKS / "peers.py", "--table", copy)
    assert copy.read_text() == DOCUMENT.read_text(), "run benchmarks/peers.py --table docs/performance.md"


def test_the_page_of_distillhash_shows_the_kept_figures(tmp_path: Path) -> None:
    page = DOCUMENT.parent / "methods" / "distillhash.md"
    copy = tmp_path / "distillhash.md"
    copy.write_text(page.read_text().replace("| noisy ", "| other "))
    assert "pairs cifar10-unsup" in _run(BENCHMARKS / "distilled_pairs.py", "--seeds", "--table", copy)
    assert copy.read_text() == page.read_text(), "run benchmarks/distilled_pairs.py --seeds --table " + str(page)


def test_results_of_methods_show_differences_by_seed_and_never_guess(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from method_semi import FEW
import json
from methods import COLUMNS, KEY, append, options, read
scores = {{"dpsh": (0.50, 0.60), "ssdh": (0.52, 0.64)}}
path = Path({str(tmp_path / "methods.csv")!r})
for variant, values in scores.items():
    for cell, value in zip(FEW.cells([variant], [12]), values):
        row = dict.fromkeys(COLUMNS, "") | {{"map": value, "train_cpu_seconds": 1}} | dict(zip(KEY, cell.key()))
        named = options(cell)
        append(path, row | {{"options": json.dumps(named)}})
        # Other options make another run, which is in no mean; so does an option that is at its default today.
        append(path, row | {{"map": 0.9, "options": json.dumps(named | {{"bits": 16}})}})
        del named["batch_size"]
        append(path, row | {{"map": 0.9, "options": json.dumps(named)}})
print(len(read(path)))
"""
    assert _in_benchmarks(code) == "12\n"
    text = _run(BENCHMARKS / "methods.py", "--no-runs", "--csv", tmp_path / "methods.csv")
    assert "| 0.5500 ± 0.0707 (2) |" in text
    # Differences 0.02 and 0.04: mean 0.03, and 12.706 * 0.01414 / sqrt(2) to each side.
    ssdh = next(line for line in text.splitlines() if line.startswith("| ssdh - dpsh "))
    assert "+0.0300 (-0.0971 to +0.1571)" in ssdh
    assert ssdh.count("not run") == 3
    listed = _run(BENCHMARKS / "methods.py", "--list", "--csv", tmp_path / "methods.csv", "--only", "ssdh", "12", "500")
    assert [line.rsplit(": ")[1] for line in listed.splitlines()] == ["done"] * 2 + ["not run"] * 3


def test_longer_codes_of_a_run_stand_beside_its_own_and_in_no_mean() -> None:
    code = """
from method_low_bit import COURSE
from method_tables import tables
row = {"data": COURSE.data, "labels": str(COURSE.labels), "variant": "mah, flat", "bits": "4", "train_cpu_seconds": "1"}
scores = {"": (0.6, 0.8), "8": (0.7, 0.9)}
rows = [row | {"seed": str(s), "length": n, "map": str(x)} for n, found in scores.items() for s, x in enumerate(found)]
made = tables([COURSE], rows)
print(made[COURSE.name], made[COURSE.name + " lengths"])
"""
    cells = [[cell.strip() for cell in line.split("|")[1:3]] for line in _in_benchmarks(code).splitlines()]
    assert ["mah, flat", "0.7000 ± 0.1414 (2)"] in cells
    assert ["mah, flat, 4 bits", "8: 0.8000 ± 0.1414 (2)"] in cells


@pytest.mark.skipif("FASTHASH_DATA" not in os.environ, reason="FASTHASH_DATA names no folder with features of CIFAR-10")
def test_a_finished_run_of_a_method_is_not_run_again(tmp_path: Path) -> None:
    words = ("--only", "lsh", "12", "5000", "--seeds", 0, "--csv", tmp_path / "methods.csv", "--runs", tmp_path)
    first = _run(BENCHMARKS / "methods.py", *words).splitlines()[0]
    assert "mAP 0.1" in first
    assert _run(BENCHMARKS / "methods.py", *words).splitlines()[0] == "cifar10-features 5000 lsh 12 0: done"
