"""Two endless streams of items, labelled and unlabelled, mixed at a fixed ratio."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Sampler


class TwoStreamSampler(Sampler[Tensor]):
    """Endless batches of places in a training set: `labelled` of one stream first, then unlabelled items.

    Each stream is one random order of its items after another, so that every item comes once in each pass, and a batch
    may lie across two passes. An epoch is one pass over the unlabelled items; the labelled ones cycle. A batch depends
    on nothing but the seed and its number: resuming needs only the number of the next batch.

    Args:
        labelled_items: labelled items in the set; they are places 0 to labelled_items - 1.
        unlabelled_items: unlabelled items, the places after them. Without any, an epoch is a pass over the labelled.
        batch_size: items a batch.
        labelled: labelled items a batch.
        seed: of both streams.
        pairs: of a training set whose supervision is pairs, int64 (m, 3): the labelled stream is then one of pairs, and
            brings the two items of each side by side.

    Raises:
        ValueError: a batch that asks items of an empty stream, counts out of range, or an odd `labelled` with pairs.

    Example:
        >>> from fasthash.data import TwoStreamSampler
        >>> sampler = TwoStreamSampler(2, 6, batch_size=4, labelled=1, seed=0)
        >>> sampler.steps(epochs=2)
        4
        >>> [batch.tolist() for batch, _ in zip(sampler, range(2))]
        [[0, 3, 6, 5], [1, 2, 4, 7]]
    """

    def __init__(
        self,
        labelled_items: int,
        unlabelled_items: int,
        *,
        batch_size: int,
        labelled: int,
        seed: int = 0,
        pairs: Tensor | None = None,
    ) -> None:
        if not 0 <= labelled <= batch_size or batch_size < 1:
            raise ValueError(
                f"TwoStreamSampler: labelled must lie in [0, batch_size], got {labelled} and batch_size {batch_size}"
            )
        if pairs is not None and labelled % 2:
            raise ValueError(f"TwoStreamSampler: labelled must be even with pairs, got {labelled}")
        self._pairs = None if pairs is None else pairs[:, :2].numpy()
        self._labelled_items = labelled_items
        self._per_batch = (labelled if pairs is None else labelled // 2, batch_size - labelled)
        self._items = (labelled_items if pairs is None else len(pairs), unlabelled_items)
        for name, items, wanted in zip(("labelled", "unlabelled"), self._items, self._per_batch, strict=True):
            if items < 0 or (wanted and not items):
                raise ValueError(f"TwoStreamSampler: needs {name} items for {wanted} a batch, got {items}")
        self._seed, self._rounds = seed, tuple[int, ...]()
        self._next = 0
        self._orders: dict[int, tuple[int, NDArray[np.int64]]] = {}

    @property
    def epoch_length(self) -> float:
        """Batches that one epoch takes, usually not a whole number."""
        stream = 1 if self._per_batch[1] else 0
        return self._items[stream] / self._per_batch[stream]

    def steps(self, epochs: float) -> int:
        """The whole number of batches in which every item has come up `epochs` times."""
        return math.ceil(epochs * self.epoch_length - 1e-9)

    def batch(self, number: int) -> Tensor:
        """Batch `number`, from 0: int64 (batch_size,), labelled places first."""
        labelled, unlabelled = (self._draw(s, number * n, n) for s, n in enumerate(self._per_batch))
        if self._pairs is not None:
            labelled = self._pairs[labelled].reshape(-1)
        return torch.from_numpy(np.concatenate([labelled, unlabelled + self._labelled_items]))

    def in_rounds(self, rounds: tuple[int, ...]) -> TwoStreamSampler:
        """A sampler of the same items that starts anew, with other orders in each round of a plan that is repeated.

        Args:
            rounds: the counter of each repetition, as `Cursor.rounds`; none = the same orders.
        """
        sampler = copy.copy(self)
        sampler._rounds, sampler._next, sampler._orders = tuple(rounds), 0, {}
        return sampler

    def _draw(self, stream: int, start: int, count: int) -> NDArray[np.int64]:
        """Items start to start + count - 1 of an endless chain of random orders."""
        items = self._items[stream]
        drawn: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        while count > 0:
            turn, place = divmod(start, items)
            drawn.append(self._order(stream, turn)[place : place + count])
            start, count = start + len(drawn[-1]), count - len(drawn[-1])
        return np.concatenate(drawn)

    def _order(self, stream: int, turn: int) -> NDArray[np.int64]:
        cached_turn, order = self._orders.get(stream, (-1, np.empty(0, np.int64)))
        if turn != cached_turn:
            order = np.random.default_rng((self._seed, stream, turn, *self._rounds)).permutation(self._items[stream])
            self._orders[stream] = (turn, order)
        return order

    def __iter__(self) -> Iterator[Tensor]:
        while True:
            self._next += 1
            yield self.batch(self._next - 1)

    def state_dict(self) -> dict[str, int]:
        """What `load_state_dict` needs to go on with the next batch."""
        return {"next": self._next}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where the sampler of this state stood."""
        self._next = state["next"]
