"""Equal codes with equal labels counted once: learned codes collapse, often to a few dozen in a whole database.

The ops know no weights, so a row that stands for w equal ones joins one layer for each binary digit of w, and the
counts of that layer are multiplied. What comes out is the same to the last digit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fasthash.evaluation.checks import Checked, to_numpy
from fasthash.evaluation.inputs import RetrievalInputs, host_labels, row_words

_BLOCK_ROWS = 1 << 18  # database rows merged, or handed to an op, at a time
_BLOCK_LABELS = 1 << 24  # their label entries, which the ops turn into packed sets
_SAMPLE = 2048  # rows looked at first
_WORTH = 2  # rows must become fewer by this factor


class Layer(NamedTuple):
    """Database rows that count ``weight`` times each.

    ``first`` is the row number of the first one in the database; merged layers have no row numbers, and none are asked
    for, as nothing is merged where a row is to be excluded.
    """

    weight: int
    codes: Checked
    labels: Checked
    first: int


class Merged(NamedTuple):
    """Row numbers of the different rows (m,), how often each occurs (m,), and which one each row is (n,)."""

    rows: NDArray[np.int64]
    times: NDArray[np.int64]
    inverse: NDArray[np.int64]


def database_layers(inputs: RetrievalInputs) -> Iterator[Layer]:
    """The database in blocks, each of them merged where that makes it much shorter."""
    classes = inputs.database_labels.shape[1] if inputs.database_labels.ndim == 2 else 1
    step = max(1, min(_BLOCK_ROWS, _BLOCK_LABELS // classes))
    for first in range(0, max(1, len(inputs.database)), step):
        codes, labels = inputs.database[first : first + step], inputs.database_labels[first : first + step]
        merged = _merge(inputs, codes, labels)
        if merged is None:
            yield Layer(1, codes, labels, first)
            continue
        for digit in range(int(merged.times.max()).bit_length()):
            rows = _like(codes, merged.rows[(merged.times >> digit) & 1 == 1])
            if len(rows):
                yield Layer(1 << digit, codes[rows], labels[rows], first)


def different_queries(inputs: RetrievalInputs) -> tuple[RetrievalInputs, Merged | None]:
    """The inputs with equal queries once, and how to go back; as they are where that saves little."""
    merged = _merge(inputs, inputs.queries, inputs.query_labels)
    if merged is None:
        return inputs, None
    rows = _like(inputs.queries, merged.rows)
    return replace(inputs, queries=inputs.queries[rows], query_labels=inputs.query_labels[rows]), merged


def row_hashes(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """(n, w) uint64 -> (n,) uint64; the row itself for one word, so that equal hashes are equal rows there."""
    hashes = words[:, 0].copy()
    for column in words.T[1:]:
        hashes ^= hashes >> np.uint64(29)
        hashes *= np.uint64(0xBF58476D1CE4E5B9)  # the multiplier of splitmix64
        hashes ^= hashes >> np.uint64(32)
        hashes += column
    return hashes


def _merge(inputs: RetrievalInputs, codes: Checked, labels: Checked) -> Merged | None:
    """None where rows are needed one by one, or few are equal."""
    if inputs.exclude is not None or inputs.grades is not None or len(codes) < 2 * _SAMPLE or _on_device(codes):
        return None
    sample = slice(None, None, len(codes) // _SAMPLE)
    seen = len(np.unique(row_hashes(_key(codes[sample], labels[sample]))))
    if seen * _WORTH > _SAMPLE:
        return None
    key = _key(codes, labels)
    _, rows, inverse, count = np.unique(row_hashes(key), return_index=True, return_inverse=True, return_counts=True)
    digits = np.bitwise_count(count).sum()
    if int(digits) * _WORTH > len(codes) or not np.array_equal(key[rows][inverse], key):
        return None
    return Merged(rows, count, inverse)


def _key(codes: Checked, labels: Checked) -> NDArray[np.uint64]:
    """Code and labels of each row as words."""
    own = host_labels(labels)
    own_words = own.astype(np.uint64)[:, None] if own.ndim == 1 else row_words(own)
    return np.concatenate([row_words(to_numpy(codes)), own_words], axis=1)


def _on_device(x: Checked) -> bool:
    return isinstance(x, torch.Tensor) and x.device.type != "cpu"


def _like(x: Checked, rows: NDArray[np.int64]) -> Any:
    return torch.from_numpy(rows) if isinstance(x, torch.Tensor) else rows
