"""Named splits (protocols): which items are queries, database, labelled and unlabelled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Row numbers of each part of a data set, int64 and ascending.

    Attributes:
        protocol: name of the protocol that made it.
        seed: its seed.
        queries: what is searched for; never trained on.
        validation: queries for choosing options; never trained on, and in no result.
        database: what is searched.
        labelled: items trained on with their labels.
        unlabelled: items trained on without; whoever trains never sees their labels.

    Raises:
        ValueError: parts that must not share an item do.
    """

    protocol: str
    seed: int
    queries: Rows
    validation: Rows
    database: Rows
    labelled: Rows
    unlabelled: Rows

    def __post_init__(self) -> None:
        for a, b in [*combinations(("queries", "validation", "database"), 2), ("labelled", "unlabelled")]:
            self._check_disjoint(a, b)
        for held_out in ("queries", "validation"):
            for trained in ("labelled", "unlabelled"):
                self._check_disjoint(held_out, trained)

    def _check_disjoint(self, a: str, b: str) -> None:
        shared = np.intersect1d(getattr(self, a), getattr(self, b)).size
        if shared:
            raise ValueError(f"Split: {a} and {b} must be disjoint, got {shared} shared items")

    def counts(self) -> dict[str, int]:
        """Items in each part, by its name."""
        parts = ("queries", "validation", "database", "labelled", "unlabelled")
        return {part: len(getattr(self, part)) for part in parts}


def _digits_semi(labels: NDArray[Any], generator: np.random.Generator) -> dict[str, Rows]:
    if labels.shape != (1797,) or not np.array_equal(np.unique(labels), np.arange(10)):
        raise ValueError(
            f"make_split: labels of digits-semi must be the (1797,) class ids 0 to 9 of load_digits, got {labels.shape}"
        )
    classes = [generator.permutation(np.flatnonzero(labels == digit)) for digit in range(10)]

    def part(start: int, stop: int | None) -> Rows:
        return np.sort(np.concatenate([rows[start:stop] for rows in classes]))

    return {
        "queries": part(0, 30),
        "validation": part(30, 50),
        "labelled": part(50, 60),
        "unlabelled": part(60, None),
        "database": part(50, None),
    }


PROTOCOLS: dict[str, Callable[[NDArray[Any], np.random.Generator], dict[str, Rows]]] = {"digits-semi": _digits_semi}


def make_split(protocol: str, labels: Any, seed: int = 0) -> Split:
    """Draw the parts of a named protocol.

    "digits-semi", on the 1,797 items of `load_digits`: 300 queries (30 a class), 200 for validation (20 a class), a
    database of the other 1,297, of which 100 (10 a class) are labelled and 1,197 unlabelled. Training items are the
    database.

    Args:
        protocol: its name.
        labels: true class ids (n,), integers; torch or NumPy.
        seed: the same seed gives the same parts, on every machine.

    Returns:
        The split.

    Raises:
        ValueError: an unknown protocol, or labels of another data set.

    Example:
        >>> from fasthash.data import load_digits, make_split
        >>> _, labels = load_digits()
        >>> make_split("digits-semi", labels, seed=0).counts()
        {'queries': 300, 'validation': 200, 'database': 1297, 'labelled': 100, 'unlabelled': 1197}
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"make_split: protocol must be one of {sorted(PROTOCOLS)}, got {protocol!r}")
    parts = PROTOCOLS[protocol](np.asarray(labels), np.random.default_rng(seed))
    return Split(protocol=protocol, seed=seed, **parts)
