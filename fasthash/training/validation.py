"""Scores of a run on items it does not learn from, to keep its best weights and to stop in time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fasthash.data import Source, Split, Standardisation
from fasthash.evaluation import mean_average_precision
from fasthash.training.encoding import encode_batches, evaluating


@dataclass(frozen=True, eq=False)
class Validation:
    """Items that score a run while it trains: mAP@all of the encoder's packed codes, expected over ties.

    Never give it the queries of a test: what is chosen by a score is not measured by it.

    Attributes:
        queries: items (q, ...) that training does not read: a `Source`, a tensor or an array.
        query_labels: theirs, (q,) class ids or (q, classes) multi-hot.
        database: items (n, ...) to rank, with labels that training may know.
        database_labels: theirs, (n,) or (n, classes).

    Raises:
        ValueError: no queries, no database, or labels of another number.

    Example:
        >>> from fasthash import data, training
        >>> images, labels = data.load_digits()
        >>> split = data.make_split("digits-semi", labels)
        >>> validation = training.Validation.from_split(images, labels, split)
        >>> len(validation.queries), len(validation.database)
        (200, 100)
    """

    queries: Any
    query_labels: Any
    database: Any
    database_labels: Any

    def __post_init__(self) -> None:
        for side, name in ((self.queries, "query_labels"), (self.database, "database_labels")):
            labels = torch.as_tensor(getattr(self, name))
            if not len(side) or len(labels) != len(side):
                raise ValueError(f"Validation: {name} must be those of {len(side)} >= 1 items, got {len(labels)}")

    @classmethod
    def from_split(cls, x: Any, labels: Any, split: Split) -> Validation:
        """The split's validation queries, ranking its labelled items: labels of unlabelled items stay hidden.

        Args:
            x: all items (n, ...), as for `TrainingSet.from_split`.
            labels: of all items, (n,) or (n, classes).
            split: with validation queries.

        Raises:
            ValueError: a split without validation queries.
        """
        if not len(split.validation):
            raise ValueError("Validation.from_split: split must have validation queries, got none")
        labels = torch.as_tensor(labels)
        return cls(x[split.validation], labels[split.validation], x[split.labelled], labels[split.labelled])

    def score(
        self,
        network: nn.Module,
        bits: int,
        *,
        batch_size: int = 1024,
        standardisation: Standardisation | None = None,
    ) -> float:
        """mAP@all of a network's codes; its mode, its statistics and all random numbers stay as they are.

        Items go through the standardisation first, unless they are a source that went through it before.
        """
        with evaluating(network):
            queries, database = (
                torch.cat([codes.cpu() for _, codes in encode_batches(network, x, bits, batch_size, standardisation)])
                for x in (self.queries, self.database)
            )
        labels = (torch.as_tensor(self.query_labels).cpu(), torch.as_tensor(self.database_labels).cpu())
        return float(mean_average_precision(queries, database, *labels, bits=bits))

    def describe(self) -> dict[str, Any]:
        """Counts, and 16 bytes of BLAKE2b of items and labels: what a resumed run must find again."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.queries, self.query_labels, self.database, self.database_labels):
            if isinstance(part, Source):
                digest.update(part.digest().encode())
                continue
            array = part.cpu().numpy() if isinstance(part, Tensor) else np.asarray(part)
            digest.update(np.ascontiguousarray(array).data)
        return {"queries": len(self.queries), "database": len(self.database), "digest": digest.hexdigest()}


@dataclass
class Best:
    """The best score of a run so far.

    Attributes:
        score: None before the first.
        steps: of the run, when it was reached.
        since: scores after it, none of which was higher.
    """

    score: float | None = None
    steps: int = 0
    since: int = 0

    @classmethod
    def from_saved(cls, saved: Mapping[str, Any] | None) -> Best:
        """As `dataclasses.asdict` left it in a checkpoint."""
        return cls() if saved is None else cls(**saved)

    def take(self, score: float, steps: int) -> bool:
        """Whether a new score is the best; of equal ones the first is."""
        if self.score is not None and score <= self.score:
            self.since += 1
            return False
        self.score, self.steps, self.since = score, steps, 0
        return True
