"""Rows that two tables share: queries found in their own database."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fasthash.evaluation.checks import Array, Checked, check_kinds, row_blocks, to_numpy
from fasthash.evaluation.inputs import row_words
from fasthash.evaluation.merge import row_hashes


def shared_rows(function: str, queries: Array, database: Array) -> int:
    """How many rows of ``queries`` (q, d) occur in ``database`` (n, d), byte for byte.

    Raises:
        TypeError: two kinds of arrays or two dtypes.
        ValueError: shapes that do not fit.
    """
    check_kinds(function, {"query_features": queries, "database_features": database})
    if queries.ndim != 2 or database.ndim != 2 or queries.shape[1] != database.shape[1]:
        shapes = f"{tuple(queries.shape)} and {tuple(database.shape)}"
        raise ValueError(f"{function}: query_features: expected shapes (q, d) and (n, d) of features, got {shapes}")
    if queries.dtype != database.dtype:
        raise TypeError(f"{function}: database_features: expected {queries.dtype} as the queries, got {database.dtype}")
    rows = np.concatenate([_bytes(block) for block in row_blocks(queries)] or [np.zeros((0, 0), np.uint8)])
    if not rows.size:
        return 0
    hashes = row_hashes(row_words(rows))
    found: set[bytes] = set()
    for block in row_blocks(database):
        candidates = _bytes(block)
        candidates = candidates[np.isin(row_hashes(row_words(candidates)), hashes)]
        found.update(row.tobytes() for row in candidates)
    return sum(row.tobytes() in found for row in rows)


def shared_ids(queries: Any, database: Any) -> int:
    """How many of the ids of ``queries`` occur in ``database``; any sequences of numbers or of texts."""
    return int(np.isin(np.asarray(queries), np.asarray(database)).sum())


def _bytes(block: Checked) -> NDArray[np.uint8]:
    """(rows, d) of any dtype -> (rows, d * itemsize) uint8."""
    if isinstance(block, torch.Tensor):
        return to_numpy(block.contiguous().view(torch.uint8))
    return np.ascontiguousarray(block).view(np.uint8)
