"""Checks of op arguments; the messages name function, argument, what was expected and what came.

They read dtypes, shapes and devices only, so that fake kernels can share them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

MOST_BYTES = 8191  # the kernels count distances in 16 bits
MOST_WHOLE = 2**48 - 1  # and keep indices in 48
_NOT_LABELS = (torch.uint16, torch.uint32, torch.uint64)  # torch can neither compare nor convert them everywhere


def shape(x: torch.Tensor) -> str:
    """A shape as text, such as (3, 8)."""
    return str(tuple(x.shape))


def codes(function: str, name: str, x: torch.Tensor) -> None:
    """Packed codes: uint8 (rows, bytes)."""
    if x.dtype == torch.int8:
        raise ValueError(
            f"{function}: {name}: expected packed codes (torch.uint8), got torch.int8; "
            "fasthash.from_sentence_transformers turns signed bytes into codes, fasthash.pack signs"
        )
    if x.dtype != torch.uint8:
        raise TypeError(
            f"{function}: {name}: expected packed codes (torch.uint8), got {x.dtype}; fasthash.pack makes codes"
        )
    if x.dim() != 2:
        raise ValueError(f"{function}: {name}: expected shape (rows, bytes), got {shape(x)}")
    if not 1 <= x.shape[1] <= MOST_BYTES:
        raise ValueError(f"{function}: {name}: expected 1 to {MOST_BYTES} bytes a code, got {x.shape[1]}")


def one_device(function: str, **tensors: torch.Tensor | None) -> None:
    """All tensors of a call are on one device."""
    devices = {name: x.device for name, x in tensors.items() if x is not None}
    first = next(iter(devices))
    for name, device in devices.items():
        if device != devices[first]:
            raise ValueError(
                f"{function}: {name}: expected the device of {first} ({devices[first]}), got {device}; "
                "move one of them with .to(...)"
            )


def code_pair(function: str, a_name: str, a: torch.Tensor, b_name: str, b: torch.Tensor) -> None:
    """Two tables of codes of one width on one device."""
    codes(function, a_name, a)
    codes(function, b_name, b)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"{function}: {b_name}: expected {a.shape[1]} bytes a code as in {a_name}, got {b.shape[1]}")
    one_device(function, **{a_name: a, b_name: b})


def search(
    function: str,
    queries: torch.Tensor,
    database: torch.Tensor,
    mask: torch.Tensor | None,
    exclude: torch.Tensor | None,
) -> None:
    """Queries, database and who may meet whom."""
    code_pair(function, "queries", queries, "database", database)
    one_device(function, queries=queries, mask=mask, exclude=exclude)
    if mask is not None:
        if mask.dtype != torch.bool:
            raise TypeError(f"{function}: mask: expected torch.bool, got {mask.dtype}")
        if mask.dim() != 1 or mask.shape[0] != database.shape[0]:
            raise ValueError(
                f"{function}: mask: expected shape ({database.shape[0]},), one entry a database code, got {shape(mask)}"
            )
    if exclude is not None:
        if exclude.dtype != torch.int64:
            raise TypeError(f"{function}: exclude: expected torch.int64, got {exclude.dtype}")
        if exclude.dim() != 1 or exclude.shape[0] != queries.shape[0]:
            raise ValueError(
                f"{function}: exclude: expected shape ({queries.shape[0]},), one database row a query, "
                f"got {shape(exclude)}"
            )


def excluded_rows(function: str, database: torch.Tensor, exclude: torch.Tensor | None) -> None:
    """Values of exclude; on CUDA a row outside of the database excludes nothing."""
    if exclude is not None:
        row_values(function, "exclude", exclude, "the database", database)


def row_values(function: str, name: str, values: torch.Tensor, table_name: str, table: torch.Tensor) -> None:
    """Rows of a table, or -1 for none. Reads them, so on CPU only."""
    if values.numel() and values.device.type == "cpu":
        rows = table.shape[0]
        low, high = (int(x) for x in values.aminmax())
        if low < -1 or high >= rows:
            known = f"a row of {table_name} (0 to {rows - 1})" if rows else f"nothing else, {table_name} has no rows"
            raise ValueError(f"{function}: {name}: expected -1 or {known}, got {low if low < -1 else high}")


def label_values(function: str, query_labels: torch.Tensor, database_labels: torch.Tensor) -> None:
    """Class ids below -1, which means unlabelled, are a mistake. Reads them, so on CPU only."""
    for name, labels in (("query_labels", query_labels), ("database_labels", database_labels)):
        if labels.dim() == 1 and labels.numel() and labels.device.type == "cpu" and int(labels.min()) < -1:
            raise ValueError(f"{function}: {name}: expected class ids from -1 (none) up, got {int(labels.min())}")


def whole(function: str, name: str, value: Any, least: int) -> Any:
    """A whole number with a lower bound, as Python's int (or torch's, while tracing)."""
    if isinstance(value, bool) or not isinstance(value, (int, torch.SymInt, np.integer)):
        raise TypeError(f"{function}: {name}: expected a whole number, got {type(value).__name__}")
    if isinstance(value, np.integer):
        value = int(value)
    if value < least:
        raise ValueError(f"{function}: {name}: expected at least {least}, got {value}")
    if value > MOST_WHOLE:
        raise ValueError(f"{function}: {name}: expected at most {MOST_WHOLE}, got {value}")
    return value


def label_pair(
    function: str,
    queries: torch.Tensor,
    database: torch.Tensor,
    query_labels: torch.Tensor,
    database_labels: torch.Tensor,
) -> None:
    """Class ids (n,) or multi-hot (n, classes) of both sides."""
    one_device(function, queries=queries, query_labels=query_labels, database_labels=database_labels)
    for name, labels, rows in (
        ("query_labels", query_labels, queries.shape[0]),
        ("database_labels", database_labels, database.shape[0]),
    ):
        if labels.dim() not in (1, 2) or labels.shape[0] != rows:
            raise ValueError(
                f"{function}: {name}: expected shape ({rows},) of class ids or ({rows}, classes) multi-hot, "
                f"got {shape(labels)}"
            )
        if labels.requires_grad and torch.is_grad_enabled():
            raise RuntimeError(
                f"{function}: {name} requires grad, but {function} is not differentiable; "
                f"pass {name}.detach() or call it under torch.no_grad()"
            )
        not_ids = labels.dtype.is_floating_point or labels.dtype == torch.bool
        if labels.dtype.is_complex or labels.dtype in _NOT_LABELS or (labels.dim() == 1 and not_ids):
            raise TypeError(f"{function}: {name}: expected integer class ids or a multi-hot matrix, got {labels.dtype}")
    if query_labels.shape[1:] != database_labels.shape[1:]:
        raise ValueError(
            f"{function}: database_labels: expected the form of query_labels {shape(query_labels)}, "
            f"got {shape(database_labels)}"
        )
    if query_labels.dim() == 2 and not 1 <= query_labels.shape[1] <= 8 * MOST_BYTES:
        most = 8 * MOST_BYTES
        raise ValueError(f"{function}: query_labels: expected 1 to {most} classes, got {query_labels.shape[1]}")


def contiguous(*tensors: torch.Tensor | None) -> Any:
    """The tensors as the kernels read them; None stays None."""
    return [None if x is None else x.contiguous() for x in tensors]
