"""Checks and normalises what the evaluation functions receive: packed codes, labels, who must not meet whom."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from fasthash import ops
from fasthash.evaluation.checks import (
    Array,
    Checked,
    check_choice,
    check_finite,
    check_integer,
    check_kinds,
    dtype_family,
    row_blocks,
    to_numpy,
)

Exclude: TypeAlias = "Literal['auto'] | Array | None"
Relevance: TypeAlias = Literal["share", "identical"]


@dataclass(frozen=True)
class RetrievalInputs:
    """Checked codes and labels of one evaluation; made by `prepare`.

    Attributes:
        queries: (q, bytes) uint8 packed codes.
        database: (n, bytes) uint8 packed codes.
        query_labels: (q,) int64 class ids, or (q, classes) multi-hot; None where grades are given.
        database_labels: the same for the n database items.
        bits: code width; spare bits of the last byte are zero.
        exclude: (q,) int64, the database row that a query must not meet (-1 = none), or None.
        relevance: "share" a label, "identical" label sets, or "given" by grades.
        grades: (q, n) non-negative integers, or None.
    """

    queries: Checked
    database: Checked
    query_labels: Checked
    database_labels: Checked
    bits: int
    exclude: Checked | None
    relevance: str = "share"
    grades: Checked | None = None

    @cached_property
    def fewest_items(self) -> int:
        """Items that each query meets at least."""
        excludes = self.exclude is not None and bool((self.exclude >= 0).any())
        return len(self.database) - int(excludes)

    @cached_property
    def highest_grade(self) -> int:
        """An upper bound of the grades."""
        if self.grades is not None:
            return max((int(block.max()) for block in row_blocks(self.grades) if block.shape[1]), default=0)
        return 1 if self.query_labels.ndim == 1 else int(self.query_labels.shape[1])

    def grades_at(self, rows: slice, items: NDArray[np.int64]) -> NDArray[np.int64]:
        """Grades of a block of queries and (block, m) database rows of each: (block, m), 1 and 0 for class ids."""
        if self.grades is not None:
            return np.take_along_axis(to_numpy(self.grades[rows]), items, axis=1).astype(np.int64)
        of_queries, of_items = self._host_labels
        if of_queries.ndim == 1:
            own = of_queries[rows, None]
            return np.asarray((of_items[items] == own) & (own >= 0), dtype=np.int64)
        shared = np.zeros(items.shape, dtype=np.int64)
        for word in range(of_items.shape[1]):
            shared += np.bitwise_count(of_items[:, word][items] & of_queries[rows, word, None])
        return shared

    @cached_property
    def _host_labels(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Class ids, or label sets as words (rows, words), of queries and database."""
        own = host_labels(self.query_labels), host_labels(self.database_labels)
        return own if own[0].ndim == 1 else (row_words(own[0]), row_words(own[1]))


def host_labels(labels: Checked) -> NDArray[Any]:
    """(n,) class ids as they are, (n, classes) multi-hot as (n, bytes) packed sets; NumPy."""
    if labels.ndim == 1:
        return to_numpy(labels)
    packed = [np.packbits(to_numpy(block > 0), axis=1) for block in row_blocks(labels)]
    return np.concatenate(packed) if packed else np.zeros((0, (labels.shape[1] + 7) // 8), np.uint8)


def row_words(codes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """(n, bytes) uint8 -> (n, ceil(bytes / 8)) uint64 with the same bytes and zeros behind."""
    padded = np.zeros((len(codes), -(-codes.shape[1] // 8) * 8), dtype=np.uint8)
    padded[:, : codes.shape[1]] = codes
    return padded.view(np.uint64)


def prepare(
    function: str,
    query_codes: Array,
    database_codes: Array,
    query_labels: Array | None,
    database_labels: Array | None,
    bits: int | None,
    exclude: Exclude,
    relevance: Relevance = "share",
    grades: Array | None = None,
) -> RetrievalInputs:
    """Check the arguments of the public function named ``function`` and pack the codes.

    Raises:
        TypeError: an argument of the wrong kind or dtype, or NumPy arrays and tensors in one call.
        ValueError: wrong shapes or lengths, values that are not codes or labels, non-zero spare bits.
    """
    check_choice(function, "relevance", relevance, ("share", "identical"))
    arrays = {"query_codes": query_codes, "database_codes": database_codes}
    if grades is None:
        arrays |= {"query_labels": query_labels, "database_labels": database_labels}  # type: ignore[dict-item]
    else:
        if query_labels is not None or database_labels is not None:
            raise ValueError(f"{function}: grades: expected None for both labels where grades are given")
        arrays["grades"] = grades
    if exclude is not None and not isinstance(exclude, str):
        arrays["exclude"] = exclude
    check_kinds(function, arrays)
    for name, codes in (("query_codes", query_codes), ("database_codes", database_codes)):
        if codes.ndim != 2:
            raise ValueError(f"{function}: {name}: expected shape (rows, bytes or bits), got {tuple(codes.shape)}")
        if dtype_family(codes) == "other":
            raise TypeError(
                f"{function}: {name}: expected packed uint8, bool, float or signed integer codes, got {codes.dtype}"
            )
    width = _code_width(function, query_codes, database_codes, bits)
    same = query_codes is database_codes
    queries = _packed(function, "query_codes", query_codes, width)
    database = queries if same else _packed(function, "database_codes", database_codes, width)
    rows = _exclusion(function, exclude, queries, len(database), same)
    if grades is not None:
        _check_grades(function, grades, len(queries), len(database))
        return RetrievalInputs(queries, database, None, None, width, rows, "given", grades)
    query_labels = _labels(function, "query_labels", query_labels, len(queries))
    database_labels = _labels(function, "database_labels", database_labels, len(database))
    if query_labels.shape[1:] != database_labels.shape[1:]:
        raise ValueError(
            f"{function}: database_labels: expected the form of query_labels {tuple(query_labels.shape)}, "
            f"got {tuple(database_labels.shape)}"
        )
    inputs = RetrievalInputs(queries, database, query_labels, database_labels, width, rows)
    return _by_identity(inputs) if relevance == "identical" else inputs


def _by_identity(inputs: RetrievalInputs) -> RetrievalInputs:
    """The same inputs where only equal, non-empty label sets are relevant: each set becomes a class."""
    if inputs.query_labels.ndim == 1:
        return replace(inputs, relevance="identical")
    sets = np.concatenate([host_labels(inputs.query_labels), host_labels(inputs.database_labels)])
    ids = np.unique(sets, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    ids[~sets.any(axis=1)] = -1
    sides: list[Any] = np.split(ids, [len(inputs.queries)])
    if isinstance(inputs.queries, torch.Tensor):
        sides = [torch.from_numpy(side).to(inputs.queries.device) for side in sides]
    return replace(inputs, query_labels=sides[0], database_labels=sides[1], relevance="identical")


def _code_width(function: str, query_codes: Checked, database_codes: Checked, bits: int | None) -> int:
    """The width given, else that of an unpacked side, else 8 * bytes."""
    if bits is not None:
        return check_integer(function, "bits", bits, 1)
    for codes in (query_codes, database_codes):
        if dtype_family(codes) != "uint8":
            return int(codes.shape[1])
    return 8 * int(query_codes.shape[1])


def _packed(function: str, name: str, codes: Checked, bits: int) -> Checked:
    family, columns = dtype_family(codes), int(codes.shape[1])
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
    if family == "float":
        check_finite(function, name, codes)
    if family == "int" and not all(bool(((block >= -1) & (block <= 1)).all()) for block in row_blocks(codes)):
        raise ValueError(
            f"{function}: {name}: expected only -1, 0 and 1 in {codes.dtype} codes, got other values; "
            "from_sentence_transformers turns signed bytes of packed bits into codes"
        )
    return ops.pack(codes)


def _labels(function: str, name: str, labels: Checked, rows: int) -> Checked:
    family = dtype_family(labels)
    if labels.ndim not in (1, 2):
        raise ValueError(f"{function}: {name}: expected shape (rows,) or (rows, classes), got {tuple(labels.shape)}")
    if len(labels) != rows:
        raise ValueError(f"{function}: {name}: expected {rows} rows, one a code, got {len(labels)}")
    if labels.ndim == 1:
        if family not in ("int", "uint8"):
            raise TypeError(f"{function}: {name}: expected integer class ids in shape (rows,), got {labels.dtype}")
        if rows and int(labels.min()) < -1:
            raise ValueError(f"{function}: {name}: expected class ids from -1 (none) up, got {int(labels.min())}")
        return labels.to(torch.int64) if isinstance(labels, torch.Tensor) else labels.astype(np.int64, copy=False)
    if family == "other":
        raise TypeError(f"{function}: {name}: expected a bool, int or float multi-hot matrix, got {labels.dtype}")
    if family == "float":
        check_finite(function, name, labels)
    if labels.shape[1] == 1 and bool((labels > 1).any()):
        raise ValueError(
            f"{function}: {name}: expected 0 or 1 in the one multi-hot column, got class ids; flatten them"
        )
    return labels


def _check_grades(function: str, grades: Checked, queries: int, items: int) -> None:
    if tuple(grades.shape) != (queries, items):
        raise ValueError(f"{function}: grades: expected shape ({queries}, {items}), got {tuple(grades.shape)}")
    if dtype_family(grades) not in ("int", "uint8", "bool"):
        raise TypeError(f"{function}: grades: expected whole numbers, got {grades.dtype}")
    for block in row_blocks(grades):
        if block.shape[1] and not 0 <= int(block.min()) <= int(block.max()) <= 255:
            raise ValueError(f"{function}: grades: expected 0 to 255, got {int(block.min())} to {int(block.max())}")


def _exclusion(function: str, exclude: Exclude, queries: Checked, items: int, same: bool) -> Checked | None:
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
    if dtype_family(exclude) != "int" or exclude.itemsize != 8:
        raise TypeError(f"{function}: exclude: expected int64, got {exclude.dtype}")
    if len(exclude) and not -1 <= int(exclude.min()) <= int(exclude.max()) < items:
        raise ValueError(
            f"{function}: exclude: expected -1 or a row of the {items} database codes, "
            f"got {int(exclude.min())} to {int(exclude.max())}"
        )
    return exclude
