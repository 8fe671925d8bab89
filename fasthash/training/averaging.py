"""The running mean of the encoder's weights, for any method."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from fasthash.methods import Method
from fasthash.methods.plan import Plan, walk
from fasthash.teachers import EMATeacher

NAME = "ema"  # among the modules of a run


def check_plan(method: Method, plan: Plan, decay: float) -> None:
    """Raise ValueError where a closed form would set weights last, which no mean has seen."""
    last = [stage for _, stage in walk(plan)][-1]
    if last.run is not None:
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


def encoder_of(method: Method, modules: Mapping[str, nn.Module]) -> nn.Module:
    """What makes the codes: the running mean if there is one, else the method's encoder."""
    average = modules.get(NAME)
    return average.model if isinstance(average, EMATeacher) else method.encoder(dict(modules))


@torch.no_grad()
def update_average(average: EMATeacher, encoder: nn.Module, step: int) -> None:
    """Move the mean after optimiser step `step`, from 1; buffers (statistics of batch norm) are the encoder's own."""
    average.update(encoder, step)
    for ours, theirs in zip(average.model.buffers(), encoder.buffers(), strict=True):
        ours.copy_(theirs)
