"""What common public code would print as mAP for the same codes, beside the value that no tie order moves."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from fasthash.evaluation.average_precision import metric_of
from fasthash.evaluation.checks import Array, check_integer
from fasthash.evaluation.conventions import CONVENTIONS, Convention
from fasthash.evaluation.curves import RadiusCurve
from fasthash.evaluation.inputs import Exclude, RetrievalInputs, prepare
from fasthash.evaluation.measure import Metric, measure
from fasthash.evaluation.ranks import check_rerank
from fasthash.evaluation.report import plain


@dataclass(frozen=True)
class AuditRow:
    """One convention, applied to the codes.

    Attributes:
        convention: its rule, and who follows it.
        arguments: of `mean_average_precision`, as Python would write them.
        by_index: the value with ties broken by database index, as most public code prints it (an unstable sort prints
            some other order's value).
        expected: the mean over all orders of ties; None for G and H.
        best: with relevant items first in each tie.
        worst: with relevant items last.
        empty: queries whose divisor is 0, in index order; None for H.
    """

    convention: Convention
    arguments: str
    by_index: float
    expected: float | None
    best: float | None
    worst: float | None
    empty: int | None


@dataclass(frozen=True)
class Audit:
    """The result of `audit`. ``str()`` is a table.

    Attributes:
        k: window of the conventions that have one.
        queries: number of queries.
        rows: one for each convention.
        notes: what was left out.
    """

    k: int
    queries: int
    rows: list[AuditRow]
    notes: list[str]

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest number that some convention can print, over all rows and orders of ties."""
        numbers = [x for row in self.rows for x in (row.by_index, row.expected, row.best, row.worst) if x is not None]
        known = [x for x in numbers if not math.isnan(x)]  # a mean over no query is NaN
        return (min(known), max(known)) if known else (math.nan, math.nan)

    def __str__(self) -> str:
        width = max(len(row.arguments) for row in self.rows)
        lines = [f"   {'arguments':<{width}}  by index  expected      best     worst   empty"]
        for row in self.rows:
            numbers = "  ".join(f"{_shown(x):>8}" for x in (row.by_index, row.expected, row.best, row.worst))
            empty = "" if row.empty is None else f"{row.empty:,}"
            lines.append(f"{row.convention.letter}  {row.arguments:<{width}}  {numbers}  {empty:>6}")
        low, high = self.range
        lines += ["", f"The same codes can be said to have an mAP from {low:.4f} to {high:.4f}.", ""]
        lines += [f"{row.convention.letter}: {row.convention.rule}. {row.convention.seen_in}" for row in self.rows]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Everything in plain Python types; numbers that do not exist are None."""
        result: dict[str, Any] = plain(asdict(self))
        return result


def audit(
    query_codes: Array,
    database_codes: Array,
    query_labels: Array,
    database_labels: Array,
    *,
    k: int = 5000,
    bits: int | None = None,
    exclude: Exclude = "auto",
    features: tuple[Array, Array] | None = None,
) -> Audit:
    """The mAP of one set of codes under every convention that public code follows.

    Args:
        query_codes: (q, bytes) uint8 packed, or (q, bits) unpacked; see `mean_average_precision`, also for the next
            three, ``bits`` and ``exclude``.
        database_codes: (n, bytes) or (n, bits).
        query_labels: (q,) class ids or (q, classes) multi-hot.
        database_labels: (n,) or (n, classes).
        k: window of the conventions that have one.
        bits: code width.
        exclude: self-exclusion.
        features: (q, d) and (n, d) real-valued features, for convention G.

    Raises:
        TypeError: an argument of the wrong kind or dtype.
        ValueError: k < 1, wrong shapes, non-zero spare bits, NaN.

    Example:
        >>> import numpy as np
        >>> codes, labels = np.zeros((100, 1), np.uint8), np.repeat([0, 1], 50)
        >>> result = audit(codes[:1], codes, labels[:1], labels, k=10)
        >>> result.rows[0].by_index, round(result.rows[0].expected, 4)
        (1.0, 0.5211)
    """
    k = check_integer("audit", "k", k, 1)
    arrays = (query_codes, database_codes, query_labels, database_labels)
    inputs = prepare("audit", *arrays, bits, exclude)
    identical = prepare("audit", *arrays, bits, exclude, "identical")
    rows = {row.convention.letter: row for row in [*_under(inputs, "ABCDEIJ", k), *_under(identical, "F", k)]}
    rerank = check_rerank("audit", features, inputs)
    if rerank is not None:
        score = measure(inputs, [_metric(inputs, CONVENTIONS["G"], k)], rerank=rerank)[0]
        written = f"{_written(CONVENTIONS['G'], k)}, rerank=features"
        rows["G"] = AuditRow(CONVENTIONS["G"], written, float(score), None, None, None, score.empty)
    pooled = RadiusCurve(inputs)
    measure(inputs, [], observers=[pooled])
    area = pooled.curve("micro", "zero").area
    written = 'precision_recall_curve(..., average="micro").area'
    rows["H"] = AuditRow(CONVENTIONS["H"], written, area, None, None, None, None)
    notes = [] if rerank is not None else ["G needs features"]
    if k > len(inputs.database):
        notes.append(f"k={k} is more than the {len(inputs.database):,} database codes: windows end there")
    return Audit(k, len(inputs.queries), [rows[letter] for letter in CONVENTIONS if letter in rows], notes)


def _under(inputs: RetrievalInputs, letters: str, k: int) -> list[AuditRow]:
    """Rows of several conventions, from one pass for all orders but index, and one for that."""
    conventions = [CONVENTIONS[letter] for letter in letters]
    metrics = [_metric(inputs, convention, k) for convention in conventions]
    return [
        AuditRow(convention, _written(convention, k), float(i), float(e), e.best, e.worst, i.empty)
        for convention, e, i in zip(
            conventions, measure(inputs, metrics), measure(inputs, metrics, "index"), strict=True
        )
    ]


def _metric(inputs: RetrievalInputs, convention: Convention, k: int) -> Metric:
    options = {name: value for name, value in convention.call(k).items() if name != "relevance"}
    return metric_of(len(inputs.database), **options)


def _written(convention: Convention, k: int) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in convention.call(k).items())


def _shown(x: float | None) -> str:
    return "" if x is None else f"{x:.4f}"
