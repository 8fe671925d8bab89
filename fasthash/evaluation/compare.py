"""Two reports side by side, with confidence intervals of their differences over the same queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fasthash.evaluation.checks import check_integer
from fasthash.evaluation.report import RetrievalReport
from fasthash.evaluation.score import Score

_BLOCK = 1 << 22  # drawn queries at a time


@dataclass(frozen=True)
class Difference:
    """One metric of two reports.

    Attributes:
        name: its short name.
        convention: the metric and its choices; both reports have the same.
        a: value in the first report.
        b: value in the second.
        difference: b - a.
        low: lower end of the confidence interval of the difference; NaN where it is not defined.
        high: upper end.
    """

    name: str
    convention: str
    a: float
    b: float
    difference: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`. ``str()`` is a table; a star marks differences whose interval leaves out 0.

    Attributes:
        names: of the two reports.
        differences: one for each metric that both reports have under the same convention.
        confidence: of the intervals.
        resamples: draws behind them.
        seed: of the draws.
        left_out: names of metrics that only one report has, or that differ in convention.
    """

    names: tuple[str, str]
    differences: dict[str, Difference]
    confidence: float
    resamples: int
    seed: int
    left_out: list[str]

    def __str__(self) -> str:
        width = max([len(d.convention) for d in self.differences.values()], default=0)
        columns = [max(8, len(name)) for name in self.names]
        titles = "  ".join(f"{name:>{column}}" for name, column in zip(self.names, columns, strict=True))
        lines = [f"{'':<{width}}  {titles}  difference  {self.confidence:.0%} interval"]
        for d in self.differences.values():
            values = "  ".join(f"{x:>{column}.4f}" for x, column in zip((d.a, d.b), columns, strict=True))
            interval = f"{d.low:+.4f} to {d.high:+.4f}{' *' if d.clear else ''}"
            lines.append(f"{d.convention:<{width}}  {values}  {d.difference:>+10.4f}  {interval}")
        lines.append(f"paired bootstrap over queries, {self.resamples:,} resamples, seed {self.seed}")
        if self.left_out:
            lines.append(f"not comparable: {', '.join(self.left_out)}")
        return "\n".join(lines)


def compare(
    a: RetrievalReport,
    b: RetrievalReport,
    *,
    names: tuple[str, str] = ("a", "b"),
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Differences of all metrics that two reports share, with paired bootstrap intervals over queries.

    Queries are drawn with replacement, the same draw for both reports, and the means are taken over the drawn ones
    (Efron's percentile interval; Sakai, SIGIR 2006, for retrieval). An interval speaks of other queries of the same
    kind, not of other training runs: differences between seeds come on top.

    Args:
        a: a report.
        b: a report of the same queries, in the same order.
        names: of the two, for the table.
        resamples: draws, at least 100.
        confidence: between 0 and 1.
        seed: the same seed gives the same intervals.

    Raises:
        TypeError: not two reports.
        ValueError: reports of different queries, one read from a file, which has no values of single queries, or
            options out of range.

    Example:
        >>> from fasthash.evaluation import evaluate
        >>> rng = np.random.default_rng(0)
        >>> labels = rng.integers(0, 3, 300)
        >>> patterns = np.arange(3)[:, None] == np.arange(16) % 3
        >>> def codes(noise):
        ...     return rng.random((300, 16)) < np.where(patterns, 1 - noise, noise)[labels]
        >>> reports = [evaluate(x[:50], x[50:], labels[:50], labels[50:], k=()) for x in (codes(0.3), codes(0.2))]
        >>> compare(*reports).differences["mAP@all"].clear
        True
    """
    for argument, report in (("a", a), ("b", b)):
        if not isinstance(report, RetrievalReport):
            raise TypeError(f"compare: {argument}: expected a RetrievalReport, got {type(report).__name__}")
    if a.queries != b.queries or a.digest != b.digest:
        raise ValueError(
            f"compare: b: expected a report of the same {a.queries:,} queries, got {b.queries:,} queries with "
            f"{'the same' if a.digest == b.digest else 'other'} labels"
        )
    for argument, report in (("a", a), ("b", b)):
        if any(len(score.per_query) != report.queries for score in report.scores.values()):
            raise ValueError(
                f"compare: {argument}: expected a report with the values of single queries, as `evaluate` returns it, "
                "got one without"
            )
    resamples = check_integer("compare", "resamples", resamples, 100)
    if not 0 < confidence < 1:
        raise ValueError(f"compare: confidence: expected a number between 0 and 1, got {confidence}")
    shared = [n for n in a.scores if n in b.scores and a.scores[n].convention == b.scores[n].convention]
    pairs = [(a.scores[name], b.scores[name]) for name in shared]
    draws = _bootstrap(pairs, a.queries, resamples, seed)
    tail = (1 - confidence) / 2
    differences = {}
    for name, (first, second), column in zip(shared, pairs, draws.T, strict=True):
        known = column[~np.isnan(column)]
        low, high = np.quantile(known, [tail, 1 - tail]) if len(known) else (np.nan, np.nan)
        values = (float(first), float(second), float(second) - float(first))
        differences[name] = Difference(name, first.convention, *values, float(low), float(high))
    left_out = [name for name in [*a.scores, *(n for n in b.scores if n not in a.scores)] if name not in shared]
    return Comparison(names, differences, confidence, resamples, seed, left_out)


def _bootstrap(pairs: Sequence[tuple[Score, Score]], queries: int, resamples: int, seed: int) -> NDArray[np.float64]:
    """(resamples, metrics) differences of the means over drawn queries; NaN where no drawn query has a weight."""
    if not pairs or not queries:
        return np.full((resamples, len(pairs)), np.nan)
    scores = [score for pair in pairs for score in pair]
    weights = np.stack([score.weights for score in scores], axis=1)  # (q, 2 metrics)
    values = np.stack([np.nan_to_num(score.per_query) for score in scores], axis=1)
    generator = np.random.default_rng(seed)
    means = np.empty((resamples, len(scores)))
    step = max(1, _BLOCK // queries)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = generator.integers(0, queries, (rows, queries)) + queries * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * queries).reshape(rows, queries).astype(np.float64)
        total = times @ weights
        with np.errstate(invalid="ignore"):
            means[start : start + rows] = np.where(total > 0, times @ values / total, np.nan)
    return means[:, 1::2] - means[:, ::2]
