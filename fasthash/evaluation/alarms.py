"""Alarms of a report: signs that a number is not what it seems. Each says what was seen, why it matters, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fasthash.evaluation.bit_statistics import BitStatistics
from fasthash.evaluation.harmonic import harmonic_difference
from fasthash.evaluation.score import Score

Level = Literal["warning", "hint"]

BALANCE = (0.05, 0.95)
"""A bit whose mean lies outside is unbalanced."""
FEWEST_DISTINCT = 0.5
"""Share of the different codes that as many random codes of that length would have; fewer raise an alarm."""
EQUAL = 1e-6
"""AP of all queries, or mAP of all directions, closer together than this are equal."""
SORTED_RUNS = 2.0
"""A database with at most this many runs of equal labels for each different label set is sorted by class."""
CHANCE = 0.01
"""mAP within this share of the chance level is no better than chance."""
TIES_DECIDE = 0.02
"""Best minus worst mAP above this: the order of ties decides the result."""
SMALL_RECALL = 0.01
"""Recall within a radius below this gets a hint, from 32 bits on."""


@dataclass(frozen=True)
class Alarm:
    """Something about a result that its reader should know.

    Attributes:
        name: short and stable.
        level: "warning", or "hint" where nothing need be wrong.
        seen: what was seen, with numbers.
        why: why it matters.
        remedy: what to do.
    """

    name: str
    level: Level
    seen: str
    why: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.level}: {self.name}: {self.seen}. {self.why} {self.remedy}"


def constant_bits(side: str, statistics: BitStatistics) -> Alarm | None:
    """Any bit that is the same in all codes of one side."""
    constant = statistics.constant
    if statistics.codes < 2 or not len(constant):
        return None
    return Alarm(
        "constant bits",
        "warning",
        f"{len(constant)} of {len(statistics.mean)} bits are equal in all {side} codes: {_some(constant)}",
        "A constant bit tells no two items apart, so the codes are shorter than they claim.",
        "Report the number of bits that vary, or train with a balance term.",
    )


def unbalanced_bits(side: str, statistics: BitStatistics) -> Alarm | None:
    """Any bit that varies, but is set in less than 5 % or more than 95 % of the codes."""
    low, high = BALANCE
    mean = statistics.mean
    outside = np.flatnonzero(((mean > 0) & (mean < low)) | ((mean > high) & (mean < 1)))
    if not len(outside):
        return None
    return Alarm(
        "unbalanced bits",
        "warning",
        f"{len(outside)} of {len(mean)} bits are set in under {low:.0%} or over {high:.0%} of the {side} codes: "
        f"{_some(outside)}",
        "Such a bit carries little information.",
        "Look at the threshold of the sign step, or train with a balance term.",
    )


def duplicate_codes(statistics: BitStatistics) -> Alarm | None:
    """Fewer different database codes than half of what random codes of that length would have."""
    bits, codes = len(statistics.mean), statistics.codes
    random = -(2.0**bits) * np.expm1(codes * np.log1p(-(2.0**-bits))) if bits < 50 else float(codes)
    if codes < 2 or statistics.distinct >= FEWEST_DISTINCT * random:
        return None
    return Alarm(
        "duplicate codes",
        "warning",
        f"{statistics.distinct:,} different codes among {codes:,} in the database (duplicate rate "
        f"{statistics.duplicate_rate:.4f}; random codes: about {random:,.0f} different ones), and one code has "
        f"{statistics.largest_share:.1%} of the items",
        "Items with one code cannot be ranked: the result hangs on how ties are treated.",
        'Quote the value with ties="expected", and best and worst beside it.',
    )


def fewer_codes_than_classes(statistics: BitStatistics, classes: int) -> Alarm | None:
    """Fewer different database codes than classes."""
    if statistics.distinct >= classes:
        return None
    return Alarm(
        "fewer codes than classes",
        "warning",
        f"{statistics.distinct} different codes for {classes} classes in the database",
        "Some classes share all their codes and cannot be told apart.",
        "Train longer, with more bits, or with a loss that keeps classes apart.",
    )


def equal_average_precision(score: Score) -> Alarm | None:
    """All queries have the same AP; a hint where it is 1."""
    values = score.per_query[~np.isnan(score.per_query)]
    if len(values) < 2 or values.max() - values.min() >= EQUAL:
        return None
    perfect = values.min() > 1 - EQUAL
    return Alarm(
        "equal AP",
        "hint" if perfect else "warning",
        f"all {len(values):,} queries have AP {values.mean():.6f} to within {EQUAL:g}",
        "Perfect codes do that, and so does a database that holds the queries."
        if perfect
        else "Different queries do not score alike unless all codes are equal, or all labels are.",
        "Look at the codes, at the labels, and at how the split was made.",
    )


def chance_level(relevant: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.float64]:
    """Expected AP of each query when all codes are equal: a + (1 - a) H_n / n with a = (R - 1) / (n - 1).

    Args:
        relevant: (q,) relevant items R of each query.
        items: (q,) items n that each query meets.

    Example:
        >>> chance_level(np.array([5_900]), np.array([59_000])).round(4)
        array([0.1002])
    """
    slope = (relevant - 1) / np.maximum(items - 1, 1)
    mean = harmonic_difference(np.zeros_like(items), items) / np.maximum(items, 1)
    result: NDArray[np.float64] = np.where(relevant > 0, slope + (1 - slope) * mean, 0.0)
    return result


def near_chance(score: Score, chance: float) -> Alarm | None:
    """mAP within 1 % of the chance level."""
    if not chance > 0 or not abs(score - chance) <= CHANCE * chance:
        return None
    return Alarm(
        "chance level",
        "warning",
        f"mAP {score:.4f} is within {CHANCE:.0%} of {chance:.4f}, what equal codes for all items score",
        "The codes say nothing about the labels.",
        "Check that codes and labels are in the same order, and that training did anything.",
    )


def ties_decide(score: Score) -> Alarm | None:
    """Best and worst order of ties lie more than 0.02 apart."""
    if score.best is None or score.worst is None or not score.best - score.worst > TIES_DECIDE:
        return None
    return Alarm(
        "ties decide",
        "warning",
        f"mAP lies between {score.worst:.4f} and {score.best:.4f}, whatever the order of items at equal distance",
        "Code that breaks ties by index or by an unstable sort may print any number in between.",
        'Quote the value with ties="expected" and this range; `evaluation.audit` shows what others would print.',
    )


def sorted_database(sets: NDArray[np.int64]) -> Alarm | None:
    """The database is sorted by class (label sets as numbers, (n,)), which matters when index breaks ties."""
    if len(sets) < 2:
        return None
    runs = 1 + int((np.diff(sets) != 0).sum())
    _, sizes = np.unique(sets, return_counts=True)
    in_random_order = len(sets) * (1 - ((sizes / len(sets)) ** 2).sum())
    if len(sizes) < 2 or runs > SORTED_RUNS * len(sizes) or runs > in_random_order / 2:
        return None
    return Alarm(
        "sorted database",
        "warning",
        f'the {len(sets):,} database items come in {runs:,} runs of equal labels, and ties="index"',
        "Among items at equal distance a class that stands first wins: sorting the database changes the result.",
        'Use ties="expected", or shuffle the database.',
    )


def zeros_at_the_sign_step(side: str, zeros: int, entries: int) -> Alarm | None:
    """Signed code matrices with entries that are exactly 0."""
    if not zeros:
        return None
    return Alarm(
        "zeros at the sign step",
        "warning",
        f"{zeros:,} of {entries:,} entries of the {side} codes are 0; they became bit 0, as -1 did",
        "A sign function that keeps 0 makes a third value and half distances: other code would print another number.",
        "Decide where 0 belongs before you evaluate (here: bit = x > 0).",
    )


def overlapping_rows(shared: int, queries: int) -> Alarm | None:
    """Queries whose features are found in the database, row for row."""
    if not shared:
        return None
    return Alarm(
        "overlap",
        "warning",
        f"{shared:,} of {queries:,} queries have the same features as an item of the database",
        "A query that finds itself scores too high.",
        "Mend the split, or name each query's own row with `exclude`.",
    )


def small_recall(score: Score, radius: int, bits: int) -> Alarm | None:
    """Recall within a radius that is near 0, with codes of 32 bits or more."""
    if bits < 32 or not score < SMALL_RECALL:
        return None
    return Alarm(
        "small recall",
        "hint",
        f"recall within radius {radius} is {score:.4f} at {bits} bits",
        "A ball of fixed radius holds less and less of the space as codes grow: at radius 2, 0.21 % of random 16-bit "
        "codes, 1e-16 of 64-bit ones.",
        "Nothing need be wrong; compare recall at equal ranks, or widen the radius with the bits.",
    )


def equal_directions(scores: dict[str, float]) -> Alarm | None:
    """mAP of all directions of a cross-modal evaluation are equal."""
    values = list(scores.values())
    if len(values) < 2 or not max(values) - min(values) < EQUAL:
        return None
    return Alarm(
        "equal directions",
        "warning",
        f"mAP is {values[0]:.6f} in all {len(values)} directions to within {EQUAL:g}",
        "That happens when the codes are constant.",
        "Look at the codes of each modality.",
    )


def present(*alarms: Alarm | None) -> list[Alarm]:
    """Those that were raised."""
    return [alarm for alarm in alarms if alarm is not None]


def _some(positions: Sequence[int] | NDArray[np.int64], most: int = 8) -> str:
    shown = ", ".join(str(int(position)) for position in positions[:most])
    return shown if len(positions) <= most else f"{shown}, ..."
