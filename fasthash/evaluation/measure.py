"""Runs any number of metrics over one pass of counts: what all public functions of this room are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fasthash import ops
from fasthash.evaluation.buckets import Buckets
from fasthash.evaluation.checks import to_numpy
from fasthash.evaluation.counts import Counts
from fasthash.evaluation.inputs import RetrievalInputs
from fasthash.evaluation.merge import different_queries
from fasthash.evaluation.ranks import Rerank, in_index_order, most_queries, reranked
from fasthash.evaluation.score import Score, average, summarise
from fasthash.evaluation.stream import count_blocks

Ties = Literal["expected", "index", "best", "worst"]
Empty = Literal["zero", "skip"]
Gain = Literal["exponential", "linear"]
Values = NDArray[np.float64]

TIES = ("expected", "index", "best", "worst")
EMPTY = ("zero", "skip")


class Metric(ABC):
    """A number for each query, made of sums over the buckets of its ranking.

    Attributes:
        empty: what becomes of queries whose divisor is 0.
        k: ranks of its window, None = all.
        tied: whether the order within a distance matters.
        counted: whether, in index order, all it needs are the sums and hits of `average_precision_counts` within k.
    """

    empty: Empty = "zero"
    k: int | None
    tied: ClassVar[bool] = True
    counted: ClassVar[bool] = False

    @abstractmethod
    def convention(self, ties: str, relevance: str) -> str:
        """The metric and every choice behind it, in words."""

    @abstractmethod
    def terms(self, buckets: Buckets) -> Values:
        """(m, q) sums over the buckets of each query; those of the parts of a ranking add up."""

    @abstractmethod
    def finish(self, terms: Values, counts: Counts) -> tuple[Values, Values]:
        """(q,) values, and (q,) probabilities that the divisor is not 0; the value is 0 where that is."""

    def window(self, counts: Counts) -> int:
        """Ranks that the metric looks at; by default all."""
        return int(counts.items.max(initial=0))


def named(name: str, note: str = "", **choices: str) -> str:
    """A convention in words: ``mAP@10[divisor=hits, ties=expected]``; the note comes last."""
    texts = [f"{choice}={value}" for choice, value in choices.items() if value]
    return f"{name}[{', '.join([*texts, note] if note else texts)}]"


def clipped(k: int | None, items: int) -> tuple[int | None, str]:
    """A window that ends with the database, and a note where that makes it smaller."""
    if k is None or k <= items:
        return k, ""
    return items, f"clipped from k={k}"


def measure(
    inputs: RetrievalInputs,
    metrics: Sequence[Metric],
    ties: Ties = "expected",
    *,
    gain: Gain | None = None,
    rerank: Rerank | None = None,
    observers: Iterable[Callable[[RetrievalInputs, Counts], None]] = (),
) -> list[Score]:
    """The scores of the metrics, in their order.

    Args:
        inputs: codes and labels.
        metrics: what to compute.
        ties: order within a distance; "expected" also gives each score its best and worst.
        gain: grades are counted, and gain so much; None = relevant or not.
        rerank: features that order equal distances, in place of ``ties``.
        observers: see each block of counts, too, and the inputs that it is a block of (equal queries merged).
    """
    inputs, merged = (inputs, None) if rerank else different_queries(inputs)
    orders: tuple[Ties, ...] = ("expected", "best", "worst") if ties == "expected" and not rerank else (ties,)
    results = np.zeros((len(metrics), len(orders), 2, len(inputs.queries)))
    streamed = dict(enumerate(metrics))
    if ties == "index" and not rerank:
        # Ranking item by item, where another metric asks for it, serves short windows in passing.
        ranked_anyway = any(metric.tied and not metric.counted for metric in metrics)
        counted = [i for i, metric in streamed.items() if metric.counted and not (metric.k and ranked_anyway)]
        known: dict[int | None, tuple[Values, Counts]] = {}
        for i in counted:
            metric = streamed.pop(i)
            if metric.k not in known:
                known[metric.k] = _by_op(inputs, metric.k)
            results[i, 0] = metric.finish(*known[metric.k])
    observers = tuple(observers)
    if streamed or observers:
        most = most_queries(len(inputs.database), rerank) if ties == "index" or rerank else None
        for counts in count_blocks(inputs, gain, most):
            if merged is not None:
                counts.weight = merged.times[counts.rows]
            for observe in observers:
                observe(inputs, counts)
            for o, order in enumerate(orders):
                chosen = {i: metric for i, metric in streamed.items() if metric.tied or o == 0}
                _measure_block(inputs, counts, order, rerank, chosen, results[:, o, :, counts.rows])
    if merged is not None:
        results = results[..., merged.inverse]
    shown = "rerank" if rerank else ties
    return [_score(metric, result, shown, inputs.relevance) for metric, result in zip(metrics, results, strict=True)]


def rankings(
    inputs: RetrievalInputs, counts: Counts, ties: Ties, k: int, rerank: Rerank | None = None
) -> Iterable[Buckets]:
    """The rankings of a block of queries down to rank ``k`` at least, in one part or more."""
    if rerank is not None and k > 0:
        return reranked(inputs, counts, k, rerank)
    if ties == "index" and k > 0:
        return in_index_order(inputs, counts, k)
    return [counts.buckets("expected" if ties == "index" else ties)]


def _measure_block(
    inputs: RetrievalInputs,
    counts: Counts,
    ties: Ties,
    rerank: Rerank | None,
    metrics: dict[int, Metric],
    results: NDArray[np.float64],
) -> None:
    """Write values and weights of a block of queries to the metrics' rows of ``results`` (metrics, 2, block)."""
    if not metrics:
        return
    windows = {i: metric.window(counts) for i, metric in metrics.items()}
    sums: dict[int, Values] = {}
    for part in rankings(inputs, counts, ties, max(windows.values()), rerank):
        for i, metric in metrics.items():
            terms = metric.terms(part.first(windows[i]))
            sums[i] = sums[i] + terms if i in sums else terms
    for i, metric in metrics.items():
        results[i] = metric.finish(sums[i], counts)


def _by_op(inputs: RetrievalInputs, k: int | None) -> tuple[Values, Counts]:
    """(2, q) precision sums and hits over the first k ranks in index order, and the counts of relevant items."""
    sums, hits, relevant = ops.average_precision_counts(
        inputs.queries,
        inputs.database,
        inputs.query_labels,
        inputs.database_labels,
        k=k or None,  # no window in an empty database
        exclude=inputs.exclude,
    )
    at_some_distance = to_numpy(relevant)[:, None]
    return np.stack([to_numpy(sums), to_numpy(hits)]), Counts(slice(None), at_some_distance, at_some_distance)


def _score(metric: Metric, results: NDArray[np.float64], ties: str, relevance: str) -> Score:
    values, weights = results[0]
    score = summarise(values, weights, metric.empty, metric.convention(ties, relevance))
    if len(results) == 3 and metric.tied:
        score.best, score.worst = (average(values, weights, metric.empty) for values, weights in results[1:])
    return score
