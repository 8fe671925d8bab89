"""Protocols whose parts stand in lists that authors published; the user's copies are read, none are shipped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fasthash.data.splits.draw import count_argument, hold_out
from fasthash.data.splits.protocol import DRAWN, Protocol
from fasthash.data.splits.published import find
from fasthash.data.splits.split import PARTS, Split

File = str | PathLike[str]
Files = Mapping[str, File | tuple[File, File]]


class ListedSplit(NamedTuple):
    """A split and what its rows are.

    Attributes:
        split: the parts; its rows are places in `names`, so features and images must be put in that order.
        names: every item of the lists, once, sorted.
        labels: int64 class ids (n,) or uint8 multi-hot (n, classes) by the protocol; None if the lists hold none.
    """

    split: Split
    names: tuple[str, ...]
    labels: NDArray[Any] | None


class _List(NamedTuple):
    names: list[str]
    labels: NDArray[Any] | None


def read_split(protocol: str, files: Files, *, validation: int = 0, seed: int = 0) -> ListedSplit:
    """Read the parts of a named protocol from the user's copies of published lists, and check their counts.

    A list is a text file, one item a line: `name`, `name id` or `name 0 1 0 ...` with one 0 or 1 a class, as the lists
    of HashNet and DeepHash-pytorch. Where names and labels stand in two files, as with ADSH and MAH, give both:
    `(names, labels)`. `files` names the lists by part: queries, database, labelled, unlabelled. Two may be left out:
    labelled where the whole database is labelled, and unlabelled where it is the rest of the database.

    The release of SSDH (Zhang and Peng) has other files: for "mir38-semi" name them `test` (queries, then the database)
    and `train` (all training items, the labelled ones four times). They hold no label sets.

    Args:
        protocol: its name; any of `protocols`, also those that `make_split` draws.
        files: paths of the lists.
        validation: items taken out of the labelled ones for choosing options, as in `make_split`.
        seed: of their draw; nothing else is drawn.

    Returns:
        split, names and labels, in one tuple.

    Raises:
        FileNotFoundError: a list is not there.
        ValueError: an unknown protocol or part, a missing list, a line of another form, an item twice in a list or with
            different labels in two, other counts than the protocol's, or parts that share items and must not.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from fasthash.data import read_split
        >>> with tempfile.TemporaryDirectory() as folder:  # stand-ins of the right sizes for the lists of MAH
        ...     queries, database = Path(folder, "test.txt"), Path(folder, "database.txt")
        ...     labels = " 0" * 37 + " 1"
        ...     _ = queries.write_text("".join(f"im{i}.jpg{labels}\\n" for i in range(1_700)))
        ...     _ = database.write_text("".join(f"im{i}.jpg{labels}\\n" for i in range(1_700, 25_000)))
        ...     split, names, labels = read_split("mir38-b", {"queries": queries, "database": database})
        >>> split.counts()["database"], names[split.queries[0]], labels.shape
        (23300, 'im0.jpg', (25000, 38))
    """
    rule = find("read_split", protocol)
    validation, seed = count_argument("read_split: validation", validation), count_argument("read_split: seed", seed)
    lists = _read_parts(rule, files)
    names = sorted({name for part in lists.values() for name in part.names})
    if rule.items is not None and len(names) != rule.items:
        raise ValueError(
            f"read_split: files: expected {rule.items} different names in the lists of {protocol}, got {len(names)}; "
            "an item has one name in all of them"
        )
    row = {name: number for number, name in enumerate(names)}
    rows = {part: np.array([row[name] for name in lists[part].names], np.int64) for part in lists}
    labels = _joined_labels(rule, lists, rows, names)
    if "labelled" not in rows and rule.labelled == rule.database:
        rows["labelled"] = rows["database"]
    if "unlabelled" not in rows and rule.unlabelled:
        rows["unlabelled"] = np.setdiff1d(rows["database"], rows["labelled"])
    parts = {part: rows.get(part, np.empty(0, np.int64)) for part in PARTS}
    split = Split(protocol, None, same_items=rule.searched == "queries", **parts)
    return ListedSplit(hold_out("read_split", split, labels, validation, seed), tuple(names), labels)


def _read_parts(protocol: Protocol, files: Files) -> dict[str, _List]:
    if not isinstance(files, Mapping):
        raise TypeError(f"read_split: files: expected a mapping from parts to paths, got {type(files).__name__}")
    if protocol.name == "mir38-semi" and set(files) == {"test", "train"}:
        return _ssdh_lists(_lines("test", files["test"]), _lines("train", files["train"]))
    known = {"database", *(part for part in DRAWN if getattr(protocol, part))}
    optional = {"labelled"} if protocol.labelled == protocol.database else set()
    searched = 0 if protocol.searched == "all but queries and labelled" else protocol.labelled
    if protocol.unlabelled + searched == protocol.database:
        optional.add("unlabelled")
    if not known - optional <= set(files) <= known:
        raise ValueError(
            f"read_split: files: expected lists of {', '.join(sorted(known - optional))} for {protocol.name}, got "
            f"{', '.join(sorted(files)) or 'none'}"
        )
    return {part: _read_list(protocol, part, file) for part, file in files.items()}


def _ssdh_lists(test: list[str], train: list[str]) -> dict[str, _List]:
    """The training list holds unlabelled items once and repeats the labelled ones; the numbers are no label sets."""
    times = Counter(line.split()[0] for line in train)
    found = [line.split()[0] for line in test]
    parts = {
        "queries": [name for name in found if name not in times],
        "database": [name for name in found if name in times],
        "labelled": [name for name, count in times.items() if count > 1],
        "unlabelled": [name for name, count in times.items() if count == 1],
    }
    return {part: _List(names, None) for part, names in parts.items()}


def _read_list(protocol: Protocol, part: str, file: File | tuple[File, File]) -> _List:
    if isinstance(file, tuple):
        names, texts = (_lines(part, path) for path in file)
        if len(names) != len(texts):
            raise ValueError(f"read_split: {part}: expected as many labels as names, got {len(texts)} and {len(names)}")
    else:
        lines = [line.split(maxsplit=1) for line in _lines(part, file)]
        names = [line[0] for line in lines]
        texts = [line[1] for line in lines if len(line) > 1]
        if texts and len(texts) < len(names):
            raise ValueError(f"read_split: {part}: expected labels on every line or on none, got {len(texts)} of them")
    if len(set(names)) < len(names):
        name, count = Counter(names).most_common(1)[0]
        raise ValueError(f"read_split: {part}: expected each item once, got {name!r} {count} times")
    return _List(names, _parse_labels(protocol, part, texts) if texts else None)


def _lines(part: str, file: Any) -> list[str]:
    if not isinstance(file, (str, PathLike)):
        raise TypeError(f"read_split: {part}: expected a path, or (names, labels) with two, got {type(file).__name__}")
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"read_split: {part}: expected a text file, got {str(file)!r}, which is none") from None
    return [line.strip() for line in lines if line.strip()]


def _parse_labels(protocol: Protocol, part: str, texts: list[str]) -> NDArray[Any]:
    """Class ids (n,) int64 or multi-hot (n, classes) uint8, whichever the protocol has."""
    classes = protocol.classes
    forms = (
        f"{classes} values 0 or 1"
        if protocol.multi_label
        else f"a class id below {classes}, or {classes} values 0 or 1"
    )

    def refuse(line: int) -> ValueError:
        values = texts[line].split()
        return ValueError(
            f"read_split: {part}: expected {forms} for each item, got {len(values)}: {' '.join(values)[:80]!r}"
        )

    if not protocol.multi_label and len(texts[0].split()) == 1:
        for line, text in enumerate(texts):
            if not (text.isascii() and text.isdecimal()) or int(text) >= classes:
                raise refuse(line)
        return np.array([int(text) for text in texts], np.int64)
    digits = []
    for line, text in enumerate(texts):
        row = text.split()
        if len(row) != classes or not set(row) <= {"0", "1"} or not (protocol.multi_label or row.count("1") == 1):
            raise refuse(line)
        digits.append("".join(row))
    hot = np.frombuffer("".join(digits).encode(), np.uint8).reshape(-1, classes) - ord("0")
    return hot if protocol.multi_label else hot.argmax(1)


def _joined_labels(
    protocol: Protocol, lists: dict[str, _List], rows: dict[str, NDArray[np.int64]], names: list[str]
) -> NDArray[Any] | None:
    """One label row a name, whichever lists it stands in."""
    joined: NDArray[Any] = np.zeros(len(names), np.int64)
    if protocol.multi_label:
        joined = np.zeros((len(names), protocol.classes), np.uint8)
    known = np.zeros(len(names), dtype=bool)
    for part, (_, labels) in lists.items():
        if labels is None:
            continue
        again = known[rows[part]]
        differs = (joined[rows[part]] != labels).reshape(len(labels), -1).any(1) & again
        if differs.any():
            name = names[rows[part][differs][0]]
            raise ValueError(f"read_split: {part}: expected the labels of the other lists, got others for {name!r}")
        joined[rows[part]] = labels
        known[rows[part]] = True
    if not known.any():
        return None
    if not known.all():
        raise ValueError(f"read_split: files: expected labels for all {len(names)} items or none, got {known.sum()}")
    return joined
