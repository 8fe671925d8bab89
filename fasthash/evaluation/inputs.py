"""Checks and normalises what the evaluation functions receive, and feeds it to the ops in bounded blocks."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from fasthash import ops

Array: TypeAlias = "torch.Tensor | NDArray[Any]"
Exclude: TypeAlias = "Literal['auto'] | Array | None"
Checked: TypeAlias = Any  # an Array once `_check_kinds` has seen that all of a call are of one kind, as the ops want

_BLOCK_BINS = 1 << 20  # (query, distance) pairs of one histogram block: 16 MiB of counts


@dataclass(frozen=True)
class RetrievalInputs:
    """Checked codes and labels of one evaluation; made by `prepare`.

    Attributes:
        queries: (q, bytes) uint8 packed codes.
        database: (n, bytes) uint8 packed codes.
        query_labels: (q,) int64 class ids, or (q, classes) multi-hot.
        database_labels: the same for the n database items.
        bits: code width; spare bits of the last byte are zero.
        exclude: (q,) int64, the database row that a query must not meet (-1 = none), or None.
    """

    queries: Checked
    database: Checked
    query_labels: Checked
    database_labels: Checked
    bits: int
    exclude: Checked | None

    def histograms(self) -> Iterator[tuple[slice, NDArray[np.int64]]]:
        """Blocks of queries with their (block, bits + 1, 2) int64 counts [all, relevant] by distance."""
        step = max(1, _BLOCK_BINS // (8 * self.queries.shape[1] + 1))
        for start in range(0, len(self.queries), step):
            rows = slice(start, start + step)
            counts = ops.relevance_histogram(
                self.queries[rows],
                self.database,
                self.query_labels[rows],
                self.database_labels,
                exclude=None if self.exclude is None else self.exclude[rows],
            )
            yield rows, to_numpy(counts)[:, : self.bits + 1]

    def average_precision_counts(
        self, k: int | None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
        """(precision sums, hits, relevant), each (q,), over the first k ranks by (distance, database index)."""
        sums, hits, relevant = ops.average_precision_counts(
            self.queries, self.database, self.query_labels, self.database_labels, k=k, exclude=self.exclude
        )
        return to_numpy(sums), to_numpy(hits), to_numpy(relevant)


def prepare(
    function: str,
    query_codes: Array,
    database_codes: Array,
    query_labels: Array,
    database_labels: Array,
    bits: int | None,
    exclude: Exclude,
) -> RetrievalInputs:
    """Check the arguments of the public function named ``function`` and pack the codes.

    Raises:
        TypeError: an argument of the wrong kind or dtype, or NumPy arrays and tensors in one call.
        ValueError: wrong shapes or lengths, values that are not codes or labels, non-zero spare bits.
    """
    arrays = {
        "query_codes": query_codes,
        "database_codes": database_codes,
        "query_labels": query_labels,
        "database_labels": database_labels,
    }
    if exclude is not None and not isinstance(exclude, str):
        arrays["exclude"] = exclude
    _check_kinds(function, arrays)
    for name, codes in (("query_codes", query_codes), ("database_codes", database_codes)):
        if codes.ndim != 2:
            raise ValueError(f"{function}: {name}: expected shape (rows, bytes or bits), got {tuple(codes.shape)}")
        if _dtype_family(codes) == "other":
            raise TypeError(
                f"{function}: {name}: expected packed uint8, bool, float or signed integer codes, got {codes.dtype}"
            )
    width = _code_width(function, query_codes, database_codes, bits)
    same = query_codes is database_codes
    queries = _packed(function, "query_codes", query_codes, width)
    database = queries if same else _packed(function, "database_codes", database_codes, width)
    query_labels = _labels(function, "query_labels", query_labels, len(queries))
    database_labels = _labels(function, "database_labels", database_labels, len(database))
    if query_labels.shape[1:] != database_labels.shape[1:]:
        raise ValueError(
            f"{function}: database_labels: expected the form of query_labels {tuple(query_labels.shape)}, "
            f"got {tuple(database_labels.shape)}"
        )
    rows = _exclusion(function, exclude, queries, same)
    return RetrievalInputs(queries, database, query_labels, database_labels, width, rows)


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


def to_numpy(x: Array) -> NDArray[Any]:
    """The array itself, or the tensor's values as a NumPy array on the host."""
    return x.detach().cpu().numpy() if isinstance(x, torch.Tensor) else x


def _check_kinds(function: str, arrays: dict[str, Array]) -> None:
    for name, x in arrays.items():
        if not isinstance(x, torch.Tensor | np.ndarray):
            raise TypeError(f"{function}: {name}: expected a torch tensor or a NumPy array, got {type(x).__name__}")
    if len({isinstance(x, torch.Tensor) for x in arrays.values()}) > 1:
        kinds = ", ".join(f"{name} {type(x).__name__}" for name, x in arrays.items())
        raise TypeError(f"{function}: expected torch tensors only or NumPy arrays only, got {kinds}")


def _dtype_family(x: Checked) -> str:
    """uint8, bool, float, int (signed) or other."""
    name = str(x.dtype).removeprefix("torch.") if isinstance(x, torch.Tensor) else x.dtype.name
    if name in ("uint8", "bool"):
        return name
    return next((family for family in ("float", "bfloat", "int") if name.startswith(family)), "other").removeprefix("b")


def _code_width(function: str, query_codes: Checked, database_codes: Checked, bits: int | None) -> int:
    """The width given, else that of an unpacked side, else 8 * bytes."""
    if bits is not None:
        return check_integer(function, "bits", bits, 1)
    for codes in (query_codes, database_codes):
        if _dtype_family(codes) != "uint8":
            return int(codes.shape[1])
    return 8 * int(query_codes.shape[1])


def _packed(function: str, name: str, codes: Checked, bits: int) -> Checked:
    family, columns = _dtype_family(codes), int(codes.shape[1])
    if family == "uint8":
        if columns != (bits + 7) // 8:
            raise ValueError(
                f"{function}: {name}: expected {(bits + 7) // 8} bytes a code for bits={bits}, got {columns}"
            )
        spare = 8 * columns - bits
        if spare and bool((codes[:, -1] & ((1 << spare) - 1)).any()):
            raise ValueError(
                f"{function}: {name}: expected zeros in the {spare} spare low bits for bits={bits}, got ones"
            )
        return codes
    if columns != bits:
        raise ValueError(f"{function}: {name}: expected {bits} columns, one a bit, got {columns}")
    if family == "float" and not bool((abs(codes) < float("inf")).all()):
        raise ValueError(f"{function}: {name}: expected finite values, got NaN or infinity")
    if family == "int" and not bool(((codes >= -1) & (codes <= 1)).all()):
        raise ValueError(
            f"{function}: {name}: expected only -1, 0 and 1 in {codes.dtype} codes, got other values; "
            "from_sentence_transformers turns signed bytes of packed bits into codes"
        )
    return ops.pack(codes)


def _labels(function: str, name: str, labels: Checked, rows: int) -> Checked:
    family = _dtype_family(labels)
    if labels.ndim not in (1, 2):
        raise ValueError(f"{function}: {name}: expected shape (rows,) or (rows, classes), got {tuple(labels.shape)}")
    if len(labels) != rows:
        raise ValueError(f"{function}: {name}: expected {rows} rows, one a code, got {len(labels)}")
    if labels.ndim == 1:
        if family not in ("int", "uint8"):
            raise TypeError(f"{function}: {name}: expected integer class ids in shape (rows,), got {labels.dtype}")
        return labels.to(torch.int64) if isinstance(labels, torch.Tensor) else labels.astype(np.int64, copy=False)
    if family == "other":
        raise TypeError(f"{function}: {name}: expected a bool, int or float multi-hot matrix, got {labels.dtype}")
    if family == "float" and not bool((abs(labels) < float("inf")).all()):
        raise ValueError(f"{function}: {name}: expected finite values, got NaN or infinity")
    if labels.shape[1] == 1 and bool((labels > 1).any()):
        raise ValueError(
            f"{function}: {name}: expected 0 or 1 in the one multi-hot column, got class ids; flatten them"
        )
    return labels


def _exclusion(function: str, exclude: Exclude, queries: Checked, same: bool) -> Checked | None:
    if exclude is None:
        return None
    if isinstance(exclude, str):
        check_choice(function, "exclude", exclude, ("auto",))
        if not same:
            return None
        if isinstance(queries, torch.Tensor):
            return torch.arange(len(queries), device=queries.device)
        return np.arange(len(queries))
    if tuple(exclude.shape) != (len(queries),):
        raise ValueError(f"{function}: exclude: expected shape ({len(queries)},), got {tuple(exclude.shape)}")
    return exclude
