"""One seed for all random numbers outside the named streams of a run, and the states of both in a checkpoint."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from fasthash.methods.state import State


@dataclass(frozen=True)
class Streams:
    """The states of all random numbers of one process.

    Attributes:
        named: of the run's generators, by name.
        torch: of torch's default generators, "cpu" and that of the run's "cuda" device.
        others: of python and numpy, plain values.
    """

    named: dict[str, Tensor]
    torch: dict[str, Tensor]
    others: dict[str, Any]


def seed_everything(seed: int) -> None:
    """Seed python, numpy and torch on every device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - libraries a run calls may still draw from it
    torch.manual_seed(seed)


def streams(state: State) -> Streams:
    """The states of this process."""
    defaults = {"cpu": torch.get_rng_state()}
    if state.device.type == "cuda":
        defaults["cuda"] = torch.cuda.get_rng_state(state.device)
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    others = {"python": random.getstate(), "numpy": [kind, np.asarray(keys).tolist(), *rest]}
    return Streams({name: generator.get_state() for name, generator in state.generators.items()}, defaults, others)


def set_streams(state: State, named: Mapping[str, Tensor], defaults: Mapping[str, Tensor], others: Any) -> None:
    """Take up `streams` again, of a run on the same kind of device."""
    state.generators = {}
    for name, stored in named.items():
        state.generators[name] = Generator(state.device)
        state.generators[name].set_state(stored)
    torch.set_rng_state(defaults["cpu"])
    if state.device.type == "cuda":
        torch.cuda.set_rng_state(defaults["cuda"], state.device)
    version, keys, following = others["python"]
    random.setstate((version, tuple(keys), following))
    np.random.set_state(tuple(others["numpy"]))  # noqa: NPY002
