"""Ten queries and the images nearest to them, and from there on the nearest of those, as far as pictures may go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fasthash.ops import hamming_topk
from fasthash.report.items import Items
from fasthash.report.measured import Measured
from fasthash.report.thumbnails import Album

QUERIES, NEAREST = 10, 10
MOST = 400
"""Items whose nearest are kept, at most."""


@dataclass(frozen=True)
class Found:
    """An item that a search gave: its row, its distance in bits, and whether it is relevant to the query."""

    row: int
    distance: int
    relevant: bool


@dataclass(frozen=True, eq=False)
class Grid:
    """What searches give.

    Attributes:
        queries: rows of the first queries.
        nearest: by row of the query, these and every item whose nearest have pictures on the page.
        titles: of all rows that occur.
    """

    queries: list[int]
    nearest: dict[int, list[Found]]
    titles: dict[int, str]


def make_grid(measured: Measured, items: Items, album: Album, limit: int) -> Grid:
    """Search with ten queries, then with what was found, and so on while pictures fit into the limit, bytes.

    Args:
        measured: with codes "queries" and "database", in the order of the split's rows.
        items: images.
        album: takes the pictures.
        limit: of the album's size.

    Raises:
        ValueError: codes that are not there, or not one for each row of the split.
    """
    split = items.split
    for name, rows in (("queries", split.queries), ("database", split.database)):
        codes = measured.codes.get(name)
        if codes is None or len(codes) != len(rows):
            got = "none" if codes is None else f"{len(codes):,}"
            raise ValueError(
                f"codes/{name}.safetensors must hold {len(rows):,} codes of {measured.bits} bits, got {got}"
            )
    queries, database = measured.codes["queries"], measured.codes["database"]
    relevance = str(measured.reports[""].settings["relevance"])
    places = {int(row): place for place, row in enumerate(split.database)}

    def search(rows: list[int], codes: Tensor) -> list[list[Found]]:
        own = torch.tensor([places.get(row, -1) for row in rows], dtype=torch.int64)  # no item meets itself
        distances, found = hamming_topk(codes, database, min(NEAREST, len(database)), exclude=own)
        results = []
        for row, numbers, bits in zip(rows, found.numpy(), distances.tolist(), strict=True):
            there = split.database[numbers[numbers >= 0]]
            right = items.relevant(row, there, relevance).tolist()
            results.append([Found(*found) for found in zip(there.tolist(), bits, right, strict=False)])
        return results

    chosen = _queries(items)
    waiting = split.queries[chosen].tolist()
    results = search(waiting, queries[chosen])
    starts: list[int] = []
    nearest: dict[int, list[Found]] = {}
    tried = set(waiting)
    while waiting:
        added = {
            row: found
            for row, found in zip(waiting, results, strict=True)
            if album.add([row, *(item.row for item in found)], limit)
        }
        nearest |= added
        starts = starts or [*added]
        new = dict.fromkeys(item.row for found in added.values() for item in found if item.row not in tried)
        waiting = [*new][: MOST - len(nearest)]
        tried.update(waiting)
        results = search(waiting, database[torch.tensor([places[row] for row in waiting], dtype=torch.int64)])
    shown = {*nearest, *(item.row for found in nearest.values() for item in found)}
    return Grid(starts, nearest, {row: items.title(row) for row in sorted(shown)})


def _queries(items: Items) -> list[int]:
    """Places of ten queries: the first of each class in turn, whatever they find, or evenly spread ones."""
    labels = items.dataset.labels[items.split.queries]
    count = min(QUERIES, len(labels))
    if labels.ndim == 1:
        first = [int(np.flatnonzero(labels == c)[0]) for c in np.unique(labels[labels >= 0])[:QUERIES]]
        return sorted({*first, *[i for i in range(len(labels)) if i not in first][: count - len(first)]})
    return np.linspace(0, len(labels) - 1, count).astype(np.int64).tolist() if count else []
