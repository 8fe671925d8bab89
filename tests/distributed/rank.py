"""What the jobs of several ranks share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch.distributed as dist

import fasthash
from fasthash.distributed import start

RANK = int(os.environ["RANK"])


def same(got, expected) -> None:
    for a, b in zip(got, expected, strict=True):
        assert type(a) is type(b)
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def data(bits: int = 12, count: int = 1000, seed: int = 0):
    rng = np.random.default_rng(seed)
    return fasthash.pack(rng.standard_normal((count, bits))), fasthash.pack(rng.standard_normal((17, bits)))


def raises(error, text):
    return pytest.raises(error, match=text)


def say(text: str) -> None:
    """A line in one write: `print` writes the end of the line by itself, and another process may come between."""
    os.write(1, f"{text}\n".encode())


def run(jobs: dict[str, Callable[[str], None]], short: tuple[str, ...] = ()) -> None:
    """Do the jobs that the command line names, after a folder; those in `short` with a timeout of 2 seconds."""
    names = sys.argv[2:]
    start(timeout=2 if set(short) & set(names) else 60)
    for name in names:
        jobs[name](sys.argv[1])
        dist.barrier() if name != "lonely" else None
        say(f"rank {RANK}: {name} done")
    dist.destroy_process_group()
