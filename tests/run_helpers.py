"""What tests of runs share: a Ctrl-C at a chosen step, and comparison of run folders bit for bit."""

from __future__ import annotations

import json
import signal

import torch
from safetensors.torch import load_file

from fasthash.training import Silent
from fasthash.training.checkpoint import REST, TENSORS, latest_checkpoint


class StopAfter(Silent):
    """Presses Ctrl-C after a number of steps."""

    def __init__(self, steps):
        self.left = steps

    def advance(self, stage):
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)


def final_state(run):
    """Tensors and JSON part of a run's checkpoint."""
    saved = latest_checkpoint(run.checkpoints)
    return load_file(saved / TENSORS), json.loads((saved / REST).read_text())


def same_weights(run, other, file=TENSORS):
    """Whether all networks of two runs are the same bit for bit."""
    one, two = (
        {key: t for key, t in load_file(latest_checkpoint(r.checkpoints) / file).items() if key.startswith("module/")}
        for r in (run, other)
    )
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def without_times(run):
    """The run's metrics but for its seconds."""
    return [{k: v for k, v in line.items() if k != "seconds"} for line in run.metrics()]
