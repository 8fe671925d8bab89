"""The border between NumPy and torch: arrays of either kind go in, the same kind comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

Array = TypeVar("Array", torch.Tensor, NDArray[Any])


class _Writable:
    """Shows a read-only array's memory as writable: torch warns otherwise, and no op writes to its inputs."""

    def __init__(self, array: NDArray[Any]) -> None:
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface
        self.owner = array


def _from_numpy(function: str, name: str, array: NDArray[Any]) -> torch.Tensor:
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.itemsize == 0:  # which ends the process in torch 2.6
        raise TypeError(f"{function}: {name}: expected a dtype that torch knows, got {array.dtype}")
    if not array.flags.aligned or any(s < 0 or s % array.itemsize for s in array.strides):
        array = np.array(array, order="C")  # torch knows no such layout
    try:
        return torch.from_numpy(array if array.flags.writeable else np.asarray(_Writable(array)))
    except TypeError:
        raise TypeError(f"{function}: {name}: expected a dtype that torch knows, got {array.dtype}") from None


def _same(result: Any) -> Any:
    return result


def _to_numpy(result: Any) -> Any:
    return tuple(part.numpy() for part in result) if isinstance(result, tuple) else result.numpy()


def tensors(function: str, **arguments: Any) -> tuple[list[Any], Callable[[Any], Any]]:
    """The arguments as tensors (None stays None) and a function that turns results back into the callers' kind."""
    names = [name for name, value in arguments.items() if value is not None]
    numpy_names = [name for name in names if isinstance(arguments[name], np.ndarray)]
    for name in names:
        value = arguments[name]
        if not isinstance(value, (np.ndarray, torch.Tensor)):
            raise TypeError(f"{function}: {name}: expected a torch tensor or a NumPy array, got {type(value).__name__}")
        if isinstance(value, torch.Tensor) and value.layout != torch.strided:
            raise ValueError(f"{function}: {name}: expected a dense tensor, got {value.layout}")
    if not numpy_names:
        return list(arguments.values()), _same
    if len(numpy_names) != len(names):
        torch_name = next(name for name in names if name not in numpy_names)
        raise TypeError(
            f"{function}: expected arguments of one kind, got {numpy_names[0]} as a NumPy array and {torch_name} as a "
            "torch tensor"
        )
    converted = [None if x is None else _from_numpy(function, name, x) for name, x in arguments.items()]
    return converted, _to_numpy
