"""What the index holds in memory beside its codes, read from the kernel by a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

START = """
import ctypes, sys, numpy as np, fasthash
from pathlib import Path
from fasthash import HammingIndex

def held():  # MiB of memory that no file stands behind, less what the C library keeps for later
    ctypes.CDLL(None).malloc_trim(0)
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("RssAnon"))
    return int(line.split()[1]) / 1024

def block(number):
    return np.random.default_rng(number).integers(0, 256, (1 << 17, 8), dtype=np.uint8)

def fill(index, ids):
    for number in range(64):  # 64 MiB in blocks of 1 MiB
        index.add(block(number), None if ids is None else ids(number))
    return index

queries = block(99)[:8]
fill(HammingIndex(64), None).search(queries, 10)  # what stays behind once
before = held()
"""

CASES = {
    # 64 MiB of codes; the table has room for 128, of which the other half is not touched
    "running numbers": ("index = fill(HammingIndex(64), None)", 64),
    # and 64 MiB of ids
    "rising ids": ("index = fill(HammingIndex(64), lambda n: np.arange(1 << 17) * 3 + n * (3 << 17))", 128),
    "a copy": ("index = fill(HammingIndex(64), None); copy = index.copy(); copy.search(queries, 10)", 64),
    "what is left after removing": (
        "index = fill(HammingIndex(64), None)\nfor n in range(63, 47, -1): index.remove(range(n << 17, n + 1 << 17))",
        48,
    ),
    "a mapped index that was searched": (
        "fill(HammingIndex(64), None).save(sys.argv[1])\n"
        "index = HammingIndex.load(sys.argv[1], mmap=True); index.search(queries, 10); index.range_search(queries, 3)",
        0,
    ),
    "a loaded index": ("fill(HammingIndex(64), None).save(sys.argv[1]); index = HammingIndex.load(sys.argv[1])", 64),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_held(tmp_path, name) -> None:
    code, expected = CASES[name]
    script = START + code + "\nprint(held() - before)"
    result = subprocess.run([sys.executable, "-c", script, tmp_path / "a"], capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) == pytest.approx(expected, abs=12)
