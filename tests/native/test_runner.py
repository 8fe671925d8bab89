"""fasthash_runner replays op cases without Python; here, that it does, and that it says so when something is wrong.

`make test-asan` and `make test-neon` are where it is put to use.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from native_cases import Writer, small_cases, write
from op_cases import COMPILED_FOR, OPS, clustered, codes

import fasthash
from fasthash._native import _C
from fasthash.ops import reference

RUNNER = Path(_C.__file__).with_name("fasthash_runner")

pytestmark = pytest.mark.skipif(not RUNNER.exists(), reason="built without FASTHASH_RUNNER=ON")


def _run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([RUNNER, *arguments], capture_output=True, text=True, timeout=120)


def _one_case(path: Path, op: str, inputs: dict[str, np.ndarray], *outputs: np.ndarray) -> Path:
    with path.open("wb") as file:
        writer = Writer(file)
        writer.case(op, "about it", inputs, outputs)
        writer.close()
    return path


def test_every_op_is_replayed_at_every_level(tmp_path: Path) -> None:
    number = write(tmp_path / "cases", small_cases(OPS, (3, 20)))
    result = _run(tmp_path / "cases", "--threads", "1,3")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == len(fasthash.cpu_levels())
    for level, line in zip(fasthash.cpu_levels(), lines, strict=True):
        assert line.startswith(f"level {level} (compiled for {COMPILED_FOR[level]}")
        assert line.endswith(f": {number} cases equal, each with threads 1 3")


@pytest.mark.parametrize("level", fasthash.cpu_levels())
def test_a_wrong_result_is_reported(level: str, tmp_path: Path, rng: np.random.Generator) -> None:
    search, database = codes(rng, 4, 3), clustered(rng, 50, 3)
    distances, indices = reference.hamming_topk(search, database, 5)
    indices[2, 3] += 1
    inputs = {"queries": search, "database": database, "k": np.asarray(5)}
    result = _run(_one_case(tmp_path / "cases", "hamming_topk", inputs, distances, indices), "--levels", level)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == (
        f"fasthash_runner: hamming_topk [about it] at level {level} with threads 1: "
        f"output 1 at (2, 3): expected {indices[2, 3]}, got {indices[2, 3] - 1}\n"
    )


def test_the_last_bit_of_a_float_counts(tmp_path: Path) -> None:
    packed = np.array([[0b10100000]], dtype=np.uint8)
    expected = reference.unpack(packed, 3)
    expected[0, 2] = np.nextafter(expected[0, 2], 0, dtype=np.float32)
    result = _run(_one_case(tmp_path / "cases", "unpack", {"codes": packed, "bits": np.asarray(3)}, expected))
    assert result.returncode == 1
    assert "output 0 at (0, 2): expected 0.99999994" in result.stderr


def test_a_range_of_another_length_is_reported(tmp_path: Path, rng: np.random.Generator) -> None:
    search, database = codes(rng, 2, 3), codes(rng, 30, 3)
    offsets, distances, indices = reference.hamming_range(search, database, 24)
    inputs = {"queries": search, "database": database, "radius": np.asarray(24)}
    path = _one_case(tmp_path / "cases", "hamming_range", inputs, offsets - [0, 1, 2], distances[:-2], indices[:-2])
    result = _run(path)
    assert result.returncode == 1
    assert "output 0 at (1): expected 29, got 30" in result.stderr


def test_a_read_past_the_end_is_reported(tmp_path: Path, rng: np.random.Generator) -> None:
    search, database = codes(rng, 2, 3), codes(rng, 4_096, 3)
    expected = reference.hamming_histogram(search, database)
    inputs = {"queries": search, "database": database, "mask": np.ones(4_095, dtype=bool)}  # one too short
    result = _run(_one_case(tmp_path / "cases", "hamming_histogram", inputs, expected))
    assert result.returncode == 1
    level = fasthash.cpu_levels()[0]
    assert f"fault in hamming_histogram [about it] at level {level} with threads 1" in result.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no cases", "expected a file of fasthash cases"),
        (b"fasthash cases 1\n", "cut off"),
        (b"fasthash cases 1\nE", "expected at least one case, got none"),
    ],
)
def test_a_file_without_cases_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "cases").write_bytes(content)
    result = _run(tmp_path / "cases")
    assert result.returncode != 0
    assert message in result.stderr


def test_an_unknown_op_or_level_is_refused(tmp_path: Path) -> None:
    path = _one_case(tmp_path / "cases", "hamming_guess", {}, np.zeros(3))
    result = _run(path)
    assert result.returncode == 1
    assert "hamming_guess: an op that csrc/runner/ops.cpp does not list" in result.stderr
    result = _run(path, "--levels", "scalar,sse9")
    assert result.returncode == 2
    assert "expected a CPU level of this machine (scalar" in result.stderr
