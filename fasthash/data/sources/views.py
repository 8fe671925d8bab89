"""Several stored views of the same items."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fasthash.data.sources.arrays import as_source
from fasthash.data.sources.source import Reading, Source


class StoredViews(Source):
    """Sources of the same items, each another view of them, such as features of augmented images; the first is plain.

    A training set gives student and teacher two different ones of each item, drawn anew at every step.

    Args:
        sources: at least one, of equal length and shape; tensors and arrays are read as `ArraySource` reads them.

    Raises:
        ValueError: no source, sources that differ in length or shape, or one that has several views itself.

    Example:
        >>> import torch
        >>> from fasthash.data import StoredViews
        >>> views = StoredViews([torch.zeros(4, 2), torch.ones(4, 2)])
        >>> views.views, views.take(torch.tensor([3, 1]), view=torch.tensor([0, 1])).tolist()
        (2, [[0.0, 0.0], [1.0, 1.0]])
    """

    def __init__(self, sources: Sequence[Any]) -> None:
        self._sources = [as_source(x) for x in sources]
        if not self._sources:
            raise ValueError("StoredViews: sources: expected at least one, got none")
        forms = [(len(source), *source.shape) for source in self._sources]
        if len(set(forms)) > 1:
            raise ValueError(f"StoredViews: sources: expected equal lengths and shapes, got {forms}")
        if any(source.views > 1 for source in self._sources):
            raise ValueError("StoredViews: sources: expected one view in each, got several")
        self.shape = self._sources[0].shape
        self.views = len(self._sources)
        self.random = any(source.random for source in self._sources)

    def __len__(self) -> int:
        return len(self._sources[0])

    def take(self, index: Tensor, *, view: int | Tensor = 0, seeds: Tensor | None = None) -> Tensor:
        """See `Source.take`."""
        if isinstance(view, int):
            return self._sources[view].take(index, seeds=seeds)
        x = torch.empty((len(index), *self.shape))
        for number in view.unique().tolist():
            here = (view == number).nonzero()[:, 0]
            drawn = None if seeds is None else seeds[here]
            x[here] = self._sources[number].take(index[here], seeds=drawn).to(x.device)
        return x

    @property
    def reading(self) -> Reading | None:
        """See `Source.reading`; of the plain view."""
        return self._sources[0].reading

    def digest(self, *, full: bool = False) -> str:
        """Of the digests of the sources, in order."""
        together = "".join(source.digest(full=full) for source in self._sources)
        return hashlib.blake2b(together.encode(), digest_size=16).hexdigest()
