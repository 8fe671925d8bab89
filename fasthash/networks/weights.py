"""Weights of a backbone from a local file; nothing here reaches a network or runs code of a file."""

from __future__ import annotations

import os
from pickle import UnpicklingError

import torch
from torch import Tensor, nn


def load_weights(module: nn.Module, path: str | os.PathLike[str], *, ignored: str | None = None) -> None:
    """Set the weights of a module to a state dict: .safetensors, or what `torch.save` wrote (read with weights_only).

    Args:
        module: set in place.
        path: the file.
        ignored: names that begin with this are left out: a classifier that was removed.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file holds no state dict, or one with other names or shapes.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"load_weights: path must be a local file, got {path!r}")
    if path.endswith(".safetensors"):
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            found = load_file(path)
        except SafetensorError as error:
            raise ValueError(f"load_weights: {path!r} must be a whole .safetensors file: {error}") from error
    else:
        try:
            found = torch.load(path, map_location="cpu", weights_only=True)
        except (UnpicklingError, EOFError, OSError, RuntimeError) as error:
            raise ValueError(f"load_weights: {path!r} must hold tensors only, as torch.save writes them") from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ValueError(f"load_weights: {path!r} must hold a state dict, names to tensors")
    given = {key: value for key, value in found.items() if ignored is None or not key.startswith(ignored)}
    wanted, got = (
        {key: tuple(value.shape) for key, value in tensors.items()} for tensors in (module.state_dict(), given)
    )
    for key in sorted({*wanted, *got}):
        if wanted.get(key) != got.get(key):
            raise ValueError(
                f"load_weights: {path!r} must hold {key!r} with shape {wanted.get(key, 'none')}, "
                f"got {got.get(key, 'none')}"
            )
    module.load_state_dict(given)
