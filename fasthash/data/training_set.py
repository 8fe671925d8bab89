"""Items for training, with labels hidden where they are not to be known."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from fasthash.data.batch import Batch, ItemSpec
from fasthash.data.pairs import PairTable, checked_pairs
from fasthash.data.sources import Modalities, Source, Standardisation, as_source
from fasthash.data.sources.modalities import refuse_nan
from fasthash.data.splits import Split


class TrainingSet:
    """The only data that training sees: labelled items, then unlabelled items whose labels it never had.

    Labels are hidden here, at the source: class ids of unlabelled items are -1 (multi-hot rows all zero), and nothing
    refers back to the true labels. Items are not copied; batches are read from their source.

    Args:
        x: all items: a `Source`, or a tensor or array (n, ...), floating or uint8, also a mapped one.
        labels: true labels of all items, (n,) integers or (n, classes) multi-hot of 0 and 1; None if no item is
            labelled.
        labelled: rows of x that are labelled, int (l,).
        unlabelled: rows of x that are not, int (u,).
        standardise: read items with mean 0 and deviation 1 over these rows (`Source.standardised`).
        pairs: supervision by pairs in place of classes, int (m, 3): two of the `unlabelled` rows, and 1 = similar or
            0 = not; `labels` and `labelled` are then None and empty. Items of pairs come first and count as labelled.

    Attributes:
        rows: of x, the labelled ones first; an item's place in the set is its place among them.
        labels: int64 (n,) or (n, classes), hidden where they are not to be known.
        labelled, unlabelled: how many items are.
        source: where items are read.
        present: bool (n, modalities), which items have which, where they come in several (`Modalities`); else None.

    Raises:
        TypeError: x neither floating nor uint8, class ids that are no integers, or rows that are no integers.
        ValueError: lengths that do not fit, rows out of range or used twice, multi-hot values that are not 0 or 1, or a
            labelled item without a label; pairs beside labels, of an item with itself, or named twice.

    Example:
        >>> import torch
        >>> from fasthash.data import TrainingSet
        >>> data = TrainingSet(torch.randn(4, 8), torch.tensor([0, 1, 2, 3]), labelled=[3, 0], unlabelled=[1, 2])
        >>> data.labels.tolist(), data.labelled, data.unlabelled
        ([3, 0, -1, -1], 2, 2)
    """

    def __init__(
        self,
        x: Any,
        labels: Any,
        labelled: Any,
        unlabelled: Any,
        *,
        standardise: bool = False,
        pairs: Any = None,
    ) -> None:
        source = as_source(x)
        known, hidden = _rows("labelled", labelled, len(source)), _rows("unlabelled", unlabelled, len(source))
        if pairs is not None and (labels is not None or len(known)):
            raise ValueError("TrainingSet: pairs: expected None with labels, got both")
        if pairs is not None:
            pairs = checked_pairs(_tensor(pairs), hidden)
            paired = torch.isin(hidden, pairs[:, :2].contiguous())
            known, hidden = hidden[paired], hidden[~paired]
        self.rows = torch.cat([known, hidden])
        if len(self.rows.unique()) != len(self.rows):
            raise ValueError("TrainingSet: labelled and unlabelled: expected each row once, got rows named twice")
        self.labels = _visible(labels, known, hidden, len(source), paired=pairs is not None)
        self.labelled = len(known)
        self.unlabelled = len(hidden)
        self.source: Source = source.standardised(self.rows) if standardise else source
        self.present = source.present[self.rows] if isinstance(source, Modalities) else None
        self._pairs = None if pairs is None else PairTable(pairs, known)

    @classmethod
    def from_split(cls, x: Any, labels: Any, split: Split, *, standardise: bool = False) -> TrainingSet:
        """The training items of a split; arguments and errors as for the class.

        Labelled items of an all-zero row (MIRFlickr has such images) join the unlabelled ones: that is how a training
        set marks those, and how the release of SSDH counts them.
        """
        known, hidden = (torch.from_numpy(rows) for rows in (split.labelled, split.unlabelled))
        if labels is not None:
            labels = _tensor(labels)
            if labels.ndim == 2 and len(labels) == len(x):
                empty = ~labels[known].to(torch.bool).any(1)
                known, hidden = known[~empty], torch.cat([hidden, known[empty]])
        return cls(x, labels, known, hidden, standardise=standardise)

    def without_labels(self) -> TrainingSet:
        """The same items at the same places, none of them labelled: what an unsupervised method reads."""
        return TrainingSet(self.source, None, [], self.rows)

    def known_pairs(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Which pairs of items at these places, int64 of one shape, are similar, and which are known.

        Returns:
            Two bool tensors of that shape; similar is False wherever known is. Without `pairs` none is known.
        """
        if self._pairs is None:
            unknown = torch.zeros_like(one, dtype=torch.bool)
            return unknown, unknown
        similar, known = self._pairs.look_up(one.cpu(), other.cpu())
        return similar.to(one.device), known.to(one.device)

    @property
    def pairs(self) -> Tensor | None:
        """Known pairs, int64 (m, 3): two places in the set, and 1 = similar or 0 = not; None = classes are known."""
        return None if self._pairs is None else self._pairs.pairs

    @property
    def is_labelled(self) -> Tensor:
        """Bool (n,): the items whose labels may be used."""
        labelled: Tensor = self.labels >= 0 if self.labels.ndim == 1 else (self.labels != 0).any(1)
        return labelled

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one item."""
        return self.source.shape

    @property
    def standardisation(self) -> Standardisation | None:
        """What items that are encoded later must go through first, None = nothing."""
        return self.source.standardisation

    def __len__(self) -> int:
        return len(self.rows)

    def digest(self) -> str:
        """What identifies the items and their visible labels: 16 bytes of BLAKE2b, as hexadecimal digits."""
        state = hashlib.blake2b(self.source.digest().encode(), digest_size=16)
        for tensor in (self.rows, self.labels, *([] if self.pairs is None else [self.pairs])):
            state.update(tensor.contiguous().numpy().data)
        return state.hexdigest()

    @property
    def spec(self) -> ItemSpec:
        """What networks are built from."""
        modalities = tuple(self.source.shapes.items()) if isinstance(self.source, Modalities) else ()
        if self.labels.ndim == 2:
            return ItemSpec(self.shape, self.labels.shape[1], modalities)
        return ItemSpec(self.shape, 1 + int(self.labels.max()) if len(self.labels) else 0, modalities)

    def take(self, index: Tensor, modality: str | None = None) -> Tensor:
        """The items at these places, int64 (b,), in their plain view: float32 (b, ...).

        Args:
            index: places in the set.
            modality: which, of items that come in several and have this one; None = all side by side.

        Raises:
            ValueError: no modality of this name, or NaN in an item of it.
        """
        x = self._source_of(modality).take(self.rows[index])
        if modality is not None:
            refuse_nan("TrainingSet.take", modality, x, self.rows[index])
        return x

    def blocks(self, *, size: int = 1024) -> Iterator[Tensor]:
        """All items in order and in their plain view, `size` at a time: float32 (size or fewer, ...)."""
        return self.source.blocks(self.rows, size=size)

    def _source_of(self, modality: str | None) -> Source:
        if modality is None:
            return self.source
        if not isinstance(self.source, Modalities):
            raise ValueError(f"TrainingSet.take: modality: expected None for items of one modality, got {modality!r}")
        return self.source.modality(modality)

    def batch(
        self,
        index: Tensor,
        *,
        step: int = 0,
        place: tuple[int, ...] = (),
        rank: int = 0,
        ranks: int = 1,
        seed: int = 0,
    ) -> Batch:
        """The items at these places, as one process of several reads them.

        Where the source has more than one view of an item, the batch has two different ones, drawn for each item anew;
        else it has the one there is.

        Args:
            index: int64 (B,), labelled ones first as `TwoStreamSampler` gives them.
            step: of the stage; what is drawn for the items' views depends on it, the place and the seed only.
            place: of the stage in a plan that is repeated, with the rounds, so that each draws other views.
            rank: of this process; it reads the rank-th share of the labelled and of the unlabelled items.
            ranks: processes; an item's views do not depend on their number.
            seed: of the run.

        Raises:
            ValueError: shares of unequal size.
        """
        labelled = int((index < self.labelled).sum())
        if labelled % ranks or (len(index) - labelled) % ranks:
            raise ValueError(
                f"TrainingSet.batch: index: expected labelled and unlabelled items in multiples of {ranks} processes, "
                f"got {labelled} and {len(index) - labelled}"
            )
        here = _share(labelled, len(index), rank, ranks)
        views = self._views(self.rows[index[here]], here, len(index), (seed, step, *place))
        pairs = None if self._pairs is None else self._pairs.among(index[:labelled])
        return Batch(views, self.labels[index], index, labelled, labelled // ranks, pairs)

    def _views(self, rows: Tensor, here: Tensor, size: int, key: tuple[int, ...]) -> tuple[Tensor, ...]:
        if self.source.views == 1 and not self.source.random:
            return (self.source.take(rows),)
        digest = hashlib.blake2b("/".join(["views", *map(str, key)]).encode(), digest_size=8).digest()
        generator = Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
        # Drawn for the whole batch, so that each item's views are the same whichever process reads it.
        several = self.source.views
        first = torch.randint(several, (size,), generator=generator)
        second = (first + torch.randint(1, max(several, 2), (size,), generator=generator)) % several
        seeds = torch.randint(2**62, (2, size), generator=generator)
        chosen = zip((first, second), seeds, strict=True)
        return tuple(self.source.take(rows, view=view[here], seeds=drawn[here]) for view, drawn in chosen)


def _tensor(x: Any) -> Tensor:
    """A tensor of labels or rows; arrays are copied, in native order, since torch takes not all of them."""
    if isinstance(x, Tensor):
        return x
    array = np.array(x)
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))


def _rows(name: str, rows: Any, items: int) -> Tensor:
    found = _tensor(rows)
    if not found.numel():
        found = found.to(torch.int64)  # an empty list is a float tensor
    if found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        raise TypeError(f"TrainingSet: {name}: expected integer rows, got {found.dtype}")
    if found.ndim != 1:
        raise ValueError(f"TrainingSet: {name}: expected shape (items,), got {tuple(found.shape)}")
    if len(found) and not 0 <= int(found.min()) <= int(found.max()) < items:
        raise ValueError(
            f"TrainingSet: {name}: expected rows from 0 to {items - 1}, got {int(found.min())} to {int(found.max())}"
        )
    return found.to("cpu", torch.int64)


def _visible(labels: Any, known: Tensor, hidden: Tensor, items: int, paired: bool) -> Tensor:
    """Labels of the labelled items, then what stands for none: int64 (n,) or (n, classes)."""
    if paired:
        return torch.full((len(known) + len(hidden),), -1)
    if labels is None:
        labels = torch.full((items,), -1)
    labels = _tensor(labels)
    if labels.ndim not in (1, 2) or len(labels) != items:
        raise ValueError(
            f"TrainingSet: labels: expected ({items},) or ({items}, classes) like x, got {tuple(labels.shape)}"
        )
    if labels.ndim == 1 and (labels.is_floating_point() or labels.dtype == torch.bool):
        raise TypeError(f"TrainingSet: labels: expected integer class ids or multi-hot rows, got {labels.dtype}")
    seen = labels.cpu()[known]
    if labels.ndim == 2 and not ((seen == 0) | (seen == 1)).all():
        raise ValueError("TrainingSet: labels: expected multi-hot rows of 0 and 1, got other values")
    visible = torch.full((len(known) + len(hidden), *labels.shape[1:]), -1 if labels.ndim == 1 else 0)
    visible[: len(known)] = seen.to(torch.int64)
    if not (seen >= 0 if labels.ndim == 1 else (seen != 0).any(1)).all():
        raise ValueError("TrainingSet: labelled: expected items with a label, got one without")
    return visible


def _share(labelled: int, items: int, rank: int, ranks: int) -> Tensor:
    """Places in a batch that are this process's: its share of the labelled items, then of the others."""
    parts = (torch.arange(labelled), torch.arange(labelled, items))
    return torch.cat([part[len(part) // ranks * rank : len(part) // ranks * (rank + 1)] for part in parts])
