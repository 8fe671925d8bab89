"""Trains once without a break and once killed ten times. Argument: a folder for both runs.

Prints one line a kill: what it waited for, and the checkpoints it left. Children are forked, so that torch is imported
only once.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from fasthash import methods
from fasthash.data import TrainingSet
from fasthash.training import Config, Silent, Validation, checkpoint, fit

KILLS = 10


def train(folder: Path) -> None:
    x = torch.randn(72, 10, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(72) % 3
    data = TrainingSet(x[:60], labels[:60], labelled=range(20), unlabelled=range(20, 60))
    method = methods.create(
        "pts3h",
        bits=12,
        network={"widths": (1000,), "dropout": 0.3},
        perturbation={"noise": 0.2},
        epochs=50,
        batch_size=16,
        labelled=8,
        encode_with="student",
    )
    validation = Validation(x[60:], labels[60:], x[:20], labels[:20])
    config = Config(
        str(folder), accelerator="cpu", resume=True, ema=0.9, log_every=2, checkpoint_every=5, validate_every=7
    )
    fit(method, data, config, validation=validation, progress=Silent())


def start(folder: Path, dies_at: int | None = None) -> int:
    """A process that trains; at this flush of a file of a checkpoint, from 1, it kills itself."""
    child = os.fork()
    if child:
        return child
    try:
        if dies_at is not None:
            flush, flushes = checkpoint.flush, itertools.count(1)

            def flush_or_die(path: Path) -> None:
                if next(flushes) == dies_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                flush(path)

            checkpoint.flush = flush_or_die
        train(folder)
    except BaseException as error:
        print("child:", repr(error), flush=True)
        os._exit(1)
    os._exit(0)


def main(folder: Path) -> None:
    assert os.waitpid(start(folder / "whole"), 0)[1] == 0
    draw, checkpoints = random.Random(0), folder / "parts" / "checkpoints"
    for kill in range(KILLS):
        if kill % 2:
            moment = "while a checkpoint is written"
            # A checkpoint takes four or five flushes: one is whole, so that each process comes further than the last.
            child = start(folder / "parts", dies_at=draw.randint(5, 8))
        else:
            delay, written = draw.uniform(0, 0.02), newest(checkpoints)
            moment, child = f"{delay:.3f} s after a checkpoint", start(folder / "parts")
            until = time.monotonic() + 60
            while newest(checkpoints) <= written and time.monotonic() < until:
                time.sleep(0.001)
            time.sleep(delay)
            os.kill(child, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), f"the run ended before kill {kill}"
        print("killed", moment, sorted(path.name for path in checkpoints.glob("*")), flush=True)
    assert os.waitpid(start(folder / "parts"), 0)[1] == 0


def newest(checkpoints: Path) -> int:
    return max((int(path.name) for path in checkpoints.glob("[0-9]*") if path.name.isdigit()), default=0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    import lightning_fabric  # noqa: F401 - before the forks

    main(Path(sys.argv[1]))
