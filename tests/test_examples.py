"""The examples run, and what they print bears out what they claim."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(*command: str) -> str:
    result = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_semantic_search() -> None:
    pytest.importorskip("sklearn")
    printed = run(str(EXAMPLES / "semantic_search.py"))
    hamming, codes4, codes16, int8_4, int8_16 = map(float, re.findall(r"(\d\.\d{3})$", printed, re.MULTILINE))
    assert 0.3 < hamming < codes4 <= codes16 < int8_4 < int8_16
    assert int8_16 > 0.8


@pytest.mark.slow
def test_sharded_search() -> None:
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3")
    printed = run(*torchrun, str(EXAMPLES / "sharded_search.py"))
    # Processes write at the same time: the ends of their lines may come in any order.
    assert sorted(re.findall(r"rank (\d): 66,667 of 200,001 codes", printed)) == ["0", "1", "2"]
    assert printed.count("as one machine:") == printed.count("True") == 1


@pytest.mark.slow
def test_cross_modal_search() -> None:
    pytest.importorskip("lightning_fabric")
    printed = run(str(EXAMPLES / "cross_modal_search.py"))
    directions = [f"{a}->{b}" for a, b in permutations(("image", "text", "sound"), 2)]
    assert re.findall(r"\w+->\w+", printed) == directions * 2
    teacher, student = map(float, re.findall(r"mean +(\d\.\d{4})", printed))
    assert 0.2 < teacher < student - 0.05
    distances = re.search(r"at \[(.*)\] bits", printed)
    assert distances is not None
    found = [int(d) for d in distances[1].split(", ")]
    assert len(found) == 5
    assert found == sorted(found)
