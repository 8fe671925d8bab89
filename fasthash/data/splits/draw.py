"""Protocols whose rule is a draw or a place in the data set."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fasthash.data.splits.protocol import DRAWN, Protocol
from fasthash.data.splits.published import PROTOCOLS, find
from fasthash.data.splits.split import Rows, Split


class Shuffle:
    """Random orders that are the same under every NumPy.

    NumPy lets the methods of its `Generator` change from release to release (NEP 19), so the shuffle is written out
    over the 64-bit words of PCG64, each of them two 32-bit numbers, the low half first. From the last place down to
    place 1, a place changes with the place that the lowest bits of the next number name: as many bits as the place's
    own number has, and a further number while they name a place above (Fisher and Yates).
    `numpy.random.default_rng(seed).permutation` of NumPy 2.4 gives the same orders.

    Args:
        seed: integers >= 0.

    Example:
        >>> import numpy as np
        >>> from fasthash.data.splits.draw import Shuffle
        >>> Shuffle(0)(np.arange(8)).tolist()
        [2, 4, 3, 6, 5, 0, 1, 7]
    """

    def __init__(self, *seed: int) -> None:
        self._halves = _halves(np.random.PCG64(seed))

    def __call__(self, rows: Rows) -> Rows:
        """The rows in a random order; the next call goes on in the stream."""
        shuffled = rows.tolist()
        for place in range(len(rows) - 1, 0, -1):
            mask = (1 << place.bit_length()) - 1
            other = next(self._halves) & mask
            while other > place:
                other = next(self._halves) & mask
            shuffled[place], shuffled[other] = shuffled[other], shuffled[place]
        return np.array(shuffled, dtype=np.int64)


def _halves(words: np.random.PCG64) -> Iterator[int]:
    while True:
        for word in words.random_raw(1024).tolist():
            yield word & 0xFFFFFFFF
            yield word >> 32


def make_split(protocol: str, labels: Any, seed: int = 0, *, validation: int = 0) -> Split:
    """Draw the parts of a named protocol; `protocols` lists them with their counts, rules and sources.

    Classes are taken in the order of their ids. Each class's items are shuffled, and each part in turn (queries,
    validation, labelled, unlabelled) takes the first ones that no part has yet; an item with several classes counts
    for the one that drew it. A part that takes everything left takes it undrawn. Under a uniform rule all items are
    one class; under a fixed one nothing is drawn.

    Args:
        protocol: its name.
        labels: true labels of all items of the data set, in its order: class ids (n,), or multi-hot (n, classes), an
            all-zero row = no label; torch or NumPy. Data sets with one class an item take one-hot rows as well.
        seed: the same seed gives the same parts, on every machine and under every NumPy.
        validation: items taken out of the labelled ones, evenly over the classes where each has one, and out of the
            database if they were there: queries for choosing options, so that nobody chooses on the test queries. Train
            and report with 0 once the options stand.

    Returns:
        The split.

    Raises:
        TypeError: labels that are no integers, floats or bools, or a seed or validation that is no integer.
        ValueError: an unknown protocol or one that lists decide, labels of another form of the data set, a negative
            seed, or more validation items than there are.

    Example:
        >>> from fasthash.data import load_digits, make_split
        >>> _, labels = load_digits()
        >>> print(make_split("digits-semi", labels, seed=0))
        digits-semi, seed 0, split f65889b82a2a62f7ec0be17283ef5b4a
        queries       300
        validation    200
        database    1,297
        labelled      100  100 of them in the database
        unlabelled  1,197  1,197 of them in the database
    """
    rule = find("make_split", protocol)
    if rule.chosen == "lists":
        raise ValueError(
            f"make_split: protocol: expected one with a rule, got {protocol!r}: read_split reads its lists"
        )
    known = _checked_labels(rule, labels)
    seed, validation = count_argument("make_split: seed", seed), count_argument("make_split: validation", validation)
    drawn = rule.chosen != "fixed"
    parts = _draw(rule, known, Shuffle(seed)) if drawn else _fixed(rule, known)
    left_out = [parts["queries"], parts["validation"]]
    if rule.searched == "all but queries and labelled":
        left_out.append(parts["labelled"])
    database = parts["queries"]
    if rule.searched != "queries":
        database = np.setdiff1d(np.arange(len(known)), np.concatenate(left_out))
    split = Split(protocol, seed if drawn else None, database=database, same_items=rule.searched == "queries", **parts)
    return hold_out("make_split", split, known, validation, seed)


def _draw(protocol: Protocol, labels: NDArray[Any], shuffle: Shuffle) -> dict[str, Rows]:
    if protocol.chosen == "uniform":
        groups = [np.arange(len(labels))]
    elif protocol.multi_label:
        groups = [np.flatnonzero(column) for column in labels.T]
    else:
        groups = [np.flatnonzero(labels == number) for number in range(protocol.classes)]
    orders = [shuffle(rows) for rows in groups]
    free = np.ones(len(labels), dtype=bool)
    parts: dict[str, Rows] = {}
    for part in DRAWN:
        wanted = getattr(protocol, part)
        if wanted == free.sum():
            parts[part] = np.flatnonzero(free)
            free[:] = False
            continue
        parts[part] = np.empty(0, np.int64)
        for number, order in enumerate(orders):
            rows = order[free[order]][: wanted // len(orders)]
            if len(rows) < wanted // len(orders):
                raise ValueError(
                    f"make_split: labels: expected {wanted // len(orders)} items of class {number} for the {part} of "
                    f"{protocol.name}, got {len(rows)}"
                )
            free[rows] = False
            parts[part] = np.append(parts[part], rows)
    return parts


def _fixed(protocol: Protocol, labels: NDArray[Any]) -> dict[str, Rows]:
    rows = np.arange(len(labels))
    queries = rows[-protocol.queries :]
    found = np.bincount(labels[queries], minlength=protocol.classes).tolist()
    if found != list(protocol.query_classes):
        raise ValueError(
            f"make_split: labels: expected {list(protocol.query_classes)} items of each class among the last "
            f"{protocol.queries} of {protocol.data}, got {found}"
        )
    none = np.empty(0, np.int64)
    return {"queries": queries, "validation": none, "labelled": rows[: -protocol.queries], "unlabelled": none}


def hold_out(function: str, split: Split, labels: NDArray[Any] | None, count: int, seed: int) -> Split:
    """Move `count` labelled items to the validation part, evenly over classes if labels are class ids (n,).

    Raises:
        ValueError: the protocol has a validation part, or the labelled items do not suffice; it names `function`.
    """
    if not count:
        return split
    if len(split.validation):
        raise ValueError(
            f"{function}: validation: expected 0 with {split.protocol}, which has its own validation part, got {count}"
        )
    if not len(split.labelled):
        raise ValueError(f"{function}: validation: expected 0 with {split.protocol}, which labels no item, got {count}")
    groups = [split.labelled]
    if labels is not None and labels.ndim == 1:
        ids = labels[split.labelled]
        groups = [split.labelled[ids == number] for number in np.unique(ids)]
    each, over = divmod(count, len(groups))
    if over or each >= min(len(rows) for rows in groups):
        raise ValueError(
            f"{function}: validation: expected a multiple of {len(groups)} that leaves labelled items of each class, "
            f"got {count} of {len(split.labelled)}"
        )
    shuffle = Shuffle(seed, 1)
    held_out = np.concatenate([shuffle(rows)[:each] for rows in groups])
    labelled, database = np.setdiff1d(split.labelled, held_out), np.setdiff1d(split.database, held_out)
    return replace(split, seed=seed, validation=held_out, labelled=labelled, database=database)


def count_argument(name: str, value: Any) -> int:
    """The value as an int >= 0; errors begin with `name`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an integer, got {type(value).__name__}") from None
    if number < 0:
        raise ValueError(f"{name}: expected an integer >= 0, got {number}")
    return number


def _checked_labels(protocol: Protocol, labels: Any) -> NDArray[Any]:
    """Class ids (n,) int64, or multi-hot rows (n, classes) bool, of the form that the protocol is for."""
    found = labels.detach().cpu().numpy() if isinstance(labels, torch.Tensor) else np.asarray(labels)
    if found.dtype.kind not in "biuf" or (found.ndim == 1 and found.dtype.kind not in "iu"):
        raise TypeError(f"make_split: labels: expected integer class ids or multi-hot rows, got {found.dtype}")

    def refuse(got: str) -> ValueError:
        return ValueError(f"make_split: labels: expected {protocol.form} of {protocol.data}, got {got}")

    one_hot = (protocol.items, protocol.classes)
    if found.shape != one_hot and (protocol.multi_label or found.shape != one_hot[:1]):
        raise refuse(f"shape {found.shape}{_other_forms(found)}")
    if found.ndim == 2:
        if not np.isin(found, (0, 1)).all():
            raise refuse("values that are not 0 or 1")
        found = found.astype(bool)
        missing = int((~found.any(1)).sum())
        if protocol.multi_label:
            if missing and not protocol.some_without_label:
                raise refuse(f"{missing} items without a label")
            return found
        if missing or (found.sum(1) > 1).any():
            raise refuse("rows without exactly one class")
        found = found.argmax(1)
    sizes = np.bincount(found[found >= 0], minlength=protocol.classes)
    if found.min() < 0 or len(sizes) > protocol.classes or not sizes.all():
        raise refuse(f"{len(np.unique(found))} different ids from {found.min()} to {found.max()}")
    if protocol.balanced and sizes.min() != sizes.max():
        raise refuse(f"classes of {sizes.min()} to {sizes.max()} items, not all {len(found) // protocol.classes}")
    return found.astype(np.int64)


def _other_forms(labels: NDArray[Any]) -> str:
    """Who wants labels of this shape."""
    names = [
        protocol.name
        for protocol in PROTOCOLS.values()
        if labels.shape == (protocol.items, protocol.classes)
        or (not protocol.multi_label and labels.shape == (protocol.items,))
    ]
    return f": the form of {', '.join(names)}" if names else ""
