"""Splits of one's own: of data without a published protocol, and of a protocol with fewer labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from fasthash.data.splits.draw import Shuffle, count_argument
from fasthash.data.splits.split import Rows, Split


def draw_split(
    labels: Any, *, queries: int, labelled: int, validation: int = 0, seed: int = 0, name: str = "drawn"
) -> Split:
    """Queries, validation and labelled items drawn evenly over the classes; all else is unlabelled.

    The database is everything but queries and validation. Items without a label (-1, or an all-zero row) are unlabelled
    ones. Under multi-hot labels the items are drawn from all that have a label, whatever their classes.

    Args:
        labels: class ids (n,), or multi-hot (n, classes); torch or NumPy.
        queries: items searched for; a multiple of the classes, as are the next two.
        labelled: items trained on with their labels.
        validation: queries for choosing options.
        seed: the same seed gives the same parts, on every machine and under every NumPy.
        name: of the split.

    Raises:
        TypeError: class ids or counts that are no integers.
        ValueError: counts that are no multiple of the classes, or more items than a class has.

    Example:
        >>> from fasthash.data import draw_split, load_digits
        >>> split = draw_split(load_digits()[1], queries=100, labelled=50)
        >>> split.counts()
        {'queries': 100, 'validation': 0, 'database': 1697, 'labelled': 50, 'unlabelled': 1647}
    """
    known = _labels("draw_split", labels)
    wanted = {"queries": queries, "validation": validation, "labelled": labelled}
    orders = [Shuffle(seed, number)(rows) for number, rows in enumerate(_classes(known, np.arange(len(known))))]
    parts: dict[str, Rows] = {}
    for part, count in wanted.items():
        parts[part], orders = _take("draw_split", part, count_argument(f"draw_split: {part}", count), orders)
    held_out = np.concatenate([parts["queries"], parts["validation"]])
    database = np.setdiff1d(np.arange(len(known)), held_out)
    unlabelled = np.setdiff1d(database, parts["labelled"])
    return Split(
        name,
        seed,
        queries=parts["queries"],
        validation=parts["validation"],
        database=database,
        labelled=parts["labelled"],
        unlabelled=unlabelled,
    )


def keep_labelled(
    split: Split, labels: Any, count: int, *, seed: int = 0, others: Literal["drop", "unlabelled"] = "drop"
) -> Split:
    """The split with fewer labelled items, drawn evenly over the classes; its queries and database stay.

    Args:
        split: where to start.
        labels: true labels of all items, as `make_split` takes them.
        count: labelled items to keep, a multiple of the classes.
        seed: of the draw.
        others: "drop" trains without the items that lose their label, so that the unlabelled part stays the protocol's;
            "unlabelled" moves them there.

    Returns:
        A split named "PROTOCOL, COUNT labels".

    Raises:
        TypeError: class ids or a count that are no integers.
        ValueError: a count that is no multiple of the classes, or more items than a class has labelled.

    Example:
        >>> from fasthash.data import keep_labelled, load_digits, make_split
        >>> _, labels = load_digits()
        >>> few = keep_labelled(make_split("digits-semi", labels), labels, 20)
        >>> few.protocol, few.counts()["labelled"], few.counts()["unlabelled"]
        ('digits-semi, 20 labels', 20, 1197)
    """
    if others not in ("drop", "unlabelled"):
        raise ValueError(f'keep_labelled: others must be "drop" or "unlabelled", got {others!r}')
    known = _labels("keep_labelled", labels)
    orders = [Shuffle(seed, 2, number)(rows) for number, rows in enumerate(_classes(known, split.labelled))]
    kept, _ = _take("keep_labelled", "labelled", count_argument("keep_labelled: count", count), orders)
    unlabelled = split.unlabelled
    if others == "unlabelled":
        unlabelled = np.concatenate([unlabelled, np.setdiff1d(split.labelled, kept)])
    name = f"{split.protocol}, {count} labels"
    return replace(split, protocol=name, seed=seed, labelled=kept, unlabelled=unlabelled)


def _labels(function: str, labels: Any) -> NDArray[Any]:
    found = labels.detach().cpu().numpy() if isinstance(labels, torch.Tensor) else np.asarray(labels)
    if found.ndim not in (1, 2) or (found.ndim == 1 and found.dtype.kind not in "iu"):
        raise TypeError(
            f"{function}: labels: expected integer class ids (n,) or multi-hot rows (n, classes), got {found.dtype} of "
            f"shape {found.shape}"
        )
    return found


def _classes(labels: NDArray[Any], rows: Rows) -> list[Rows]:
    """Those of the rows that have a label, by class; in one group if they may have several."""
    if labels.ndim == 2:
        return [rows[labels[rows].any(1)]]
    ids = labels[rows]
    return [rows[ids == number] for number in np.unique(ids[ids >= 0])]


def _take(function: str, part: str, count: int, orders: list[Rows]) -> tuple[Rows, list[Rows]]:
    """The first rows of each order, `count` in all, and what is left of the orders."""
    each, over = divmod(count, max(len(orders), 1))
    if over or each > min((len(order) for order in orders), default=0):
        raise ValueError(
            f"{function}: {part}: expected a multiple of {len(orders)} classes, at most "
            f"{min((len(order) for order in orders), default=0)} of each, got {count}"
        )
    taken = [np.empty(0, np.int64), *(order[:each] for order in orders)]
    return np.concatenate(taken), [order[each:] for order in orders]
