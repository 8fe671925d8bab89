"""One seed for all random numbers outside the named streams of a run, and their states in a checkpoint."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor


def seed_everything(seed: int) -> None:
    """Seed python, numpy and torch on every device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - libraries a run calls may still draw from it
    torch.manual_seed(seed)


def random_states() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The states of the global generators: tensors of torch, and what python and numpy put in JSON."""
    tensors = {"cpu": torch.get_rng_state()}
    tensors.update({f"cuda{i}": torch.cuda.get_rng_state(i) for i in range(_cuda_devices())})
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return tensors, {"python": random.getstate(), "numpy": [kind, np.asarray(keys).tolist(), *rest]}


def set_random_states(tensors: dict[str, Tensor], others: dict[str, Any]) -> None:
    """Take up `random_states` again; states of devices that this machine lacks are left out."""
    torch.set_rng_state(tensors["cpu"])
    for i in range(_cuda_devices()):
        if f"cuda{i}" in tensors:
            torch.cuda.set_rng_state(tensors[f"cuda{i}"], i)
    version, keys, following = others["python"]
    random.setstate((version, tuple(keys), following))
    np.random.set_state(tuple(others["numpy"]))  # noqa: NPY002


def _cuda_devices() -> int:
    # A run on the CPU must not start CUDA only to ask.
    return torch.cuda.device_count() if torch.cuda.is_initialized() else 0
