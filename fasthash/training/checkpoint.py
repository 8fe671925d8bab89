"""Checkpoints without pickle: a folder of state.safetensors (all tensors) and state.json (the rest).

A checkpoint is written to a temporary folder, flushed to the disk and renamed, and only then is the one before it
deleted: whenever the machine stops, one whole checkpoint is left.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor
from torch.optim import Optimizer

from fasthash.methods.plan import Cursor
from fasthash.methods.state import State
from fasthash.training.seeds import random_states, set_random_states

TENSORS, REST = "state.safetensors", "state.json"


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint under `folder`, None if there is none."""
    whole = [path for path in folder.glob("[0-9]*") if path.name.isdigit()]
    return max(whole, key=lambda path: int(path.name), default=None)


def save_checkpoint(
    folder: Path, state: State, optimisers: Mapping[str, Optimizer], cursor: Cursor | None, extra: Mapping[str, Any]
) -> Path:
    """Write a checkpoint under `folder`, which it then alone fills.

    Args:
        folder: of the run's checkpoints.
        state: modules, tensors and generators are saved.
        optimisers: by name.
        cursor: where the run stands; None = finished.
        extra: more for the JSON part.

    Returns:
        Its path.
    """
    tensors = {f"tensor/{name}": tensor for name, tensor in state.tensors.items()}
    for name, module in state.modules.items():
        tensors.update({f"module/{name}/{key}": tensor for key, tensor in module.state_dict().items()})
    tensors.update({f"generator/{name}": generator.get_state() for name, generator in state.generators.items()})
    global_tensors, global_rest = random_states()
    tensors.update({f"random/{name}": tensor for name, tensor in global_tensors.items()})
    rest: dict[str, Any] = {
        "cursor": None if cursor is None else {"path": cursor.path, "step": cursor.step},
        "random": global_rest,
        "optimisers": {},
        **extra,
    }
    for name, optimiser in optimisers.items():
        flat, structure = _flatten(optimiser.state_dict())
        tensors.update({f"optimiser/{name}/{key}": tensor for key, tensor in flat.items()})
        rest["optimisers"][name] = structure

    before = latest_checkpoint(folder)
    target = folder / f"{1 + (int(before.name) if before else 0):06d}"
    temporary = folder / f"{target.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    # Copies, since the format refuses tensors that share memory, such as tied weights and views.
    copies = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
    save_file(copies, temporary / TENSORS)
    (temporary / REST).write_text(json.dumps(rest))
    for path in (temporary / TENSORS, temporary / REST, temporary):
        _flush(path)
    temporary.rename(target)
    _flush(folder)
    if before:
        shutil.rmtree(before)
    return target


def load_modules(path: Path, modules: Mapping[str, torch.nn.Module]) -> None:
    """Set the weights of these modules to those of the checkpoint at `path`."""
    _set_modules(load_file(path / TENSORS), modules)


def load_checkpoint(
    path: Path, state: State, optimisers: Mapping[str, Optimizer]
) -> tuple[Cursor | None, dict[str, Any]]:
    """Set state, optimisers and global generators to a checkpoint.

    Returns:
        Where the run stands, None = finished, and the whole JSON part.
    """
    tensors, rest = load_file(path / TENSORS), json.loads((path / REST).read_text())
    _set_modules(tensors, state.modules)
    state.tensors = {name: tensor.to(state.device) for name, tensor in _under(tensors, "tensor/").items()}
    state.generators = {}
    for name, generator_state in _under(tensors, "generator/").items():
        state.generators[name] = Generator(state.device)
        state.generators[name].set_state(generator_state)
    for name, optimiser in optimisers.items():
        optimiser.load_state_dict(_unflatten(_under(tensors, f"optimiser/{name}/"), rest["optimisers"][name]))
    set_random_states(_under(tensors, "random/"), rest["random"])
    cursor = rest["cursor"]
    return None if cursor is None else Cursor(tuple(cursor["path"]), cursor["step"]), rest


def _set_modules(tensors: dict[str, Tensor], modules: Mapping[str, torch.nn.Module]) -> None:
    for name, module in modules.items():
        module.load_state_dict(_under(tensors, f"module/{name}/"))


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def _flatten(optimiser: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimiser's state as tensors "parameter/key" and a JSON structure of the rest."""
    tensors: dict[str, Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for parameter, values in optimiser["state"].items():
        plain[str(parameter)] = {}
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{parameter}/{key}"] = value
            else:
                plain[str(parameter)][key] = value
    return tensors, {"state": plain, "param_groups": optimiser["param_groups"]}


def _unflatten(tensors: dict[str, Tensor], structure: dict[str, Any]) -> dict[str, Any]:
    state = {int(parameter): dict(values) for parameter, values in structure["state"].items()}
    for key, tensor in tensors.items():
        parameter, name = key.split("/", 1)
        state[int(parameter)][name] = tensor
    return {"state": state, "param_groups": structure["param_groups"]}


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
