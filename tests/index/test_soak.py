"""A short soak; `make soak` has the long one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fasthash import HammingIndex

SOAK = Path(__file__).with_name("soak.py")


def test_soak() -> None:
    result = subprocess.run([sys.executable, SOAK, "--seconds", "6"], capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stderr
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == [
        "soak, multi_index never",
        "soak, multi_index always",
    ]


def nothing_within(self, queries, radius, *, filter=None):
    return np.zeros(len(queries) + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int64)


search = HammingIndex.search


def every_second(self, queries, k, *, filter=None):
    return tuple(x[:, ::2] for x in search(self, queries, 2 * k, filter=filter))


@pytest.mark.parametrize(("method", "wrong"), [("range_search", nothing_within), ("search", every_second)])
def test_it_notices_lost_results(monkeypatch, method, wrong) -> None:
    monkeypatch.syspath_prepend(SOAK.parent)
    soak = __import__("soak")
    monkeypatch.setattr(HammingIndex, method, wrong)
    with pytest.raises(AssertionError):
        soak.soak(3, 0, "never")
