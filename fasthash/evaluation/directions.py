"""Retrieval across modalities: one report for each direction, such as image -> text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from fasthash.evaluation.alarms import Alarm, equal_directions, present
from fasthash.evaluation.checks import Array
from fasthash.evaluation.evaluate import evaluate
from fasthash.evaluation.report import RetrievalReport

Modalities: TypeAlias = "Mapping[str, tuple[Array, Array, Any]]"

_NAME = "evaluate_directions"


@dataclass(frozen=True)
class DirectionReports:
    """The result of `evaluate_directions`: ``reports["image->text"]``. ``str()`` is a table.

    Attributes:
        reports: a report for each direction.
        alarms: those that concern all directions together; each report has its own besides.
        notes: who took no part.
    """

    reports: dict[str, RetrievalReport]
    alarms: list[Alarm]
    notes: list[str]

    def __getitem__(self, direction: str) -> RetrievalReport:
        """The report of that direction."""
        return self.reports[direction]

    def __iter__(self) -> Iterator[str]:
        return iter(self.reports)

    def __len__(self) -> int:
        return len(self.reports)

    def __str__(self) -> str:
        width = max([len(name) for name in self.reports], default=0)
        lines = [f"{'':<{width}}  queries    items   mAP@all      best     worst  alarms"]
        for name, report in self.reports.items():
            score = report.scores["mAP@all"]
            bounds = "  ".join(f"{'' if x is None else f'{x:.4f}':>8}" for x in (score.best, score.worst))
            counts = f"{report.queries:>7,}  {report.items:>7,}"
            lines.append(f"{name:<{width}}  {counts}  {score:>8.4f}  {bounds}  {len(report.alarms):>6}")
        return "\n".join([*lines, *(str(alarm) for alarm in self.alarms), *(f"note: {note}" for note in self.notes)])


def evaluate_directions(
    queries: Modalities,
    database: Modalities | None = None,
    *,
    same: bool = False,
    joined: bool = False,
    exclude_pairs: bool = False,
    **options: Any,
) -> DirectionReports:
    """Evaluate every modality a against every other modality b, as "a->b".

    Each modality is a tuple of codes, labels and ids: rows with one id in two modalities are the two sides of one
    object, such as an image and its text. An object without modality a asks nothing in "a->b", one without b is not
    found; how many is in the notes. ids may be None where all modalities have the same rows in the same order.

    Args:
        queries: name -> (codes (q, bytes or bits), labels (q,) or (q, classes), ids (q,) numbers or texts, or None).
        database: the same for the items searched; None = the queries themselves.
        same: also "a->a"; without a database of their own, queries do not meet themselves there.
        joined: also "a->*", against all modalities together (convention F with ``relevance="identical"``).
        exclude_pairs: without a database of its own, a query does not meet the other side of its object in "a->b",
            either. Usual protocols keep it: it is an answer.
        options: of `evaluate`, such as bits, k or relevance.

    Returns:
        The reports; an alarm if mAP is equal in all directions.

    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: fewer than two modalities, ids that repeat, or ids of the queries in a database of its own.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = rng.integers(0, 2, 40)
        >>> image, text = (np.where(labels[:, None] == 0, 1.0, -1.0) * (rng.random((40, 8)) - 0.2) for _ in range(2))
        >>> reports = evaluate_directions({"image": (image, labels, None), "text": (text, labels, None)})
        >>> list(reports)
        ['image->text', 'text->image']
    """
    sides = queries if database is None else database
    for argument, modalities in (("queries", queries), ("database", sides)):
        _check(argument, modalities)
    if len(queries) < 2 and not same and not joined:
        raise ValueError(f"{_NAME}: queries: expected two modalities or more, got {len(queries)}")
    if joined and exclude_pairs:
        raise ValueError(f"{_NAME}: exclude_pairs: expected False with joined=True, as pairs are more than one row")
    ids = {name: _ids(modality) for name, modality in queries.items()}
    found = ids if database is None else {name: _ids(modality) for name, modality in database.items()}
    if database is not None:
        _check_disjoint(queries, database, ids, found)
    reports: dict[str, RetrievalReport] = {}
    for a in queries:
        for b in sides:
            if a == b and not same:
                continue
            own = database is None and (a == b or exclude_pairs)
            rows = _rows_of(ids[a], found[b]) if own else None
            reports[f"{a}->{b}"] = _evaluate(queries[a], sides[b][:2], rows, options)
        if joined:
            together = tuple(_join([sides[b][part] for b in sides]) for part in range(2))
            first = dict(zip(sides, np.cumsum([0, *(len(sides[b][0]) for b in sides)]).tolist(), strict=False))
            rows = _rows_of(ids[a], found[a]) + first[a] if database is None else None
            reports[f"{a}->*"] = _evaluate(queries[a], together, rows, options)
    across = {name: float(report.scores["mAP@all"]) for name, report in reports.items()}
    return DirectionReports(reports, present(equal_directions(across)), _notes(ids, found, database is None))


def _evaluate(
    query: tuple[Array, Array, Any], items: tuple[Any, ...], exclude: NDArray[np.int64] | None, options: dict[str, Any]
) -> RetrievalReport:
    codes, labels, _ = query
    rows: Any = exclude
    if exclude is not None and isinstance(codes, torch.Tensor):
        rows = torch.from_numpy(exclude).to(codes.device)
    return evaluate(codes, items[0], labels, items[1], exclude=rows, **options)


def _check(argument: str, modalities: Modalities) -> None:
    for name, modality in modalities.items():
        if not isinstance(modality, tuple) or len(modality) != 3:
            raise TypeError(
                f"{_NAME}: {argument}: expected (codes, labels, ids) for {name!r}, got {type(modality).__name__}"
            )
    lengths = {len(codes) for codes, _, ids in modalities.values() if ids is None}
    if len(lengths) > 1 or (lengths and any(len(codes) not in lengths for codes, _, _ in modalities.values())):
        raise ValueError(f"{_NAME}: {argument}: expected ids, or as many rows in every modality")
    for name, modality in modalities.items():
        ids = _ids(modality)
        if len(ids) != len(modality[0]):
            raise ValueError(f"{_NAME}: {argument}: expected {len(modality[0])} ids for {name!r}, got {len(ids)}")
        if len(np.unique(ids)) != len(ids):
            raise ValueError(f"{_NAME}: {argument}: expected ids of {name!r} that occur once, got repeated ones")


def _ids(modality: tuple[Array, Array, Any]) -> NDArray[Any]:
    codes, _, ids = modality
    return np.arange(len(codes)) if ids is None else np.asarray(ids)


def _check_disjoint(
    queries: Modalities, database: Modalities, ids: dict[str, NDArray[Any]], found: dict[str, NDArray[Any]]
) -> None:
    for a in queries:
        for b in database:
            if queries[a][2] is not None and database[b][2] is not None:
                shared = int(np.isin(ids[a], found[b]).sum())
                if shared:
                    raise ValueError(
                        f"{_NAME}: database: expected no id of the queries, got {shared:,} of {len(ids[a]):,} ids of "
                        f"{a!r} in {b!r}"
                    )


def _rows_of(ids: NDArray[Any], database_ids: NDArray[Any]) -> NDArray[np.int64]:
    """Row of each id in the database, -1 = not there."""
    order = np.argsort(database_ids, kind="stable")
    place = np.searchsorted(database_ids, ids, sorter=order)
    row = order[np.minimum(place, len(order) - 1)] if len(order) else np.zeros(len(ids), np.int64)
    there = database_ids[row] == ids if len(order) else np.zeros(len(ids), dtype=bool)
    return np.where(there, row, -1).astype(np.int64)


def _join(parts: list[Any]) -> Any:
    return torch.cat(parts) if isinstance(parts[0], torch.Tensor) else np.concatenate(parts)


def _notes(ids: dict[str, NDArray[Any]], found: dict[str, NDArray[Any]], one_set: bool) -> list[str]:
    notes = []
    for title, sides in (("queries", ids),) if one_set else (("queries", ids), ("items", found)):
        objects = np.unique(np.concatenate(list(sides.values())))
        for name, own in sides.items():
            if len(own) < len(objects):
                notes.append(f"{len(objects) - len(own):,} of {len(objects):,} {title} lack {name}")
    return notes
