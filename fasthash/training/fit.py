"""Train a method: set everything up, run its plan, keep the run folder."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fasthash.data import TrainingSet
from fasthash.methods import Cursor, Method, Stage, State, walk
from fasthash.networks import build_network
from fasthash.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from fasthash.training.config import Config
from fasthash.training.interrupt import Interrupt
from fasthash.training.loop import Loop, make_optimisers
from fasthash.training.progress import Progress, default_progress
from fasthash.training.run import Run, describe, open_run
from fasthash.training.seeds import seed_everything


def fit(
    method: Method,
    data: TrainingSet,
    config: Config,
    *,
    network: nn.Module | None = None,
    progress: Progress | None = None,
) -> Run:
    """Train a method and leave a run folder.

    The same method, data, config and machine give the same weights; on a CPU also bit for bit (with the same number of
    torch threads), and also if the run was stopped and resumed. Ctrl-C saves and stops; a second one stops at once.

    Args:
        method: what to train, as `methods.create` makes it.
        data: what it may read.
        config: how.
        network: a hash network (n, ...) -> (n, bits) in (-1, 1) in place of the method's own; it is trained in place,
            and `load` must be given one like it.
        progress: what shows the run; None = a bar on a terminal, else lines.

    Returns:
        The run folder.

    Raises:
        FileExistsError: the folder holds a run and config.resume is off.
        FloatingPointError: a loss is no number any more.
        ImportError: lightning-fabric is missing.
        KeyboardInterrupt: Ctrl-C; the run can be resumed.
        ValueError: "16-mixed" on a CPU, a folder whose run had other options, or a network of another width.

    Example:
        >>> import tempfile
        >>> from fasthash import data, methods, training
        >>> images, labels = data.load_digits()
        >>> split = data.make_split("digits-semi", labels)
        >>> method = methods.create("pts3h", bits=32, epochs=1)
        >>> items = data.TrainingSet.from_split(images, labels, split)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = training.fit(method, items, training.Config(folder), progress=training.Silent())
        ...     training.load(run).encode(images[split.queries]).shape
        torch.Size([300, 4])
    """
    accelerator = config.resolved_accelerator()
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise ImportError("fit: needs lightning-fabric; pip install 'fasthash[train]'") from error
    if network is not None:
        _check_network(network, data, method.bits)
    run = open_run(config, describe(method, data, config, own_network=network is not None))
    progress = progress or default_progress(method.name)

    seed_everything(config.seed)
    fabric = Fabric(accelerator=accelerator, devices=1, precision=config.precision)
    fabric.launch()
    network = build_network(method.network, data.shape, method.bits) if network is None else network
    modules = {name: module.to(fabric.device) for name, module in method.modules(network, data.spec).items()}
    state = State(data, modules, config.seed, fabric.device)
    plan = method.plan(data, config.seed)
    optimisers = make_optimisers(plan, state)
    start: Cursor | None = Cursor(next(walk(plan))[0])
    rest: dict[str, Any] = {"metrics_bytes": 0, "steps": 0}
    saved = latest_checkpoint(run.checkpoints) if config.resume else None
    if saved:
        start, rest = load_checkpoint(saved, state, optimisers)
        fabric.strategy.precision.load_state_dict(rest["precision"])

    keeper = _Keeper(run, config, state, optimisers, fabric.strategy.precision, progress, rest)
    progress.start(sum(stage.length for _, stage in walk(plan)), keeper.steps)
    try:
        if start is not None:
            with Interrupt() as keeper.interrupt:
                loop = Loop(fabric, plan, state, optimisers, on_step=keeper.step, on_pause=keeper.pause)
                loop.run(start)
                keeper.save(None)
                if keeper.interrupt.asked:
                    raise KeyboardInterrupt(f"stopped at the end; the run in {str(run.path)!r} is complete")
    finally:
        progress.close()
    return run


@torch.no_grad()
def _check_network(network: nn.Module, data: TrainingSet, bits: int) -> None:
    modes = {module: module.training for module in network.modules()}
    shape = tuple(network.cpu().eval()(data.take(torch.tensor([0]))).shape)
    for module, training in modes.items():
        module.training = training
    if shape != (1, bits):
        raise ValueError(f"fit: network must turn one item into (1, {bits}), got {shape}")


class _Keeper:
    """Keeps metrics and checkpoints while the loop runs."""

    def __init__(
        self,
        run: Run,
        config: Config,
        state: State,
        optimisers: Mapping[str, Any],
        precision: Any,
        progress: Progress,
        rest: Mapping[str, Any],
    ) -> None:
        self._run, self._config, self._state, self._optimisers = run, config, state, optimisers
        self._precision, self._progress = precision, progress
        self.interrupt = Interrupt()
        self.steps = self._saved_steps = int(rest["steps"])
        self._metrics = run.path / "metrics.jsonl"
        _truncate(self._metrics, rest["metrics_bytes"])
        self._began = time.perf_counter()

    def step(self, stage: Stage, cursor: Cursor, losses: Mapping[str, Tensor]) -> None:
        """Count the step; log it if it is time."""
        self.steps += 1
        self._progress.advance(stage.name)
        if self.steps % self._config.log_every and cursor.step < stage.length:
            return
        values = {name: float(value) for name, value in losses.items()}
        for name, value in values.items():
            if not math.isfinite(value):
                raise FloatingPointError(f"fit: loss {name!r} of stage {stage.name!r} is {value} at step {cursor.step}")
        line = {
            "steps": self.steps,
            "seconds": round(time.perf_counter() - self._began, 3),
            "stage": stage.name,
            "rounds": cursor.rounds,
            "step": cursor.step,
            **values,
        }
        with self._metrics.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self._progress.show(values)

    def pause(self, cursor: Cursor) -> None:
        """Save if it is time, or asked for by Ctrl-C, which then goes on as KeyboardInterrupt."""
        if self.interrupt.asked:
            self.save(cursor)
            message = (
                f"stopped after {self.steps} steps, all saved in {str(self._run.path)!r}; "
                "call fit again with Config(..., resume=True) to go on"
            )
            self._progress.note(message)
            raise KeyboardInterrupt(message)
        if self.steps - self._saved_steps >= self._config.checkpoint_every:
            self.save(cursor)

    def save(self, cursor: Cursor | None) -> None:
        """Write a checkpoint that stands at `cursor`, None = the end; never of weights that are no numbers any more."""
        for name, module in self._state.modules.items():
            if not all(bool(p.isfinite().all()) for p in module.parameters()):
                raise FloatingPointError(f"fit: weights of {name!r} are not finite at step {self.steps}; nothing saved")
        extra = {
            "steps": self.steps,
            "metrics_bytes": self._metrics.stat().st_size,
            "precision": self._precision.state_dict(),
        }
        save_checkpoint(self._run.checkpoints, self._state, self._optimisers, cursor, extra)
        self._saved_steps = self.steps


def _truncate(path: Path, size: int) -> None:
    """Drop what was logged after the checkpoint: those steps run again."""
    with path.open("ab") as file:
        file.truncate(size)
