"""The items behind a run: which are queries, what they look like, and which are relevant to which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasthash.data import Dataset, Modalities, Split


@dataclass(frozen=True, eq=False)
class Items:
    """A data set and the split of it that a run was trained and measured on.

    Attributes:
        dataset: the items and their labels.
        split: which of them are queries, searched and trained on.

    Example:
        >>> from fasthash import data
        >>> from fasthash.report import Items
        >>> digits = data.open_dataset("digits")
        >>> items = Items(digits, data.make_split("digits-semi", digits.labels))
        >>> items.title(0), items.are_images
        ('0', True)
    """

    dataset: Dataset
    split: Split

    @property
    def are_images(self) -> bool:
        """Whether a picture of an item can be shown."""
        source = self.dataset.source
        shape = source.shape
        return not isinstance(source, Modalities) and len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) > 3

    def title(self, row: int) -> str:
        """The class of an item, or its classes, by name where they have names."""
        label = self.dataset.labels[row]
        ids = np.flatnonzero(label) if label.ndim else [label] if label >= 0 else []
        names = [self.dataset.classes[i] if int(i) < len(self.dataset.classes) else f"class {i}" for i in ids]
        return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "no label"

    def relevant(self, row: int, others: NDArray[np.int64], relevance: str) -> NDArray[np.bool_]:
        """Which of the others, int64 (n,), are relevant to an item: they "share" a label, or theirs are "identical"."""
        labels = self.dataset.labels
        own, theirs = labels[row], labels[others]
        found: Any
        if labels.ndim == 1:
            found = (theirs == own) & (own >= 0)
        elif relevance == "identical":
            found = (theirs == own).all(1) & own.any()
        else:
            found = (theirs & own).any(1)
        return np.asarray(found, dtype=np.bool_)
