"""Keeps what the loop does: metrics, the running mean, validation scores, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from fasthash.methods import Cursor, Method, Stage, State
from fasthash.teachers import EMATeacher
from fasthash.training.averaging import NAME, encoder_of, update_average
from fasthash.training.checkpoint import save_checkpoint, weights
from fasthash.training.config import Config
from fasthash.training.interrupt import Interrupt
from fasthash.training.log import Log
from fasthash.training.progress import Progress, Silent
from fasthash.training.ranks import Ranks
from fasthash.training.run import Run
from fasthash.training.seeds import streams
from fasthash.training.validation import Best, Validation


class EarlyStop(Exception):
    """The run is to end here; nothing is wrong."""


class Keeper:
    """Keeps metrics and checkpoints while the loop runs; with several processes the first one writes.

    Args:
        run: where.
        config: how often.
        method: for its encoder.
        state: of the run.
        optimisers: by name.
        ranks: the processes.
        precision: Fabric's, whose scale of gradients is saved.
        progress: what shows the run.
        validation: what scores it.
        saved: the JSON part of the checkpoint that it goes on from; empty at the start.
        start: writes what the folder starts with; called with the first thing that is done, so that a run that cannot
            do anything leaves nothing.
        hint: how to go on after Ctrl-C.
    """

    def __init__(
        self,
        run: Run,
        config: Config,
        method: Method,
        state: State,
        optimisers: Mapping[str, Optimizer],
        ranks: Ranks,
        precision: Any,
        progress: Progress,
        *,
        validation: Validation | None,
        saved: Mapping[str, Any],
        start: Callable[[], None],
        hint: str,
    ) -> None:
        self._run, self._config, self._state, self._optimisers = run, config, state, optimisers
        self._ranks, self._precision = ranks, precision
        self._progress = progress if ranks.writes else Silent()
        self._validation, self._bits, self._hint = validation, method.bits, hint
        self._start = start
        self._log: Log | None = None
        # Of several processes torchrun terminates those that wait for one that has failed: they must not go on.
        self.interrupt = Interrupt(terminate=ranks.count == 1)
        self.steps = self._saved_steps = int(saved.get("steps", 0))
        self._log_size = int(saved.get("metrics_bytes", 0))
        # What is trained and averaged, and what is scored: the running mean, where there is one.
        self._trained, self._encoder = method.encoder(state.modules), encoder_of(method, state.modules)
        self._average = cast("EMATeacher | None", state.modules.get(NAME) if config.ema is not None else None)
        self._best, self._scored_at = Best.from_saved(saved.get("best")), saved.get("scored_at")
        self._best_weights: dict[str, Tensor] | None = None
        self._shown: dict[str, float] = {}
        self._began = time.perf_counter()

    @contextmanager
    def showing(self, total: int) -> Iterator[None]:
        """Progress over `total` steps, and open files, for as long as the loop runs."""
        self._progress.start(total, self.steps)
        try:
            yield
        finally:
            if self._log is not None:
                self._log.close()
            self._progress.close()

    def step(self, stage: Stage, cursor: Cursor, losses: Mapping[str, Tensor]) -> None:
        """Count the step; average, log and score if it is time."""
        self.steps += 1
        if self._average is not None:
            update_average(self._average, self._trained, self.steps)
        self._progress.advance(stage.name)
        if self.steps % self._config.log_every == 0 or cursor.step == stage.length:
            values = {name: float(value) for name, value in losses.items()}
            for name, value in values.items():
                if not math.isfinite(value):
                    raise FloatingPointError(
                        f"fit: loss {name!r} of stage {stage.name!r} is {value} at step {cursor.step}"
                    )
            self._write(stage.name, cursor, values)
        elif self._log is None and self._ranks.writes:
            self._open_log()
        due = self._validation is not None and self.steps % self._config.validate_every == 0
        if due and self._moves_encoder(stage):
            self._score(stage.name, cursor)

    def _moves_encoder(self, stage: Stage) -> bool:
        """Whether a stage can change what is scored: while it trains something else, patience must not run out."""
        moved = {
            id(p) for name in stage.optimisers for group in self._optimisers[name].param_groups for p in group["params"]
        }
        return stage.after_step is not None or any(id(p) in moved for p in self._trained.parameters())

    def pause(self, cursor: Cursor, closed: bool) -> None:
        """Save if it is time, or asked for by Ctrl-C, which then goes on as KeyboardInterrupt."""
        patience = self._config.patience
        if patience is not None and self._best.since >= patience:
            raise EarlyStop
        # Processes are asked together, and seldom, since that makes them wait for each other.
        asked = self.interrupt.asked
        if self._ranks.count > 1:
            together = cursor.step == 0 or self.steps % self._config.log_every == 0
            asked = together and self._ranks.any(asked)
        if asked:
            self.save(cursor)
            message = f"stopped after {self.steps} steps, all saved in {str(self._run.path)!r}; {self._hint}"
            self._progress.note(message)
            raise KeyboardInterrupt(message)
        if closed or self.steps - self._saved_steps >= self._config.checkpoint_every:
            self.save(cursor)

    def finish(self, last: Stage | None) -> None:
        """Save the end of the run, after its last stage, or earlier: None.

        It is scored, unless that was just done and no closed form or `end` can have changed the weights since.
        """
        if last is None:
            self._progress.note(
                f"stopped early after {self.steps} steps: the {self._best.since} scores after step {self._best.steps} "
                f"were not above its {self._best.score:.4f}"
            )
        elif self._validation is not None and (
            self._scored_at != self.steps or last.run is not None or last.end is not None
        ):
            self._score(last.name, Cursor((), last.length))
        self.save(None)

    def save(self, cursor: Cursor | None) -> None:
        """Write a checkpoint that stands at `cursor`, None = the end; never of weights that are no numbers any more."""
        for name, module in self._state.modules.items():
            if not all(bool(p.isfinite().all()) for p in module.parameters()):
                raise FloatingPointError(f"fit: weights of {name!r} are not finite at step {self.steps}; nothing saved")
        everywhere = self._ranks.collect(streams(self._state))
        if self._ranks.writes:
            extra = {
                "steps": self.steps,
                "metrics_bytes": self._open_log().sync(),
                "precision": self._precision.state_dict(),
                "threads": torch.get_num_threads(),
                "best": asdict(self._best) if self._validation is not None else None,
                "scored_at": self._scored_at,
            }
            save_checkpoint(
                self._run.checkpoints,
                self._state,
                self._optimisers,
                cursor,
                extra,
                everywhere=everywhere,
                best=self._best_weights,
            )
        self._saved_steps, self._best_weights = self.steps, None

    def _score(self, stage: str, cursor: Cursor) -> None:
        assert self._validation is not None
        # One process scores; all must agree on what follows from it.
        score = 0.0
        if self._ranks.writes:
            score = self._validation.score(self._encoder, self._bits, self._state.data.standardisation)
        score = self._ranks.first(score)
        self._scored_at = self.steps
        if self._best.take(score, self.steps) and self._ranks.writes:
            self._best_weights = weights(self._state.modules)
        self._shown = {"validation_mAP": score}
        self._write(stage, cursor, self._shown)

    def _write(self, stage: str, cursor: Cursor, values: Mapping[str, float]) -> None:
        if not self._ranks.writes:
            return
        place = {
            "steps": self.steps,
            "seconds": round(time.perf_counter() - self._began, 3),
            "stage": stage,
            "rounds": cursor.rounds,
            "step": cursor.step,
        }
        self._open_log().write(place, values)
        self._progress.show({**values, **self._shown})

    def _open_log(self) -> Log:
        if self._log is None:
            self._start()
            folder = self._run.path / "tensorboard" if self._config.tensorboard else None
            self._log = Log(self._run.path / "metrics.jsonl", size=self._log_size, steps=self.steps, tensorboard=folder)
        return self._log
