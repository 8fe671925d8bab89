"""A plain model of the index: lists, a full distance matrix, a stable sort."""

from __future__ import annotations

import numpy as np

NO_DISTANCE = np.iinfo(np.int32).max


class Model:
    """What `HammingIndex` promises, in the simplest words."""

    def __init__(self, width: int) -> None:
        self.ids: list[int] = []
        self.codes = np.zeros((0, width), dtype=np.uint8)
        self.next_id = 0

    def add(self, codes, ids=None) -> None:
        ids = list(range(self.next_id, self.next_id + len(codes))) if ids is None else [int(i) for i in ids]
        self.ids += ids
        self.codes = np.concatenate([self.codes, codes])
        self.next_id = max([self.next_id, *(i + 1 for i in ids)])

    def remove(self, ids) -> None:
        keep = [i not in set(ids) for i in self.ids]
        self.codes = self.codes[keep]
        self.ids = [i for i, kept in zip(self.ids, keep, strict=True) if kept]

    def _ranked(self, query, allowed):
        distances = np.bitwise_count(self.codes ^ query).sum(axis=1, dtype=np.int64)
        rows = [row for row in np.argsort(distances, kind="stable") if allowed is None or self.ids[row] in allowed]
        return [(int(distances[row]), self.ids[row]) for row in rows]

    def search(self, queries, k, allowed=None):
        distances = np.full((len(queries), k), NO_DISTANCE, dtype=np.int32)
        ids = np.full((len(queries), k), -1, dtype=np.int64)
        for i, query in enumerate(queries):
            for j, (distance, id) in enumerate(self._ranked(query, allowed)[:k]):
                distances[i, j], ids[i, j] = distance, id
        return distances, ids

    def range_search(self, queries, radius, allowed=None):
        found = [[pair for pair in self._ranked(query, allowed) if pair[0] <= radius] for query in queries]
        offsets = np.cumsum([0, *map(len, found)])
        flat = np.array([pair for pairs in found for pair in pairs], dtype=np.int64).reshape(-1, 2)
        return offsets, flat[:, 0].astype(np.int32), flat[:, 1]


def assert_same(index, model, queries, k=5, radius=9) -> None:
    """An index answers as the model, with and without a filter."""
    assert len(index) == len(model.ids)
    assert index.ids.tolist() == model.ids
    assert index.next_id == model.next_id
    np.testing.assert_array_equal(index.codes, model.codes)
    some = model.ids[::3]
    mask = np.arange(len(model.ids)) % 3 == 0
    for allowed, filters in ((None, [None]), (set(some), [some, some[::-1] + some[:1], mask]), (set(), [[]])):
        for filter in filters:
            for got, expected in zip(
                index.search(queries, k, filter=filter), model.search(queries, k, allowed), strict=True
            ):
                np.testing.assert_array_equal(got, expected)
            ranges = index.range_search(queries, radius, filter=filter), model.range_search(queries, radius, allowed)
            for got, expected in zip(*ranges, strict=True):
                np.testing.assert_array_equal(got, expected)
