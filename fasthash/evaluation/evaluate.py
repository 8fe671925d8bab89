"""All numbers of a retrieval result in one pass: the function behind a `RetrievalReport`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from fasthash.evaluation import alarms
from fasthash.evaluation.average_precision import AveragePrecision, BallAveragePrecision
from fasthash.evaluation.bit_statistics import bit_statistics
from fasthash.evaluation.checks import Array, Checked, check_choice, check_integer, dtype_family, row_blocks, to_numpy
from fasthash.evaluation.counts import Counts
from fasthash.evaluation.curves import RadiusCurve, RankCurve, rank_points
from fasthash.evaluation.graded import GAINS, CumulativeGain, DiscountedGain, WeightedAveragePrecision
from fasthash.evaluation.inputs import Exclude, Relevance, RetrievalInputs, host_labels, prepare, row_words
from fasthash.evaluation.measure import EMPTY, TIES, Empty, Gain, Metric, Ties, measure
from fasthash.evaluation.merge import row_hashes
from fasthash.evaluation.overlap import shared_ids, shared_rows
from fasthash.evaluation.precision import PrecisionAt, PrecisionWithin, RecallAt, RecallWithin
from fasthash.evaluation.report import Cost, DistanceHistogram, RetrievalReport

_NAME = "evaluate"


def evaluate(
    query_codes: Array,
    database_codes: Array,
    query_labels: Array,
    database_labels: Array,
    *,
    bits: int | None = None,
    k: Sequence[int] = (10, 100, 1000, 5000),
    radius: int = 2,
    ties: Ties = "expected",
    gain: Gain = "exponential",
    empty: Empty = "zero",
    relevance: Relevance = "share",
    exclude: Exclude = "auto",
    query_ids: Any = None,
    database_ids: Any = None,
    query_features: Array | None = None,
    database_features: Array | None = None,
) -> RetrievalReport:
    """Evaluate codes by all metrics of this room, in one pass over the pairs.

    mAP of the whole ranking and of the first k ranks (divided by hits, and by min(k, R)), precision and recall at k and
    within a radius, mAP within it, curves by radius and by rank, distances of relevant and irrelevant pairs, statistics
    of the bits, alarms. Multi-hot labels get NDCG, ACG and WAP too. A k above the items is clipped in mAP, NDCG and
    WAP, and left out in P, R and ACG, with a note.

    Args:
        query_codes: (q, bytes) uint8 packed, or (q, bits) unpacked; see `mean_average_precision`, also for the next
            three, ``bits``, ``ties``, ``empty``, ``relevance`` and ``exclude``.
        database_codes: (n, bytes) or (n, bits).
        query_labels: (q,) class ids or (q, classes) multi-hot.
        database_labels: (n,) or (n, classes).
        bits: code width.
        k: numbers of ranks.
        radius: of the Hamming ball, in bits, inclusive.
        ties: order among equal distances. Curves by rank are always expected over ties.
        gain: of NDCG; see `ndcg_at`.
        empty: what becomes of queries whose divisor is 0.
        relevance: "share" a label, or "identical" label sets, which leaves out the graded metrics.
        exclude: self-exclusion.
        query_ids: (q,) numbers or texts; with ``database_ids``, shared ids are an error unless ``exclude`` names rows.
        database_ids: (n,) likewise.
        query_features: (q, d) of any dtype; with ``database_features``, queries whose row is found in the database
            raise an alarm.
        database_features: (n, d), of the same dtype.

    Raises:
        TypeError: an argument of the wrong kind or dtype.
        ValueError: an unknown option, wrong shapes, non-zero spare bits, NaN, ids that queries and database share.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = rng.integers(0, 3, 60)
        >>> codes = rng.random((60, 16)) < np.where(np.arange(3)[:, None] == np.arange(16) % 3, 0.9, 0.1)[labels]
        >>> report = evaluate(codes[:20], codes[20:], labels[:20], labels[20:], k=(5,))
        >>> print(report["mAP@all"])
        mAP@all[divisor=hits, ties=expected, empty=zero, relevance=share] = 0.9921 (best 0.9972, worst 0.9872; \
0 of 20 queries empty)
        >>> [alarm.name for alarm in report.alarms]
        []
    """
    start = time.perf_counter()
    for argument, value, choices in (("ties", ties, TIES), ("empty", empty, EMPTY), ("gain", gain, GAINS)):
        check_choice(_NAME, argument, value, choices)
    windows = sorted({check_integer(_NAME, "k", window, 1) for window in k})
    radius = check_integer(_NAME, "radius", radius, 0)
    inputs = prepare(_NAME, query_codes, database_codes, query_labels, database_labels, bits, exclude, relevance)
    _check_ids(inputs, query_ids, database_ids)
    graded = inputs.relevance == "share" and inputs.query_labels.ndim == 2
    metrics = _metrics(inputs, windows, radius, gain if graded else None, empty)
    by_radius, by_rank, pairs = RadiusCurve(inputs), RankCurve(inputs, rank_points(inputs.fewest_items)), _Pairs(inputs)
    values = measure(
        inputs,
        list(metrics.values()),
        ties,
        gain=gain if graded else None,
        observers=(by_radius, by_rank, pairs),
    )
    scores = dict(zip(metrics, values, strict=True))
    statistics = {
        "query": bit_statistics(inputs.queries, inputs.bits),
        "database": bit_statistics(inputs.database, inputs.bits),
    }
    raised = alarms.present(
        *(alarms.constant_bits(side, bits_of_side) for side, bits_of_side in statistics.items()),
        *(alarms.unbalanced_bits(side, bits_of_side) for side, bits_of_side in statistics.items()),
        alarms.duplicate_codes(statistics["database"]),
        alarms.fewer_codes_than_classes(statistics["database"], _classes(inputs)),
        alarms.equal_average_precision(scores["mAP@all"]),
        alarms.near_chance(scores["mAP@all"], pairs.chance(empty)),
        alarms.ties_decide(scores["mAP@all"]),
        alarms.sorted_database(_label_sets(inputs.database_labels)) if ties == "index" else None,
        *(
            alarms.zeros_at_the_sign_step(side, *_zeros(codes))
            for side, codes in (("query", query_codes), ("database", database_codes))
        ),
        alarms.small_recall(scores[f"recall within radius {radius}"], radius, inputs.bits),
    )
    if query_features is not None and database_features is not None and inputs.exclude is None:
        shared = shared_rows(_NAME, query_features, database_features)
        raised += alarms.present(alarms.overlapping_rows(shared, len(inputs.queries)))
    settings = {
        "k": windows,
        "radius": radius,
        "ties": ties,
        "gain": gain if graded else None,
        "empty": empty,
        "relevance": relevance,
        "excluded rows": 0 if inputs.exclude is None else int((inputs.exclude >= 0).sum()),
        "fasthash": version("fasthash"),
    }
    return RetrievalReport(
        queries=len(inputs.queries),
        items=len(inputs.database),
        bits=inputs.bits,
        settings=settings,
        scores=scores,
        curves={
            f"{collector.by}, {average}": collector.curve(average, empty)
            for collector in (by_radius, by_rank)
            for average in ("macro", "micro")
        },
        distances=DistanceHistogram(pairs.relevant, pairs.all - pairs.relevant),
        query_bits=statistics["query"],
        database_bits=statistics["database"],
        alarms=raised,
        notes=_notes(inputs, windows, graded),
        cost=Cost(time.perf_counter() - start, int(pairs.all.sum())),
        digest=hashlib.sha256(np.ascontiguousarray(host_labels(inputs.query_labels)).tobytes()).hexdigest()[:16],
    )


def _metrics(
    inputs: RetrievalInputs, windows: list[int], radius: int, gain: Gain | None, empty: Empty
) -> dict[str, Metric]:
    """Short name -> metric, in the order of the report."""
    items = len(inputs.database)
    inside = [k for k in windows if k <= inputs.fewest_items]
    metrics: dict[str, Metric] = {"mAP@all": AveragePrecision(None, "hits", empty)}
    for k in windows:
        metrics[f"mAP@{k}"] = AveragePrecision.within(k, items, "hits", empty)
        metrics[f"mAP@{k}[min]"] = AveragePrecision.within(k, items, "min", empty)
    metrics |= {f"P@{k}": PrecisionAt(k) for k in inside}
    metrics |= {f"R@{k}": RecallAt(k, empty) for k in inside}
    metrics[f"precision within radius {radius}"] = PrecisionWithin(radius, empty)
    metrics[f"recall within radius {radius}"] = RecallWithin(radius, empty)
    metrics[f"mAP within radius {radius}"] = BallAveragePrecision(radius, empty)
    if gain is not None:
        metrics["NDCG@all"] = DiscountedGain(None, gain, empty)
        metrics |= {f"NDCG@{k}": DiscountedGain.within(k, items, gain, empty) for k in windows}
        metrics |= {f"ACG@{k}": CumulativeGain(k) for k in inside}
        metrics["WAP@all"] = WeightedAveragePrecision(None, "hits", empty)
        metrics |= {f"WAP@{k}": WeightedAveragePrecision.within(k, items, "hits", empty) for k in windows}
    return metrics


class _Pairs:
    """Pairs by distance, and what equal codes would score; checks that no pair was lost."""

    def __init__(self, inputs: RetrievalInputs) -> None:
        self.queries = len(inputs.queries)
        self.all = np.zeros(inputs.bits + 1, dtype=np.int64)
        self.relevant = np.zeros(inputs.bits + 1, dtype=np.int64)
        self._chance = self._with_relevant = 0.0

    def __call__(self, inputs: RetrievalInputs, counts: Counts) -> None:
        """Add a block."""
        missing = len(inputs.database) - counts.items
        if missing.min() < 0 or missing.max() > int(inputs.exclude is not None):
            raise RuntimeError(f"{_NAME}: counts of {len(inputs.database)} items do not add up: a fault of fasthash")
        self.all += counts.weight @ counts.size
        self.relevant += counts.weight @ counts.relevant
        self._chance += float(counts.weight @ alarms.chance_level(counts.all_relevant, counts.items))
        self._with_relevant += float(counts.weight @ (counts.all_relevant > 0))

    def chance(self, empty: Empty) -> float:
        """Mean over queries of the AP of equal codes."""
        queries = self.queries if empty == "zero" else self._with_relevant
        return self._chance / queries if queries else 0.0


def _check_ids(inputs: RetrievalInputs, query_ids: Any, database_ids: Any) -> None:
    for name, ids, rows in (
        ("query_ids", query_ids, len(inputs.queries)),
        ("database_ids", database_ids, len(inputs.database)),
    ):
        if ids is not None and len(ids) != rows:
            raise ValueError(f"{_NAME}: {name}: expected {rows} ids, one a code, got {len(ids)}")
    if query_ids is None or database_ids is None or inputs.exclude is not None:
        return
    shared = shared_ids(query_ids, database_ids)
    if shared:
        raise ValueError(
            f"{_NAME}: query_ids: expected no id of the database, got {shared:,} of {len(query_ids):,}; "
            "mend the split, or name each query's own row with exclude"
        )


def _label_sets(labels: Checked) -> Any:
    """(n,) numbers that are equal where label sets are."""
    own = host_labels(labels)
    return own if own.ndim == 1 else row_hashes(row_words(own)).view(np.int64)


def _classes(inputs: RetrievalInputs) -> int:
    """Classes that occur in the database."""
    labels = inputs.database_labels
    if labels.ndim == 1:
        ids = np.unique(host_labels(labels))
        return int((ids >= 0).sum())
    seen = np.zeros(labels.shape[1], dtype=bool)
    for block in row_blocks(labels):
        seen |= to_numpy((block > 0).any(0))
    return int(seen.sum())


def _zeros(codes: Checked) -> tuple[int, int]:
    """Entries equal to 0 of a signed, unpacked matrix, and all its entries; (0, 0) for other forms."""
    if dtype_family(codes) not in ("float", "int"):
        return 0, 0
    zeros, signed = 0, False
    for block in row_blocks(codes):
        zeros += int((block == 0).sum())
        signed = signed or bool((block < 0).any())
    return (zeros, int(codes.shape[0] * codes.shape[1])) if signed else (0, 0)


def _notes(inputs: RetrievalInputs, windows: list[int], graded: bool) -> list[str]:
    notes = []
    for k in windows:
        if k > inputs.fewest_items:
            names = f"P@{k}, R@{k}" + (f" and ACG@{k}" if graded else "")
            notes.append(f"{names} are left out: a query meets {inputs.fewest_items:,} items")
    for side, labels in (("queries", inputs.query_labels), ("database items", inputs.database_labels)):
        without = _unlabelled(labels)
        if without:
            notes.append(f"{without:,} of {len(labels):,} {side} have no label: they are relevant to nothing")
    if inputs.exclude is not None:
        notes.append(f"{int((inputs.exclude >= 0).sum()):,} queries do not meet a row of their own")
    return notes


def _unlabelled(labels: Checked) -> int:
    if labels.ndim == 1:
        return int((labels < 0).sum())
    return sum(int((~(block > 0).any(1)).sum()) for block in row_blocks(labels))
