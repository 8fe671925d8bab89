"""Trains once without a break and once killed ten times. Argument: a folder for both runs.

Prints one line a kill: what it waited for, and the checkpoints it left. Children are forked, so that torch is imported
only once.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from fasthash import methods
from fasthash.data import TrainingSet
from fasthash.training import Config, Silent, Validation, fit

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


def start(folder: Path) -> int:
    child = os.fork()
    if child:
        return child
    try:
        train(folder)
    except BaseException as error:
        print("child:", repr(error), flush=True)
        os._exit(1)
    os._exit(0)


def main(folder: Path) -> None:
    assert os.waitpid(start(folder / "whole"), 0)[1] == 0
    draw, checkpoints = random.Random(0), folder / "parts" / "checkpoints"
    for kill in range(KILLS):
        written, unfinished_before = newest(checkpoints), unfinished(checkpoints)
        child = start(folder / "parts")
        if kill % 2:
            moment = "while a checkpoint is written"
            wait_until(lambda seen=unfinished_before: not unfinished(checkpoints) <= seen)
        else:
            delay = draw.uniform(0, 0.02)
            moment = f"{delay:.3f} s after a checkpoint"
            wait_until(lambda seen=written: newest(checkpoints) > seen)
            time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), f"the run ended before kill {kill}"
        print("killed", moment, sorted(path.name for path in checkpoints.glob("*")), flush=True)
    assert os.waitpid(start(folder / "parts"), 0)[1] == 0


def wait_until(happened: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not happened() and time.monotonic() < until:
        pass


def newest(checkpoints: Path) -> int:
    return max((int(path.name) for path in checkpoints.glob("[0-9]*") if path.name.isdigit()), default=0)


def unfinished(checkpoints: Path) -> set[tuple[str, int]]:
    """Checkpoints not yet renamed."""
    try:
        return {(path.name, path.stat().st_ctime_ns) for path in checkpoints.glob("*.tmp")}
    except FileNotFoundError:  # renamed in between
        return set()


if __name__ == "__main__":
    torch.set_num_threads(1)
    import lightning_fabric  # noqa: F401 - before the forks

    main(Path(sys.argv[1]))
