"""A short soak; `make soak` has the long one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("seed", ["0", "1"])
def test_soak(seed) -> None:
    soak = Path(__file__).with_name("soak.py")
    result = subprocess.run(
        [sys.executable, soak, "--seconds", "3", "--seed", seed], capture_output=True, text=True, timeout=200
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("soak: ")
