"""Streams the counts of all queries through the ops, in blocks of queries and of database rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasthash import ops
from fasthash.evaluation.checks import to_numpy
from fasthash.evaluation.counts import Counts, Values, Whole
from fasthash.evaluation.inputs import RetrievalInputs
from fasthash.evaluation.merge import Layer, database_layers

_BLOCK_BINS = 1 << 17  # counts of one block of queries: 1 MiB, so that what is computed from them stays in cache
_BLOCK_GRADES = 1 << 20  # the same where grades are counted too
_BLOCK_PAIRS = 1 << 20  # pairs of one block where grades come as a matrix


def count_blocks(inputs: RetrievalInputs, gain: str | None = None, most_queries: int | None = None) -> Iterator[Counts]:
    """The counts of all queries, block by block.

    Args:
        inputs: codes and labels.
        gain: None = count relevant items; "exponential", "linear" = count each grade and give it that gain.
        most_queries: a limit for the size of a block.
    """
    bins = 8 * inputs.queries.shape[1] + 1
    step = _BLOCK_BINS // bins if gain is None else _BLOCK_GRADES // (bins * (inputs.highest_grade + 1))
    step = max(1, step if most_queries is None else min(step, most_queries))
    layers = [] if inputs.grades is not None else list(database_layers(inputs))
    for start in range(0, len(inputs.queries), step):
        rows = slice(start, min(start + step, len(inputs.queries)))
        if gain is None:
            pairs = _histogram(ops.relevance_histogram, inputs, rows, layers)[:, : inputs.bits + 1]
            yield Counts(rows, np.ascontiguousarray(pairs[..., 0]), np.ascontiguousarray(pairs[..., 1]))
            continue
        if inputs.grades is not None:
            by_grade = _histogram_of_matrix(inputs, rows)
        else:
            by_grade = _histogram(ops.overlap_histogram, inputs, rows, layers)[:, : inputs.bits + 1]
        highest = int(np.flatnonzero(by_grade.any(axis=(0, 1))).max(initial=1))
        by_grade = np.ascontiguousarray(by_grade[..., : highest + 1])
        size = by_grade.sum(axis=2)
        yield Counts(rows, size, size - by_grade[..., 0], by_grade, grade_gains(gain, highest + 1))


def grade_gains(gain: str, grades: int) -> Values:
    """(grades,) gains: 2^g - 1 for "exponential", g for "linear".

    Raises:
        ValueError: more shared labels than 2^g can grow with.
    """
    if gain == "exponential" and grades > 1024:
        raise ValueError(f"gain: expected linear where items share {grades - 1} labels, got exponential")
    grade = np.arange(grades, dtype=np.float64)
    return np.exp2(grade) - 1 if gain == "exponential" else grade


def _histogram(op: Callable[..., Any], inputs: RetrievalInputs, rows: slice, layers: list[Layer]) -> Whole:
    """Counts of a block of queries by one of the ops, added over the layers of the database."""
    total: Whole | None = None
    for layer in layers:
        counts = to_numpy(
            op(
                inputs.queries[rows],
                layer.codes,
                inputs.query_labels[rows],
                layer.labels,
                exclude=exclude_within(inputs, rows, layer.first, len(layer.codes)),
            )
        )
        if layer.weight != 1:
            counts = counts * layer.weight
        total = counts if total is None else total + counts
    assert total is not None  # even an empty database is one layer
    return total


def exclude_within(inputs: RetrievalInputs, rows: slice, first: int, items: int) -> Any:
    """The rows to leave out for a block of queries, counted from row ``first`` of the database; -1 outside."""
    if inputs.exclude is None:
        return None
    exclude = inputs.exclude[rows] - first
    exclude[(exclude < 0) | (exclude >= items)] = -1
    return exclude


def _histogram_of_matrix(inputs: RetrievalInputs, rows: slice) -> Whole:
    """(block, bits + 1, G) counts where grades were given as a matrix."""
    queries, bins = inputs.queries[rows], inputs.bits + 1
    grades = inputs.highest_grade + 1
    counts = np.zeros(len(queries) * bins * grades, dtype=np.int64)
    offset = np.arange(len(queries))[:, None] * bins
    step = max(1, _BLOCK_PAIRS // len(queries))
    for first in range(0, len(inputs.database), step):
        block = slice(first, first + step)
        distance: NDArray[Any] = to_numpy(ops.hamming_distance(queries, inputs.database[block]))
        place = (offset + distance) * grades + to_numpy(inputs.grades[rows, block])  # type: ignore[index]
        keep = np.ones(place.shape, dtype=bool)
        exclude = exclude_within(inputs, rows, first, distance.shape[1])
        if exclude is not None:
            row = np.flatnonzero(to_numpy(exclude) >= 0)
            keep[row, to_numpy(exclude)[row]] = False
        counts += np.bincount(place[keep], minlength=len(counts))
    return counts.reshape(len(queries), bins, grades)
