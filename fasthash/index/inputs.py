"""What the methods of an index are given, checked and brought to its device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch

from fasthash.index.ids import LARGEST
from fasthash.index.lazy_tables import WHEN, possible
from fasthash.index.snapshot import Allowed, Snapshot
from fasthash.ops import _check
from fasthash.ops._arrays import tensors
from fasthash.ops.multi_index import MOST_BITS
from fasthash.ops.scores import check_queries, check_scale

_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
Documents = Literal["int8", "float16", "float32"]
DOCUMENTS: dict[Documents, torch.dtype] = {"int8": torch.int8, "float16": torch.float16, "float32": torch.float32}


def documents_name(dtype: torch.dtype) -> Documents:
    """What an index that stores a dtype was made with."""
    return next(name for name, stored in DOCUMENTS.items() if stored == dtype)


def device_of(function: str, device: Any) -> torch.device:
    """A device that can hold an index, with its number."""
    if not isinstance(device, (str, torch.device)):
        raise TypeError(f"{function}: device: expected a device such as cpu or cuda:0, got {type(device).__name__}")
    try:
        place = torch.device(device)
    except RuntimeError:
        raise ValueError(f"{function}: device: expected a device such as cpu or cuda:0, got {device!r}") from None
    if place.type not in ("cpu", "cuda"):
        raise ValueError(f"{function}: device: expected cpu or cuda, got {place}")
    if place.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"{function}: device: expected a device of this machine, got {place}, but torch sees no GPU")
    return torch.empty(0, device=place).device  # with its number


def when(function: str, given: Any, bits: int, device: torch.device) -> None:
    """When to make tables for multi-index hashing."""
    if given not in WHEN:
        raise ValueError(f"{function}: multi_index: expected {', '.join(WHEN)}, got {given!r}")
    if given == "always" and not possible(bits, device):
        raise ValueError(
            f"{function}: multi_index: expected auto or never for an index of {bits} bits on {device}, got 'always', "
            f"which codes of up to {MOST_BITS} bits on a CPU can have"
        )


def placed(function: str, device: torch.device, **arguments: Any) -> tuple[list[Any], Callable[[Any], Any]]:
    """Arrays of one kind as tensors on the device of an index, and what turns results into the callers' kind.

    NumPy arrays are moved; tensors have to be there. None stays None.
    """
    found, back = tensors(function, **arguments)
    if any(isinstance(value, np.ndarray) for value in arguments.values()):
        if device.type == "cpu":
            return found, back
        return [None if x is None else x.to(device) for x in found], lambda result: back(_on_host(result))
    for name, x in zip(arguments, found, strict=True):
        if x is not None and x.device != device:
            raise ValueError(
                f"{function}: {name}: expected the device of the index ({device}), got {x.device}; "
                "move one of them with .to(...)"
            )
    return found, back


def _on_host(result: Any) -> Any:
    return tuple(part.cpu() for part in result) if isinstance(result, tuple) else result.cpu()


def listed(function: str, name: str, value: Any, like: Any) -> Any:
    """A plain sequence as an array of the kind of another; arrays and None as they are."""
    if value is None or isinstance(value, (np.ndarray, torch.Tensor)):
        return value
    if not isinstance(value, (list, tuple, range)):
        raise TypeError(f"{function}: {name}: expected a list or an array, got {type(value).__name__}")
    try:
        if isinstance(value, range):
            array = np.arange(value.start, value.stop, value.step)  # which makes no Python numbers
        else:
            array = np.asarray(value) if value else np.zeros(0, dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{function}: {name}: expected a list of numbers, got one that is none: {error}") from None
    if not isinstance(like, torch.Tensor):
        return array
    if array.dtype not in (np.int64, np.bool_):
        raise TypeError(f"{function}: {name}: expected whole numbers, got {array.dtype}")
    return torch.from_numpy(array).to(like.device)


def code_rows(function: str, name: str, codes: torch.Tensor, bits: int, *, may_wait: bool = False) -> None:
    """Packed codes of the width of an index; spare bits on CUDA are looked at where a call may wait for that."""
    _check.codes(function, name, codes)
    width = (bits + 7) // 8
    if codes.shape[1] != width:
        raise ValueError(f"{function}: {name}: expected {width} bytes a code for {bits} bits, got {codes.shape[1]}")
    if bits % 8 and (may_wait or codes.device.type == "cpu") and bool((codes[:, -1] & (0xFF >> bits % 8)).any()):
        raise ValueError(f"{function}: {name}: expected zero spare bits after bit {bits}, got a code with some set")


def float_rows(function: str, queries: torch.Tensor, scale: torch.Tensor | None, snapshot: Snapshot) -> None:
    """Float queries of the width of an index, and factors of the documents that it stores."""
    check_queries(function, queries)
    if queries.shape[1] != snapshot.bits:
        raise ValueError(
            f"{function}: queries: expected {snapshot.bits} dimensions, as many as bits, got {queries.shape[1]}"
        )
    if scale is not None:
        check_scale(function, scale, (snapshot.codes if snapshot.documents is None else snapshot.documents).shown)


def id_values(function: str, ids: torch.Tensor, rows: int | None = None, name: str = "ids") -> torch.Tensor:
    """Ids, int64 from 0 up, one for each of some rows; a copy where they were not int64."""
    if ids.dtype.is_floating_point or ids.dtype.is_complex or ids.dtype == torch.bool:
        raise TypeError(f"{function}: {name}: expected whole numbers, got {ids.dtype}")
    if ids.dim() != 1 or (rows is not None and len(ids) != rows):
        wanted = "(ids,)" if rows is None else f"({rows},), one id a code"
        raise ValueError(f"{function}: {name}: expected shape {wanted}, got {_check.shape(ids)}")
    if ids.dtype == torch.uint64 and bool((ids.view(torch.int64) < 0).any()):
        raise ValueError(f"{function}: {name}: expected ids up to {LARGEST}, got a larger one")
    ids = ids.to(torch.int64).contiguous()
    if len(ids) and int(ids.min()) < 0:
        raise ValueError(f"{function}: {name}: expected ids from 0 up, got {int(ids.min())}")
    return ids


def known_positions(function: str, name: str, ids: torch.Tensor, snapshot: Snapshot) -> torch.Tensor:
    """Where ids stand."""
    positions = snapshot.find(ids)
    if bool((positions < 0).any()):
        raise ValueError(f"{function}: {name}: expected ids of the index, got {int(ids[positions < 0][0])}")
    return positions


def allowed(function: str, given: torch.Tensor | None, snapshot: Snapshot) -> Allowed:
    """A filter: bool (n,) in the order of the ids, or ids."""
    if given is None:
        return Allowed()
    if given.dtype != torch.bool:
        ids = id_values(function, given, name="filter")
        return Allowed.at(known_positions(function, "filter", ids, snapshot), len(snapshot))
    if given.dim() != 1 or len(given) != len(snapshot):
        raise ValueError(
            f"{function}: filter: expected shape ({len(snapshot)},), one entry a code in the order of .ids, "
            f"got {_check.shape(given)}"
        )
    return Allowed(mask=given)


def documents(
    function: str, given: torch.Tensor | None, dtype: torch.dtype | None, rows: int, bits: int
) -> torch.Tensor | None:
    """Documents (rows, bits) of an index that stores a dtype of them, in that dtype."""
    if dtype is None:
        if given is not None:
            raise ValueError(f"{function}: documents: expected None, as the index was made without documents=")
        return None
    if given is None:
        raise ValueError(f"{function}: documents: expected shape ({rows}, {bits}), as the index stores them, got None")
    if given.shape != (rows, bits):
        raise ValueError(f"{function}: documents: expected shape ({rows}, {bits}), got {_check.shape(given)}")
    if given.dtype not in ((torch.int8,) if dtype == torch.int8 else _FLOATS):
        wanted = dtype if dtype == torch.int8 else "floats"
        raise TypeError(f"{function}: documents: expected {wanted}, as the index stores {dtype}, got {given.dtype}")
    stored = given.to(dtype)
    if dtype == torch.float16 and given.dtype != dtype and bool((stored.isinf() & ~given.isinf()).any()):
        raise ValueError(
            f"{function}: documents: expected values of at most 65504, which float16 can hold, got larger ones"
        )
    return stored
