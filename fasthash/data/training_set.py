"""Items in memory for training, with labels hidden where they are not to be known."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor

from fasthash.data.batch import Batch, ItemSpec
from fasthash.data.splits import Split


class TrainingSet:
    """The only data that training sees: labelled items, then unlabelled items whose labels it never had.

    Labels are hidden here, at the source: the set keeps copies of the rows it is given, class ids of unlabelled items
    are -1 (multi-hot rows all zero), and nothing refers back to the true labels.

    Args:
        x: all items (n, ...), features or images, floating; torch or NumPy.
        labels: true labels of all items, (n,) integers or (n, classes) multi-hot.
        labelled: rows of x that are labelled, int (l,).
        unlabelled: rows of x that are not, int (u,).

    Raises:
        TypeError: x not floating.
        ValueError: lengths that do not fit, rows used twice, or a labelled item without a label.

    Example:
        >>> import torch
        >>> from fasthash.data import TrainingSet
        >>> data = TrainingSet(torch.randn(4, 8), torch.tensor([0, 1, 2, 3]), labelled=[3, 0], unlabelled=[1, 2])
        >>> data.labels.tolist(), data.labelled, data.unlabelled
        ([3, 0, -1, -1], 2, 2)
    """

    def __init__(self, x: Any, labels: Any, labelled: Any, unlabelled: Any) -> None:
        x, labels = torch.as_tensor(x), torch.as_tensor(labels)
        known, hidden = (torch.as_tensor(rows, dtype=torch.int64) for rows in (labelled, unlabelled))
        if not x.is_floating_point():
            raise TypeError(f"TrainingSet: x must be floating, got {x.dtype}")
        if labels.ndim not in (1, 2) or len(labels) != len(x):
            raise ValueError(
                f"TrainingSet: labels must be ({len(x)},) or ({len(x)}, classes) like x, got {tuple(labels.shape)}"
            )
        rows = torch.cat([known, hidden])
        if len(rows.unique()) != len(rows):
            raise ValueError("TrainingSet: labelled and unlabelled must name each row once, got rows named twice")
        self.x = x[rows].to(torch.float32)
        self.labels = labels[rows].to(torch.int64)
        self.labels[len(known) :] = -1 if labels.ndim == 1 else 0
        if not self.is_labelled[: len(known)].all():
            raise ValueError("TrainingSet: each item of labelled must have a label, got one without")
        self.labelled = len(known)
        self.unlabelled = len(hidden)

    @classmethod
    def from_split(cls, x: Any, labels: Any, split: Split) -> TrainingSet:
        """The training items of a split; arguments and errors as for the class.

        Labelled items of an all-zero row (MIRFlickr has such images) join the unlabelled ones: that is how a training
        set marks those, and how the release of SSDH counts them.
        """
        known, hidden = (torch.from_numpy(rows) for rows in (split.labelled, split.unlabelled))
        labels = torch.as_tensor(labels)
        if labels.ndim == 2 and len(labels) == len(x):
            empty = ~labels[known].to(torch.bool).any(1)
            known, hidden = known[~empty], torch.cat([hidden, known[empty]])
        return cls(x, labels, known, hidden)

    @property
    def is_labelled(self) -> Tensor:
        """Bool (n,): the items whose labels may be used."""
        labelled: Tensor = self.labels >= 0 if self.labels.ndim == 1 else (self.labels != 0).any(1)
        return labelled

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one item."""
        return tuple(self.x.shape[1:])

    def __len__(self) -> int:
        return len(self.x)

    def digest(self) -> str:
        """What identifies the items and their visible labels: 16 bytes of BLAKE2b, as hexadecimal digits."""
        state = hashlib.blake2b(digest_size=16)
        for tensor in (self.x, self.labels):
            state.update(tensor.contiguous().numpy().data)
        return state.hexdigest()

    @property
    def spec(self) -> ItemSpec:
        """What networks are built from."""
        if self.labels.ndim == 2:
            return ItemSpec(self.shape, self.labels.shape[1])
        return ItemSpec(self.shape, 1 + int(self.labels.max()) if len(self.labels) else 0)

    def batch(self, index: Tensor, *, step: int = 0, rank: int = 0, ranks: int = 1) -> Batch:
        """The items at these places, as one process of several reads them.

        Args:
            index: int64 (B,), labelled ones first as `TwoStreamSampler` gives them.
            step: of the stage; what is drawn for the items' views depends on it and the seed only.
            rank: of this process; it reads the rank-th share of the labelled and of the unlabelled items.
            ranks: processes.

        Raises:
            ValueError: shares of unequal size.
        """
        labelled = int((index < self.labelled).sum())
        parts = (index[:labelled], index[labelled:])
        if any(len(part) % ranks for part in parts):
            raise ValueError(
                f"TrainingSet.batch: labelled and unlabelled items of a batch must be multiples of {ranks} processes, "
                f"got {labelled} and {len(index) - labelled}"
            )
        here = torch.cat([part.chunk(ranks)[rank] if len(part) else part for part in parts])
        return Batch((self.x[here],), self.labels[index], index, labelled, labelled // ranks)
