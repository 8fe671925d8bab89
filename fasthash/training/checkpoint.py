"""Checkpoints without pickle: a folder of state.safetensors (all tensors) and state.json (the rest).

A checkpoint is written to a temporary folder, flushed to the disk and renamed, and only then is the one before it
deleted: whenever the machine stops, one whole checkpoint is left. The weights that were best on the validation items
lie in it too, as best.safetensors, so that they are always those that its state.json tells of.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from fasthash.methods.plan import Cursor
from fasthash.methods.state import State
from fasthash.training.seeds import Streams, set_streams, streams

TENSORS, REST, BEST = "state.safetensors", "state.json", "best.safetensors"


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint under `folder`, None if there is none."""
    whole = [path for path in folder.glob("[0-9]*") if path.name.isdigit()]
    return max(whole, key=lambda path: int(path.name), default=None)


def weights(modules: Mapping[str, torch.nn.Module]) -> dict[str, Tensor]:
    """Copies, on the CPU, of all that the modules' `state_dict` holds, by "module/NAME/KEY"."""
    return _copies(_weights(modules))


def save_checkpoint(
    folder: Path,
    state: State,
    optimisers: Mapping[str, Optimizer],
    cursor: Cursor | None,
    extra: Mapping[str, Any],
    *,
    everywhere: Sequence[Streams] | None = None,
    best: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write a checkpoint under `folder`, which it then alone fills.

    Args:
        folder: of the run's checkpoints.
        state: modules, tensors and generators are saved.
        optimisers: by name.
        cursor: where the run stands; None = finished.
        extra: more for the JSON part.
        everywhere: random numbers of all processes, in their order; None = of this one, the only one.
        best: `weights` that are the best so far; None = still those of the checkpoint before, if it has some.

    Returns:
        Its path.
    """
    everywhere = [streams(state)] if everywhere is None else everywhere
    tensors = {f"tensor/{name}": tensor for name, tensor in state.tensors.items()} | _weights(state.modules)
    for rank, of_rank in enumerate(everywhere):
        tensors.update({f"generator/{name}": stored for name, stored in of_rank.named.items()})
        tensors.update({f"random/{rank}/{name}": stored for name, stored in of_rank.torch.items()})
    rest: dict[str, Any] = {
        "cursor": None if cursor is None else {"path": cursor.path, "step": cursor.step},
        "random": [of_rank.others for of_rank in everywhere],
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
    save_file(_copies(tensors), temporary / TENSORS)
    (temporary / REST).write_text(json.dumps(rest))
    written = [temporary / TENSORS, temporary / REST]
    if best is not None:
        save_file(dict(best), temporary / BEST)
        written.append(temporary / BEST)
    elif before and (before / BEST).exists():
        _link(before / BEST, temporary / BEST)
    for path in (*written, temporary):
        flush(path)
    temporary.rename(target)
    flush(folder)
    for path in folder.iterdir():  # what was there before, and what a stopped process left of it
        if path != target and path.name.removesuffix(".tmp").isdigit():
            shutil.rmtree(path)
    return target


def load_modules(path: Path, modules: Mapping[str, torch.nn.Module], *, best: bool = False) -> None:
    """Set the weights of these modules to the last or the best ones of the checkpoint at `path`."""
    _set_modules(load_file(path / (BEST if best else TENSORS)), modules)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of the stages in the checkpoint at `path`, without reading the rest."""
    prefix = "tensor/"
    with safe_open(path / TENSORS, framework="pt") as file:
        return {key.removeprefix(prefix): file.get_tensor(key) for key in list(file.keys()) if key.startswith(prefix)}


def load_checkpoint(
    path: Path, state: State, optimisers: Mapping[str, Optimizer]
) -> tuple[Cursor | None, dict[str, Any]]:
    """Set state, optimisers and random numbers to those of a checkpoint.

    Returns:
        Where the run stands, None = finished, and the whole JSON part.

    Raises:
        ValueError: a run on another kind of device, whose random numbers this one cannot go on with; nothing is set.
    """
    tensors, rest = load_file(path / TENSORS), json.loads((path / REST).read_text())
    default = _under(tensors, f"random/{state.rank}/")
    before = "cuda" if "cuda" in default else "cpu"
    if before != state.device.type:
        raise ValueError(
            f"fit: to resume the run of {str(path)!r}, config.accelerator must be {before!r}, got {state.device.type!r}"
        )
    _set_modules(tensors, state.modules)
    state.tensors = {name: tensor.to(state.device) for name, tensor in _under(tensors, "tensor/").items()}
    for name, optimiser in optimisers.items():
        optimiser.load_state_dict(_unflatten(_under(tensors, f"optimiser/{name}/"), rest["optimisers"][name]))
    set_streams(state, _under(tensors, "generator/"), default, rest["random"][state.rank])
    cursor = rest["cursor"]
    return None if cursor is None else Cursor(tuple(cursor["path"]), cursor["step"]), rest


def _weights(modules: Mapping[str, torch.nn.Module]) -> dict[str, Tensor]:
    return {f"module/{n}/{key}": t for n, module in modules.items() for key, t in module.state_dict().items()}


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Copies, since the format refuses tensors that share memory, such as tied weights and views.
    return {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)
        flush(target)


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


def flush(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
