"""Every metric of one query by its definition, on lists: slow, exact where fractions can be, and sharing no code.

A ranking is a list of grades in order of rank; an item is relevant when its grade is above 0.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import permutations
from typing import Any

Grades = Sequence[int]


def relevant_items(grades: Grades) -> int:
    return sum(grade > 0 for grade in grades)


def _divisor(grades: Grades, k: int, divisor: str) -> int:
    total, hits = relevant_items(grades), relevant_items(grades[:k])
    return {"hits": hits, "relevant": total, "min": min(k, total)}[divisor]


def average_precision(grades: Grades, k: int, divisor: str) -> Fraction:
    return weighted_average_precision([int(grade > 0) for grade in grades], k, divisor)


def weighted_average_precision(grades: Grades, k: int, divisor: str) -> Fraction:
    total, so_far = Fraction(0), 0
    for rank, grade in enumerate(grades[:k], start=1):
        so_far += grade
        if grade > 0:
            total += Fraction(so_far, rank)
    below = _divisor(grades, k, divisor)
    return total / below if below else Fraction(0)


def first_hits_precision(grades: Grades, m: int) -> Fraction:
    """Convention D."""
    wanted = min(m, relevant_items(grades))
    total, found = Fraction(0), 0
    for rank, grade in enumerate(grades, start=1):
        if grade > 0 and found < wanted:
            found += 1
            total += Fraction(found, rank)
    return total / wanted if wanted else Fraction(0)


def precision(grades: Grades, k: int) -> Fraction:
    return Fraction(relevant_items(grades[:k]), k)


def recall(grades: Grades, k: int) -> Fraction:
    total = relevant_items(grades)
    return Fraction(relevant_items(grades[:k]), total) if total else Fraction(0)


def cumulative_gain(grades: Grades, k: int) -> Fraction:
    return Fraction(sum(grades[:k]), k)


def dcg(grades: Grades, k: int, gain: str) -> float:
    gains = [2**grade - 1 if gain == "exponential" else grade for grade in grades[:k]]
    return math.fsum(value / math.log2(1 + rank) for rank, value in enumerate(gains, start=1))


def ndcg(grades: Grades, k: int, gain: str) -> float:
    best = dcg(sorted(grades, reverse=True), k, gain)
    return dcg(grades, k, gain) / best if best else 0.0


def in_order(distances: Sequence[int], grades: Grades, ties: str) -> list[int]:
    """The grades as ranked: "index" by distance and place, "best" and "worst" by grade within a distance."""
    sign = {"index": 0, "best": -1, "worst": 1}[ties]
    order = sorted(range(len(grades)), key=lambda i: (distances[i], sign * grades[i], i))
    return [grades[i] for i in order]


def all_orders(distances: Sequence[int], grades: Grades) -> dict[tuple[int, ...], Fraction]:
    """Every ranking that sorting by distance can give, with its probability when each order of a tie is as likely."""
    orders = Counter(
        tuple(grade for _, grade in sorted(order, key=lambda item: item[0]))
        for order in permutations(zip(distances, grades, strict=True))
    )
    return {order: Fraction(count, orders.total()) for order, count in orders.items()}


def by_ties(metric: Callable[..., Any], distances: Sequence[int], grades: Grades, ties: str, *arguments: Any) -> float:
    """A metric of a short list under a policy; "expected" goes through all orders."""
    if ties == "expected":
        return float(sum(p * metric(order, *arguments) for order, p in all_orders(distances, grades).items()))
    return float(metric(in_order(distances, grades, ties), *arguments))


def expected_by_places(distances: Sequence[int], grades: Grades, k: int, divisor: str, weighted: bool) -> float:
    """Expected AP or WAP of a long list, place by place and hit count by hit count, in fractions.

    With divisor "hits" the bucket that the window cuts holds x hits with hypergeometric probability, each set of x
    relevant items as likely.
    """
    total, divisor_before = Fraction(0), 0
    items = relevant = grade_sum = 0
    r_all = relevant_items(grades)
    result: Fraction | None = None
    for distance in sorted(set(distances)):
        bucket = [grade for d, grade in zip(distances, grades, strict=True) if d == distance]
        n, r, s = len(bucket), relevant_items(bucket), sum(bucket) if weighted else relevant_items(bucket)
        t = max(0, min(n, k - items))

        def places(n: int, r: int, s: Fraction, t: int, before: int = items, grade_before: int = grade_sum) -> Fraction:
            value = Fraction(0)
            for i in range(1, t + 1):
                ahead = s * Fraction(r - 1, r) / (n - 1) * (i - 1) if n > 1 else Fraction(0)
                value += Fraction(r, n) * (grade_before + s / r + ahead) / (before + i)
            return value

        if divisor == "hits" and 0 < t < n and r:
            result = Fraction(0)
            for x in range(max(0, t - (n - r)), min(r, t) + 1):
                chance = Fraction(math.comb(r, x) * math.comb(n - r, t - x), math.comb(n, t))
                inside = places(t, x, Fraction(s * x, r), t) if x else Fraction(0)
                if relevant + x:
                    result += chance * (total + inside) / (relevant + x)
            break
        if r:
            total += places(n, r, Fraction(s), t)
        if t == n or not r:
            divisor_before += r if t == n else 0
        items, relevant, grade_sum = items + n, relevant + r, grade_sum + s
        if items >= k:
            break
    if result is not None:
        return float(result)
    below = {"hits": divisor_before, "relevant": r_all, "min": min(k, r_all)}[divisor]
    return float(total / below) if below else 0.0
