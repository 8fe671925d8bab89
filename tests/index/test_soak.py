"""A short soak; `make soak` has the long one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_soak() -> None:
    soak = Path(__file__).with_name("soak.py")
    result = subprocess.run([sys.executable, soak, "--seconds", "3"], capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("soak: ")
