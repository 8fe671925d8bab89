from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
import pytest


class Problem(NamedTuple):
    """The four leading arguments of the evaluation functions."""

    query_codes: Any
    database_codes: Any
    query_labels: Any
    database_labels: Any


@pytest.fixture(scope="session")
def ranking() -> Callable[..., Problem]:
    """One query (code 0, class 1) and items at given distances with given relevance: thermometer codes, unpacked."""

    def make(distances: Any, relevance: Any) -> Problem:
        distances = np.asarray(distances)
        bits = max(8, int(distances.max(initial=0)))
        codes = np.arange(bits)[None, :] < distances[:, None]
        return Problem(np.zeros((1, bits), dtype=bool), codes, np.array([1]), np.asarray(relevance, dtype=np.int64))

    return make


@pytest.fixture(scope="session")
def random_problem() -> Callable[..., Problem]:
    """Packed random codes with many ties; labels are class ids with some -1, or multi-hot when ``multi``."""

    def make(seed: int, queries: int = 12, items: int = 200, bits: int = 16, multi: bool = False) -> Problem:
        rng = np.random.default_rng(seed)
        codes = [np.packbits(rng.random((n, bits)) < 0.4, axis=1) for n in (queries, items)]
        labels = [
            (rng.random((n, 5)) < 0.25).astype(np.int64) if multi else rng.integers(-1, 4, n) for n in (queries, items)
        ]
        return Problem(*codes, *labels)

    return make


@pytest.fixture(scope="session")
def average_precision() -> Callable[..., Fraction]:
    """AP of one ranked 0/1 list by the definition; 0 where the divisor is 0."""

    def compute(relevance: Any, k: int, divisor: str) -> Fraction:
        total, hits = Fraction(0), 0
        for rank, relevant in enumerate(relevance[:k], start=1):
            hits += int(relevant)
            total += Fraction(int(relevant) * hits, rank)
        below = {"hits": hits, "relevant": int(sum(relevance)), "min": min(k, int(sum(relevance)))}[divisor]
        return total / below if below else Fraction(0)

    return compute


@pytest.fixture(scope="session")
def tie_orders() -> Callable[..., dict[tuple[int, ...], Fraction]]:
    """Every 0/1 list that sorting by distance can give, with its probability when each order of a tie is as likely."""

    def make(distances: list[int], relevance: list[int]) -> dict[tuple[int, ...], Fraction]:
        orders = Counter(
            tuple(r for _, r in sorted(order, key=lambda item: item[0]))
            for order in permutations(zip(distances, relevance, strict=True))
        )
        return {order: Fraction(count, orders.total()) for order, count in orders.items()}

    return make
