"""The one training loop: it walks a plan, knows nothing about methods, and can stop and go on after any step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from fasthash.data import Batch
from fasthash.methods.plan import Cursor, Losses, Plan, Stage, walk
from fasthash.methods.state import State
from fasthash.training.ranks import Ranks


def make_optimisers(plan: Plan, state: State) -> dict[str, Optimizer]:
    """One optimiser for each name that the plan's stages use.

    Raises:
        ValueError: two stages give one name to different optimisers.
    """
    factories: dict[str, Callable[[State], Optimizer]] = {}
    for _, stage in walk(plan):
        for name, factory in stage.optimisers.items():
            if factories.setdefault(name, factory) != factory:
                raise ValueError(f"make_optimisers: optimiser {name!r} must be made by one factory, got a second one")
    return {name: factory(state) for name, factory in factories.items()}


class Loop:
    """Runs a plan from a cursor on.

    Args:
        fabric: a launched Lightning Fabric.
        plan: the stages.
        state: what they change.
        optimisers: by name, as `make_optimisers` makes them.
        clip: largest norm of the gradient of each optimiser; None = any.
        on_step: (stage, cursor, losses) after each step; losses are tensors, weighted.
        on_pause: (cursor, closed) wherever a checkpoint may be taken: after each step, and before each stage; closed
            tells that a closed-form stage that is not quick has just ended. What it raises ends the run.
    """

    def __init__(
        self,
        fabric: Any,
        plan: Plan,
        state: State,
        optimisers: Mapping[str, Optimizer],
        *,
        clip: float | None = None,
        on_step: Callable[[Stage, Cursor, Losses], None],
        on_pause: Callable[[Cursor, bool], None],
    ) -> None:
        self._fabric, self._plan, self._state, self._optimisers = fabric, plan, state, optimisers
        self._ranks, self._clip = Ranks(fabric), clip
        # Of gradients in float16, else None. Fabric's own step updates it after each optimiser, which changes the scale
        # of the gradients that the next one still has.
        self._scaler = getattr(fabric.strategy.precision, "scaler", None)
        for optimiser in optimisers.values():
            for group in optimiser.param_groups:
                group.setdefault("initial_lr", group["lr"])
        self._on_step, self._on_pause = on_step, on_pause

    def run(self, start: Cursor) -> None:
        """Run everything from `start` on.

        Raises:
            TypeError: a step that returns no mapping of losses, or a batch that is none.
            ValueError: too few batches, losses for other optimisers, or losses that depend on no parameter.
        """
        closed = False
        for path, stage in walk(self._plan):
            if path < start.path:
                continue
            cursor = start if path == start.path else Cursor(path)
            self._on_pause(cursor, closed)
            if stage.run is not None:
                stage.run(self._state, cursor)
            else:
                cursor = self._train(stage, cursor)
            if stage.end is not None:
                stage.end(self._state, cursor)
            closed = stage.run is not None and not stage.quick

    def _train(self, stage: Stage, cursor: Cursor) -> Cursor:
        assert stage.reads is not None
        assert stage.step is not None
        batches = iter(stage.reads(self._state, cursor))
        while cursor.step < stage.length:
            self._set_rates(stage, 1.0 if stage.rate is None else stage.rate(cursor))
            batch = _next_batch(batches, stage, cursor).to(self._state.device)
            with self._fabric.autocast():
                losses = stage.step(self._state, batch, cursor)
            named = self._descend(stage, losses)
            cursor = Cursor(cursor.path, cursor.step + 1)
            if stage.after_step is not None:
                stage.after_step(self._state, cursor)
            self._on_step(stage, cursor, named)
            self._on_pause(cursor, False)
        return cursor

    def _set_rates(self, stage: Stage, factor: float) -> None:
        for name in stage.optimisers:
            for group in self._optimisers[name].param_groups:
                group["lr"] = group["initial_lr"] * factor

    def _descend(self, stage: Stage, losses: Losses | Mapping[str, Losses]) -> Losses:
        """All gradients first, then all optimisers step; the losses come back in one mapping."""
        names = list(stage.optimisers)
        several = len(names) > 1
        by_optimiser = cast(Mapping[str, Losses], losses) if several else {names[0]: cast(Losses, losses)}
        if several and (not isinstance(losses, Mapping) or set(losses) != set(names)):
            got = list(losses) if isinstance(losses, Mapping) else type(losses).__name__
            raise ValueError(f"Stage {stage.name!r}: step must return losses for {names}, got {got}")
        for name in names:
            moved = [p for group in self._optimisers[name].param_groups for p in group["params"] if p.requires_grad]
            self._optimisers[name].zero_grad()
            # `inputs` keeps this loss out of the gradients of everyone else's parameters.
            total = _total(stage, name, by_optimiser[name])
            self._fabric.backward(total, inputs=moved, retain_graph=name != names[-1])
            self._ranks.average_gradients(moved)
            if self._clip is not None:
                if self._scaler is not None:
                    self._scaler.unscale_(self._optimisers[name])
                clip_grad_norm_(moved, self._clip)
        for name in names:
            if self._scaler is None:
                self._optimisers[name].step()
            else:
                self._scaler.step(self._optimisers[name])
        if self._scaler is not None:
            self._scaler.update()
        if self._ranks.count > 1:
            # Statistics of batch norm come from each process's share: all go on with those of the first.
            self._ranks.share_first(b for module in self._state.modules.values() for b in module.buffers())
        return {
            f"{name}/{term}" if several else term: value.detach()
            for name, terms in by_optimiser.items()
            for term, value in terms.items()
        }


def _next_batch(batches: Iterator[Batch], stage: Stage, cursor: Cursor) -> Batch:
    batch = next(batches, None)
    if batch is None:
        raise ValueError(f"Stage {stage.name!r}: reads must give {stage.length} batches, got {cursor.step}")
    if not isinstance(batch, Batch):
        raise TypeError(f"Stage {stage.name!r}: reads must give batches (data.Batch), got {type(batch).__name__}")
    return batch


def _total(stage: Stage, optimiser: str, losses: Losses) -> Tensor:
    """The sum that an optimiser minimises."""
    where = f"Stage {stage.name!r}: step must return"
    if not isinstance(losses, Mapping) or not losses:
        got = "an empty one" if isinstance(losses, Mapping) else type(losses).__name__
        raise TypeError(f"{where} a mapping of named losses, got {got}")
    for term, value in losses.items():
        if not isinstance(value, Tensor) or value.ndim:
            got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(f"{where} scalar tensors, got {got} for {term!r}")
    total = cast(Tensor, sum(losses.values()))
    if not total.requires_grad:
        raise ValueError(f"{where} a loss that depends on what optimiser {optimiser!r} moves, got one without gradient")
    return total
