"""The one training loop: it walks a plan, knows nothing about methods, and can stop and go on after any step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from torch import Tensor
from torch.optim import Optimizer

from fasthash.methods.plan import Cursor, Losses, Plan, Stage, walk
from fasthash.methods.state import State


def make_optimisers(plan: Plan, state: State) -> dict[str, Optimizer]:
    """One optimiser for each name that the plan's stages use.

    Raises:
        ValueError: two stages give one name to different optimisers.
    """
    factories: dict[str, Callable[[State], Optimizer]] = {}
    for _, stage in walk(plan):
        for name, factory in stage.optimisers.items():
            if factories.setdefault(name, factory) is not factory:
                raise ValueError(f"make_optimisers: optimiser {name!r} must be made by one factory, got a second one")
    return {name: factory(state) for name, factory in factories.items()}


class Loop:
    """Runs a plan from a cursor on.

    Args:
        fabric: a launched Lightning Fabric.
        plan: the stages.
        state: what they change.
        optimisers: by name, as `make_optimisers` makes them.
        on_step: (stage, cursor, losses) after each step; losses are tensors, weighted.
        on_pause: (cursor) wherever a checkpoint may be taken: after each step, and before each stage. What it raises
            ends the run.
    """

    def __init__(
        self,
        fabric: Any,
        plan: Plan,
        state: State,
        optimisers: Mapping[str, Optimizer],
        *,
        on_step: Callable[[Stage, Cursor, Losses], None],
        on_pause: Callable[[Cursor], None],
    ) -> None:
        self._fabric, self._plan, self._state, self._optimisers = fabric, plan, state, optimisers
        # Fabric's wrappers scale gradients for float16; rates are set, and states saved, on the bare optimisers.
        self._stepping = {name: fabric.setup_optimizers(optimiser) for name, optimiser in optimisers.items()}
        for optimiser in optimisers.values():
            for group in optimiser.param_groups:
                group.setdefault("initial_lr", group["lr"])
        self._on_step, self._on_pause = on_step, on_pause

    def run(self, start: Cursor) -> None:
        """Run everything from `start` on."""
        for path, stage in walk(self._plan):
            if path < start.path:
                continue
            cursor = start if path == start.path else Cursor(path)
            self._on_pause(cursor)
            if stage.run is not None:
                stage.run(self._state, cursor)
            else:
                cursor = self._train(stage, cursor)
            if stage.end is not None:
                stage.end(self._state, cursor)

    def _train(self, stage: Stage, cursor: Cursor) -> Cursor:
        assert stage.reads is not None
        assert stage.step is not None
        batches = stage.reads(self._state, cursor)
        while cursor.step < stage.length:
            self._set_rates(stage, 1.0 if stage.rate is None else stage.rate(cursor))
            batch = next(batches).to(self._state.device)
            with self._fabric.autocast():
                losses = stage.step(self._state, batch, cursor)
            named = self._descend(stage, losses)
            cursor = Cursor(cursor.path, cursor.step + 1)
            if stage.after_step is not None:
                stage.after_step(self._state, cursor)
            self._on_step(stage, cursor, named)
            self._on_pause(cursor)
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
        if set(by_optimiser) != set(names):
            raise ValueError(f"Stage {stage.name!r}: step must return losses for {names}, got {list(by_optimiser)}")
        for name in names:
            optimiser = self._optimisers[name]
            optimiser.zero_grad()
            moved = [p for group in optimiser.param_groups for p in group["params"] if p.requires_grad]
            # `inputs` keeps this loss out of the gradients of everyone else's parameters.
            total = cast(Tensor, sum(by_optimiser[name].values()))
            self._fabric.backward(total, inputs=moved, retain_graph=name != names[-1])
        for name in names:
            self._stepping[name].step()
        return {
            f"{name}/{term}" if several else term: value.detach()
            for name, terms in by_optimiser.items()
            for term, value in terms.items()
        }
