"""The parts of a data set, checked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasthash.data.splits.published import PROTOCOLS

Rows = NDArray[np.int64]
PARTS = ("queries", "validation", "database", "labelled", "unlabelled")


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of each part of a data set, int64 and ascending.

    Under the name of a known protocol a split has that protocol's counts and its labelled items where the protocol has
    them, inside the database or outside: give one of your own another name.
    Labelled and unlabelled items may be in the database; `in_database` and `print` say how many are.

    Args:
        protocol: name of the protocol that made it, or a name of your own.
        seed: what it was drawn with; None if nothing was drawn.
        queries: what is searched for; never trained on.
        validation: queries for choosing options; never trained on, and in no result.
        database: what is searched.
        labelled: items trained on with their labels.
        unlabelled: items trained on without; whoever trains never sees their labels.
        same_items: queries and database are the same items, one side seen in one modality, one in another.

    Raises:
        TypeError: rows that are not integers.
        ValueError: rows that are negative or come twice in a part, parts that must not share an item and do, or other
            counts than the protocol's.

    Example:
        >>> from fasthash.data import Split
        >>> split = Split("mine", None, queries=[0], validation=[], database=[1, 2, 3], labelled=[2], unlabelled=[])
        >>> print(split)
        mine, seed None, split d9b8a6d153881d9bff5866661cfe8d5e
        queries     1
        validation  0
        database    3
        labelled    1  1 of them in the database
        unlabelled  0
    """

    protocol: str
    seed: int | None
    queries: Rows
    validation: Rows
    database: Rows
    labelled: Rows
    unlabelled: Rows
    same_items: bool = False

    def __post_init__(self) -> None:
        for part in PARTS:
            object.__setattr__(self, part, _rows(part, getattr(self, part)))
        searched = [("queries", "validation"), ("validation", "database")]
        if not self.same_items:
            searched.append(("queries", "database"))
        elif not np.array_equal(self.queries, self.database):
            raise ValueError("Split: same_items: expected queries and database to be the same rows, got different ones")
        trained = [(held_out, part) for held_out in ("queries", "validation") for part in ("labelled", "unlabelled")]
        for a, b in [*searched, *trained, ("labelled", "unlabelled")]:
            shared = np.intersect1d(getattr(self, a), getattr(self, b), assume_unique=True)
            if shared.size:
                raise ValueError(
                    f"Split: {a} and {b}: expected no item in both, got {shared.size}, the first of them {shared[0]}"
                )
        if self.protocol in PROTOCOLS:
            self._check_protocol()

    def _check_protocol(self) -> None:
        """Validation items beyond the protocol's own come out of the labelled ones."""
        protocol = PROTOCOLS[self.protocol]
        held_out = len(self.validation) - protocol.validation
        searched = held_out if protocol.searched == "all but queries" else 0
        expected = {
            "queries": protocol.queries,
            "database": None if protocol.database is None else protocol.database - searched,
            "labelled": protocol.labelled - held_out,
            "unlabelled": protocol.unlabelled,
        }
        for part, count in expected.items():
            if count is not None and len(getattr(self, part)) != count:
                raise ValueError(
                    f"Split: {part}: expected {count} items in {self.protocol} with {len(self.validation)} for "
                    f"validation, got {len(getattr(self, part))}"
                )
        if self.same_items != (protocol.searched == "queries"):
            raise ValueError(
                f"Split: same_items: expected {not self.same_items} in {self.protocol}, got {self.same_items}"
            )
        shared = self.in_database()["labelled"]
        wanted = len(self.labelled) if protocol.searched == "all but queries" else 0
        if protocol.database is not None and shared != wanted:
            raise ValueError(
                f"Split: database: expected {protocol.searched} in {self.protocol}, got {shared} of "
                f"{len(self.labelled)} labelled items in it"
            )
        last = max((int(getattr(self, part)[-1]) for part in PARTS if len(getattr(self, part))), default=-1)
        if protocol.items is not None and last >= protocol.items:
            raise ValueError(f"Split: rows: expected rows below {protocol.items} in {self.protocol}, got {last}")

    def counts(self) -> dict[str, int]:
        """Items in each part, by its name."""
        return {part: len(getattr(self, part)) for part in PARTS}

    def in_database(self) -> dict[str, int]:
        """Items trained on that are searched too, by the name of their part."""
        return {part: int(np.isin(getattr(self, part), self.database).sum()) for part in ("labelled", "unlabelled")}

    @property
    def digest(self) -> str:
        """What two papers quote to say that they used the same split: 16 bytes of BLAKE2b, as hexadecimal digits.

        Over each part in the order queries, validation, database, labelled, unlabelled: its name, a space, its number
        of items in decimal digits, a newline, then its rows, ascending, as little-endian int64. The seed and the name
        of the protocol do not enter.
        """
        state = hashlib.blake2b(digest_size=16)
        for part in PARTS:
            rows = getattr(self, part)
            state.update(f"{part} {len(rows)}\n".encode() + rows.astype("<i8").tobytes())
        return state.hexdigest()

    def provenance(self) -> dict[str, Any]:
        """What belongs beside every number of this split: protocol, seed, digest and counts, ready for JSON."""
        return {
            "protocol": self.protocol,
            "seed": self.seed,
            "digest": self.digest,
            "counts": self.counts(),
            "in_database": self.in_database(),
            "same_items": self.same_items,
        }

    def __str__(self) -> str:
        counts, shared = self.counts(), self.in_database()
        width = max(len(f"{count:,}") for count in counts.values())
        lines = [f"{self.protocol}, seed {self.seed}, split {self.digest}"]
        for part, count in counts.items():
            note = f"  {shared[part]:,} of them in the database" if shared.get(part) else ""
            lines.append(f"{part:<12}{count:>{width},}{note}")
        if self.same_items:
            lines.append("queries and database are the same items")
        return "\n".join(lines)

    def save(self, path: str | PathLike[str]) -> None:
        """Write an .npz file: one int64 array a part, and the provenance as JSON text.

        Raises:
            ValueError: the name does not end in .npz.
        """
        if Path(path).suffix != ".npz":
            raise ValueError(f"save: path: expected a name that ends in .npz, got {str(path)!r}")
        np.savez_compressed(
            path, provenance=json.dumps(self.provenance()), **{part: getattr(self, part) for part in PARTS}
        )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Split:
        """Read what `save` wrote.

        Raises:
            ValueError: the file holds no split, or rows that are not those it was saved with.

        Example:
            >>> import tempfile
            >>> from fasthash.data import Split, load_digits, make_split
            >>> split = make_split("digits-semi", load_digits()[1])
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     split.save(f"{folder}/split.npz")
            ...     Split.load(f"{folder}/split.npz").digest == split.digest
            True
        """
        loaded = np.load(path)
        if isinstance(loaded, np.ndarray) or not {"provenance", *PARTS} <= set(loaded.files):
            raise ValueError(f"load: path: expected a file that Split.save wrote, got {str(path)!r}")
        with loaded as file:
            said = json.loads(str(file["provenance"]))
            parts = {part: file[part] for part in PARTS}
        split = cls(protocol=said["protocol"], seed=said["seed"], same_items=said["same_items"], **parts)
        if split.digest != said["digest"]:
            raise ValueError(f"load: path: expected the rows of split {said['digest']}, got those of {split.digest}")
        return split


def _rows(part: str, rows: Any) -> Rows:
    found = np.asarray(rows)
    if found.size and found.dtype.kind not in "iu":
        raise TypeError(f"Split: {part}: expected integer rows, got {found.dtype}")
    if found.ndim != 1:
        raise ValueError(f"Split: {part}: expected shape (items,), got {found.shape}")
    ascending = np.sort(found.astype(np.int64))
    if ascending.size and ascending[0] < 0:
        raise ValueError(f"Split: {part}: expected rows >= 0, got {ascending[0]}")
    twice = ascending[1:][ascending[1:] == ascending[:-1]]
    if twice.size:
        raise ValueError(f"Split: {part}: expected each item once, got {twice.size} repeats, the first of {twice[0]}")
    return ascending
