"""Levels, threads and forks: what happens around the kernels."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import numpy as np
import pytest
import torch
from op_cases import COMPILED_FOR, codes

import fasthash
from fasthash._native import _C


def test_the_forced_level_ran(cpu_level: str, rng: np.random.Generator) -> None:
    table = codes(rng, 10, 8)
    fasthash.hamming_topk(table, table, 2)
    name, compiled_for = _C.last_cpu_level()
    assert name == cpu_level
    assert compiled_for.startswith(COMPILED_FOR[cpu_level])


def _run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )


def test_level_from_the_environment() -> None:
    code = "import fasthash._native as n; print(n._C.cpu_level())"
    assert _run(code, FASTHASH_CPU_LEVEL="scalar").stdout.strip() == "scalar"
    assert _run(code, FASTHASH_CPU_LEVEL="").stdout.strip() == fasthash.cpu_levels()[-1]


def test_unknown_level_in_the_environment_raises() -> None:
    code = "import numpy as np, fasthash; fasthash.hamming_distance(*[np.zeros((1, 1), np.uint8)] * 2)"
    result = _run(code, FASTHASH_CPU_LEVEL="sse9")
    assert result.returncode != 0
    assert "FASTHASH_CPU_LEVEL" in result.stderr
    assert "sse9" in result.stderr


def test_set_cpu_level_goes_before_the_environment() -> None:
    code = "import fasthash._native as n; n.set_cpu_level('scalar'); print(n._C.cpu_level())"
    assert _run(code, FASTHASH_CPU_LEVEL="sse9").stdout.strip() == "scalar"


def test_a_build_that_does_not_load_is_not_called_missing(tmp_path: Path) -> None:
    """The message of the loader comes through; only a module that is not there asks for a build."""
    package = tmp_path / "fasthash"
    package.mkdir()
    source = Path(fasthash.__file__).parent / "_native.py"
    (package / "__init__.py").write_text("")
    (package / "_native.py").write_text(source.read_text())
    isolated = [
        sys.executable,
        "-S",
        "-c",
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import fasthash._native",
    ]
    missing = subprocess.run(isolated, capture_output=True, text=True, timeout=60)
    assert "pip install -e ." in missing.stderr
    (package / f"_C{EXTENSION_SUFFIXES[0]}").write_text("no library")
    broken = subprocess.run(isolated, capture_output=True, text=True, timeout=60)
    assert "fasthash._C does not load: " in broken.stderr


def _search(table: np.ndarray) -> bytes:
    return b"".join(x.tobytes() for x in fasthash.hamming_topk(table[:100], table, 10))


def _child(connection: object, table: np.ndarray, threads: int) -> None:
    torch.set_num_threads(threads)
    connection.send(_search(table))
    connection.close()


@pytest.mark.timeout(60)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_forked_child_searches(threads: int, torch_threads: None, rng: np.random.Generator) -> None:
    """As a DataLoader's worker does, after the parent's threads were at work; two threads need workers of its own."""
    table = codes(rng, 60_000, 8)
    torch.set_num_threads(2)
    expected = _search(table)
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    child = context.Process(target=_child, args=(theirs, table, threads))
    child.start()
    assert mine.poll(30), "the child hangs"
    assert mine.recv() == expected
    child.join(10)
    assert child.exitcode == 0
    assert _search(table) == expected


def test_searches_from_many_python_threads(torch_threads: None, rng: np.random.Generator) -> None:
    torch.set_num_threads(3)
    tables = [codes(rng, 40_000, 4) for _ in range(6)]
    expected = [_search(table) for table in tables]
    got: dict[int, list[bytes]] = {}

    def work(i: int) -> None:
        got[i] = [_search(tables[i]) for _ in range(5)]

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(tables))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert got == {i: [expected[i]] * 5 for i in range(len(tables))}
