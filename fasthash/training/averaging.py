"""The running mean of the encoder's weights, for any method.

It is the mean over optimiser steps. Weights that a closed form or an `end` hook sets are taken over as they are, and
the mean goes on from them; a plan that ends with a closed form that sets weights is refused, since no mean would be
left.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from fasthash.methods import Cursor, Method, State
from fasthash.methods.plan import Plan, Repeat, Stage, walk
from fasthash.teachers import EMATeacher

NAME = "ema"  # among the modules of a run


def check_plan(method: Method, plan: Plan, decay: float) -> None:
    """Raise ValueError where a closed form would set weights last, which no mean has seen."""
    last = [stage for _, stage in walk(plan)][-1]
    if last.run is not None and not last.keeps_weights:
        raise ValueError(
            f"Config: ema must be None for {method.name}, whose last stage {last.name!r} has no steps, got {decay}"
        )


def add_average(method: Method, modules: dict[str, nn.Module], decay: float) -> None:
    """Put the running mean of the method's encoder among the modules.

    Raises:
        ValueError: the encoder is a running mean itself, or a module has the name.
    """
    encoder = method.encoder(modules)
    if isinstance(encoder, EMATeacher):
        raise ValueError(
            f"Config: ema must be None for {method.name}, whose encoder is a running mean already, got {decay}"
        )
    if NAME in modules:
        raise ValueError(f"Config: ema must be None for {method.name}, which has a module {NAME!r} itself, got {decay}")
    modules[NAME] = EMATeacher(encoder, decay_max=decay)


def taking_over(method: Method, plan: Plan) -> Plan:
    """The plan, each of whose closed forms and `end` hooks hands the weights that it has set to the mean."""

    def followed(change: Callable[[State, Cursor], None] | None) -> Callable[[State, Cursor], None] | None:
        if change is None:
            return None

        def run(state: State, cursor: Cursor) -> None:
            before = [p.detach().clone() for p in method.encoder(state.modules).parameters()]
            change(state, cursor)
            encoder, model = method.encoder(state.modules), encoder_of(method, state.modules)
            if not all(map(torch.equal, before, encoder.parameters())):
                _copy(encoder.parameters(), model.parameters())
            _copy(encoder.buffers(), model.buffers())

        return run

    return [
        dataclasses.replace(part, run=followed(part.run), end=followed(part.end))
        if isinstance(part, Stage)
        else Repeat(taking_over(method, part.plan), part.times)
        for part in plan
    ]


def encoder_of(method: Method, modules: Mapping[str, nn.Module]) -> nn.Module:
    """What makes the codes: the running mean if there is one, else the method's encoder."""
    average = modules.get(NAME)
    return average.model if isinstance(average, EMATeacher) else method.encoder(dict(modules))


@torch.no_grad()
def update_average(average: EMATeacher, encoder: nn.Module, step: int) -> None:
    """Move the mean after optimiser step `step`, from 1; buffers (statistics of batch norm) are the encoder's own."""
    average.update(encoder, step)
    _copy(encoder.buffers(), average.model.buffers())


@torch.no_grad()
def _copy(tensors: Iterable[Tensor], into: Iterable[Tensor]) -> None:
    for ours, theirs in zip(into, tensors, strict=True):
        ours.copy_(theirs)
