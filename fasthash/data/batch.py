"""What a training step reads, and what a method may know of the items before it reads any."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ItemSpec:
    """What networks are built from.

    Attributes:
        shape: of one item.
        classes: number of classes; 0 without labels.
        modalities: name and shape of each, where items come in several; `shape` is then that of all side by side.
    """

    shape: tuple[int, ...]
    classes: int
    modalities: tuple[tuple[str, tuple[int, ...]], ...] = ()


@dataclass(frozen=True)
class Batch:
    """Items of one step, the labelled ones first.

    With several processes each holds the views of its share of the items, but the labels and places of all: losses
    over pairs need them. `State.gather` brings the outputs of all shares together.

    Attributes:
        views: one tensor (b, ...) float32, or as many as the data has independent views of an item; none where a step
            reads what it needs of each modality itself.
        labels: (B,) int64, -1 = unlabelled; or multi-hot (B, classes), an all-zero row = unlabelled.
        index: (B,) int64, places in the training set.
        labelled: how many of the B items are labelled.
        labelled_here: how many of the b items of this process are.
        pairs: where supervision comes as pairs and not as classes, those among the labelled items, int64 (p, 3): two
            places in the batch, the lower first, and 1 = similar or 0 = not; else None.
    """

    views: tuple[Tensor, ...]
    labels: Tensor
    index: Tensor
    labelled: int
    labelled_here: int
    pairs: Tensor | None = None

    @property
    def x(self) -> Tensor:
        """(b, ...): the first view."""
        return self.views[0]

    def labelled_x(self, view: int = 0) -> Tensor:
        """The labelled items of this process, in a view of this number; there may be but one."""
        return self.views[min(view, len(self.views) - 1)][: self.labelled_here]

    def unlabelled_x(self, view: int = 0) -> Tensor:
        """The unlabelled items of this process, in a view of this number; there may be but one."""
        return self.views[min(view, len(self.views) - 1)][self.labelled_here :]

    def pair_similarity(self) -> tuple[Tensor, Tensor] | None:
        """The pairs as symmetric matrices over the labelled items: similar and known, bool (labelled, labelled).

        None where classes are known and not pairs: `losses.label_similarity` makes such matrices of labels.
        """
        if self.pairs is None:
            return None
        first, second, value = self.pairs.unbind(1)
        known = torch.zeros(self.labelled, self.labelled, dtype=torch.bool, device=self.pairs.device)
        similar = known.clone()
        known[first, second] = known[second, first] = True
        similar[first, second] = similar[second, first] = value.to(torch.bool)
        return similar, known

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        labels, index, *views = (t.to(device, non_blocking=True) for t in (self.labels, self.index, *self.views))
        pairs = None if self.pairs is None else self.pairs.to(device, non_blocking=True)
        return Batch(tuple(views), labels, index, self.labelled, self.labelled_here, pairs)
