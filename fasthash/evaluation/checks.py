"""Checks shared by the functions of this room; a message names function, argument, what was expected and what came."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

Array: TypeAlias = "torch.Tensor | NDArray[Any]"
Checked: TypeAlias = Any  # an Array once `check_kinds` has seen that all of a call are of one kind, as the ops want

_BLOCK_ENTRIES = 1 << 22  # entries looked at together, so that no temporary grows with the database


def check_choice(function: str, argument: str, value: str, choices: Sequence[str]) -> None:
    """Raise ValueError unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise ValueError(f"{function}: {argument}: expected one of {', '.join(choices)}, got {value!r}")


def check_integer(function: str, argument: str, value: int, least: int) -> int:
    """``value`` as int; TypeError unless it is an integer, ValueError below ``least``."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{function}: {argument}: expected a whole number, got {type(value).__name__}")
    if operator.index(value) < least:
        raise ValueError(f"{function}: {argument}: expected at least {least}, got {value}")
    return operator.index(value)


def check_kinds(function: str, arrays: dict[str, Array]) -> None:
    """Raise TypeError unless all are NumPy arrays or all are tensors."""
    for name, x in arrays.items():
        if not isinstance(x, torch.Tensor | np.ndarray):
            raise TypeError(f"{function}: {name}: expected a torch tensor or a NumPy array, got {type(x).__name__}")
    if len({isinstance(x, torch.Tensor) for x in arrays.values()}) > 1:
        kinds = ", ".join(f"{name} {type(x).__name__}" for name, x in arrays.items())
        raise TypeError(f"{function}: expected torch tensors only or NumPy arrays only, got {kinds}")


def check_finite(function: str, argument: str, x: Checked) -> None:
    """Raise ValueError for NaN or infinity in a float matrix."""
    for block in row_blocks(x):
        if not bool((abs(block) < float("inf")).all()):
            raise ValueError(f"{function}: {argument}: expected finite values, got NaN or infinity")


def row_blocks(x: Checked) -> Iterator[Checked]:
    """A matrix in blocks of rows, as views of bounded size."""
    step = max(1, _BLOCK_ENTRIES // max(1, x.shape[1]))
    for start in range(0, len(x), step):
        yield x[start : start + step]


def dtype_family(x: Checked) -> str:
    """uint8, bool, float, int (signed) or other."""
    name = str(x.dtype).removeprefix("torch.") if isinstance(x, torch.Tensor) else x.dtype.name
    if name in ("uint8", "bool"):
        return name
    return next((family for family in ("float", "bfloat", "int") if name.startswith(family)), "other").removeprefix("b")


def to_numpy(x: Array) -> NDArray[Any]:
    """The array itself, or the tensor's values as a NumPy array on the host."""
    return x.detach().cpu().numpy() if isinstance(x, torch.Tensor) else x
