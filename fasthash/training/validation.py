"""Scores of a run on items it does not learn from, to keep its best weights and to stop in time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from fasthash.data import Modalities, Reading, Source, Split, Standardisation, as_source, standardisation_of
from fasthash.evaluation import mean_average_precision
from fasthash.networks import ModalNetwork
from fasthash.training.encoding import encode_batches, evaluating


@dataclass(frozen=True, eq=False)
class Validation:
    """Items that score a run while it trains: mAP@all of the encoder's packed codes, expected over ties.

    Of a network of several modalities (`data.Modalities`) it is the mean over all directions, such as image -> text; an
    item takes part in those that it has.

    Never give it the queries of a test: what is chosen by a score is not measured by it.

    Attributes:
        queries: items (q, ...) that training does not read, as for `Hasher.encode`.
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
            x: all items, as for `TrainingSet.from_split`; none is copied.
            labels: of all items, (n,) or (n, classes).
            split: with validation queries.

        Raises:
            ValueError: a split without validation queries.
        """
        if not len(split.validation):
            raise ValueError("Validation.from_split: split must have validation queries, got none")
        source, labels = as_source(x), torch.as_tensor(labels)
        sides = ((source.select(rows), labels[rows]) for rows in (split.validation, split.labelled))
        return cls(*next(sides), *next(sides))

    def read_as(self, reading: Reading | None) -> Validation:
        """The same items, arrays among them read as the training items are."""
        sides = {name: as_source(getattr(self, name), reading) for name in ("queries", "database")}
        return replace(self, **sides)

    def check(self, network: nn.Module) -> None:
        """Raise ValueError for a network of several modalities whose items have not got them."""
        if isinstance(network, ModalNetwork):
            for name in ("queries", "database"):
                source = as_source(getattr(self, name))
                if not isinstance(source, Modalities) or source.names != network.names:
                    raise ValueError(
                        f"Validation: {name} must be data.Modalities of {list(network.names)}, "
                        f"got {list(source.names) if isinstance(source, Modalities) else 'items of one kind'}"
                    )

    def score(self, network: nn.Module, bits: int, standardisation: Standardisation | None = None) -> float:
        """mAP@all of a network's codes, or their mean over directions between modalities.

        Mode and statistics of the network and all random numbers stay as they are.

        Args:
            network: the encoder.
            bits: its width.
            standardisation: of the training items, if they have one.
        """
        sides = [
            (as_source(self.queries), torch.as_tensor(self.query_labels).cpu()),
            (as_source(self.database), torch.as_tensor(self.database_labels).cpu()),
        ]
        with evaluating(network):
            if isinstance(network, ModalNetwork):
                found = [_encode_modalities(network, side, bits, standardisation) for side, _ in sides]
            else:
                found = [{"": (_encode(network, side, bits, standardisation), slice(None))} for side, _ in sides]
        scores = []
        for a, (queries, asking) in found[0].items():
            for b, (database, there) in found[1].items():
                if a == "" or (a != b and len(queries) and len(database)):
                    labels = (sides[0][1][asking], sides[1][1][there])
                    scores.append(float(mean_average_precision(queries, database, *labels, bits=bits)))
        return sum(scores) / max(len(scores), 1)

    def describe(self) -> dict[str, Any]:
        """Counts, and 16 bytes of BLAKE2b of items and labels: what a resumed run must find again."""
        digest = hashlib.blake2b(digest_size=16)
        for x, labels in ((self.queries, self.query_labels), (self.database, self.database_labels)):
            digest.update(as_source(x).digest().encode())
            digest.update(torch.as_tensor(labels).cpu().contiguous().numpy().data)
        return {"queries": len(self.queries), "database": len(self.database), "digest": digest.hexdigest()}


Coded: TypeAlias = tuple[Tensor, "Tensor | slice"]  # codes, and the rows of the items that have them


def _encode(network: nn.Module, source: Source, bits: int, standardisation: Standardisation | None) -> Tensor:
    parts = [codes.cpu() for _, codes in encode_batches(network, source, bits, 1024, standardisation)]
    return torch.cat(parts) if parts else torch.empty((0, -(-bits // 8)), dtype=torch.uint8)


def _encode_modalities(
    network: ModalNetwork, source: Source, bits: int, standardisation: Standardisation | None
) -> dict[str, Coded]:
    assert isinstance(source, Modalities)
    found: dict[str, Coded] = {}
    for place, (name, branch) in enumerate(network.items()):
        rows = source.present[:, place].nonzero()[:, 0]
        own = standardisation_of(name, source.shapes, standardisation)
        found[name] = _encode(branch, source.modality(name).select(rows), bits, own), rows
    return found


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
