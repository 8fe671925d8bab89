"""Rankings item by item: in index order, in two streaming passes, and by real-valued scores within a distance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fasthash import ops
from fasthash.evaluation.buckets import Buckets
from fasthash.evaluation.checks import Array, Checked, check_kinds, to_numpy
from fasthash.evaluation.counts import Counts
from fasthash.evaluation.inputs import RetrievalInputs
from fasthash.evaluation.stream import exclude_within

Whole = NDArray[np.int64]

_BLOCK_PAIRS = 1 << 20  # pairs ranked together
_FEWEST_QUERIES = 64  # in index order, where the database is cut instead


class Rerank(NamedTuple):
    """Real-valued features of both sides, (q, d) and (n, d) floats, whose inner product orders equal distances."""

    queries: Checked
    database: Checked


def check_rerank(function: str, rerank: tuple[Array, Array] | None, inputs: RetrievalInputs) -> Rerank | None:
    """The pair of matrices, or None.

    Raises:
        TypeError: not two float matrices.
        ValueError: shapes that do not fit the codes.
    """
    if rerank is None:
        return None
    if not isinstance(rerank, tuple | list) or len(rerank) != 2:
        raise TypeError(f"{function}: rerank: expected a pair, features of queries and of database items")
    pair = Rerank(*rerank)
    check_kinds(function, {"query_codes": inputs.queries, "rerank[0]": pair.queries, "rerank[1]": pair.database})
    shapes = [tuple(x.shape) for x in pair]
    fits = all(x.ndim == 2 for x in pair) and shapes[0][1:] == shapes[1][1:]
    if not fits or (shapes[0][0], shapes[1][0]) != (len(inputs.queries), len(inputs.database)):
        expected = f"({len(inputs.queries)}, d) and ({len(inputs.database)}, d)"
        raise ValueError(f"{function}: rerank: expected shapes {expected}, got {shapes[0]} and {shapes[1]}")
    return pair


def most_queries(items: int, rerank: Rerank | None) -> int:
    """Queries of one block."""
    return max(1 if rerank else _FEWEST_QUERIES, _BLOCK_PAIRS // max(1, items))


class _Before:
    """What ranks before the next item at each distance, for a block of queries: running sums, (q, bits + 1)."""

    def __init__(self, at_distance: Whole) -> None:
        self.sums = np.cumsum(at_distance, axis=1) - at_distance

    def step(self, places: Whole, values: Whole | None, at: Whole, in_chunk: Whole) -> Whole:
        """The sums before some items of a chunk; then the chunk is counted in.

        Args:
            places: of the chunk's items in the flat table.
            values: of them; None = 1 each.
            at: places of the items asked for.
            in_chunk: sums of the values that rank before them in the chunk.
        """
        here = np.bincount(places, values, self.sums.size).astype(np.int64, copy=False).reshape(self.sums.shape)
        nearer = np.cumsum(here, axis=1) - here  # in the chunk at smaller distances: in sums already
        result: Whole = (self.sums - nearer).ravel()[at] + in_chunk
        self.sums += here
        return result


def in_index_order(inputs: RetrievalInputs, counts: Counts, k: int) -> Iterator[Buckets]:
    """The relevant items among the first ``k`` ranks of a block of queries, each a bucket of its own.

    The counts (first pass) say where each distance begins. The second pass goes through the database in chunks, orders
    each by distance, and adds what came at the same distance in earlier chunks. Nothing grows with the database.

    Args:
        inputs: codes and labels.
        counts: of the block of queries; with grades and gains if the buckets shall have them.
        k: ranks, at least 1.
    """
    queries, bins = counts.size.shape
    graded = counts.by_grade is not None
    items, hits = _Before(counts.size), _Before(counts.relevant)
    grades = _Before(counts.by_grade @ np.arange(counts.by_grade.shape[2])) if counts.by_grade is not None else hits
    one_chunk = k * queries <= _BLOCK_PAIRS  # the nearest k of all hold the window
    step = max(1, len(inputs.database) if one_chunk else _BLOCK_PAIRS // queries)
    for first in range(0, len(inputs.database), step):
        chunk = inputs.database[first : first + step]
        exclude = exclude_within(inputs, counts.rows, first, len(chunk))
        found = ops.hamming_topk(inputs.queries[counts.rows], chunk, min(k, len(chunk)), exclude=exclude)
        distance, item = (to_numpy(x) for x in found)
        present = item >= 0  # all but the last place of a query whose own item was left out
        grade = inputs.grades_at(counts.rows, np.where(present, item + first, 0)) * present
        place = np.arange(queries)[:, None] * bins + distance
        query, column = np.nonzero(grade)
        own, at = grade[query, column], place[query, column]
        before = items.step(place[present], None, at, column)
        hits_before = hits.step(at, None, at, _running(query, np.ones_like(own), queries))
        grades_before = grades.step(at, own, at, _running(query, own, queries)) if graded else hits_before
        inside = before < k
        fields = (query, distance[query, column], before, hits_before, own, grades_before)
        yield _single_items(counts, *(field[inside] for field in fields))


def _running(query: Whole, values: Whole, queries: int) -> Whole:
    """Sums of the values before each one of its query; queries in ascending order."""
    sums = np.cumsum(values) - values
    starts = np.append(sums, 0)[np.searchsorted(query, np.arange(queries))]
    result: Whole = sums - starts[query]
    return result


def reranked(inputs: RetrievalInputs, counts: Counts, k: int, features: Rerank) -> Iterator[Buckets]:
    """Like `in_index_order`, but equal distances are ordered by inner product of real-valued features, then index.

    Ranks a block of queries against the whole database at once: memory grows with it, some 50 bytes an item and query.
    """
    rows = counts.rows
    distance = to_numpy(ops.hamming_distance(inputs.queries[rows], inputs.database)).astype(np.int64)
    scores = to_numpy(features.queries[rows] @ features.database.T)
    if inputs.exclude is not None:
        exclude = to_numpy(inputs.exclude[rows])
        with_one = np.flatnonzero(exclude >= 0)
        distance[with_one, exclude[with_one]] = counts.size.shape[1]  # beyond all others
    order = np.lexsort((-scores, distance), axis=1)[:, :k]
    distance = np.take_along_axis(distance, order, axis=1)
    grade = inputs.grades_at(rows, order) * (distance < counts.size.shape[1])
    query, rank = np.nonzero(grade)
    hits, grades = (np.cumsum(x, axis=1)[query, rank] for x in (grade > 0, grade))
    own = grade[query, rank]
    yield _single_items(counts, query, distance[query, rank], rank, hits - 1, own, grades - own)


def _single_items(
    counts: Counts,
    query: Whole,
    distance: Any,
    items_before: Whole,
    relevant_before: Whole,
    grade: Whole,
    grades_before: Whole,
) -> Buckets:
    one = np.ones(len(query), dtype=np.int64)
    graded = counts.by_grade is not None
    return Buckets(
        len(counts.size),
        query,
        distance.astype(np.int64),
        size=one,
        relevant=one,
        items_before=items_before,
        relevant_before=relevant_before,
        grades=grade if graded else one,
        grades_before=grades_before if graded else relevant_before,
        gains=counts.gains[grade] if counts.gains is not None else None,
        uniform=True,
    )
