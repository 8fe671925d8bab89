"""The examples run, and what they print bears out what they claim."""

from __future__ import annotations

import re
import subprocess
import sys
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
    printed = sorted(run(*torchrun, str(EXAMPLES / "sharded_search.py")).splitlines())
    assert printed == [
        "as one machine: True",
        *(f"rank {rank}: {rows} of 200,001 codes" for rank, rows in enumerate(("66,667",) * 3)),
    ]
