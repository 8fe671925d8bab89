"""Contestants take turns, so that a slow moment of the machine meets each of them."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

Call = Callable[[], object]

REST = 0.05  # seconds before each call: OpenMP's threads go on spinning for a moment after a peer has answered
LEAST_REPEATS = 3
LONG = 4.0  # seconds of one contestant in one cell, after which it has repeated enough


def seconds_of(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def take_turns(calls: dict[str, Call], repeats: int) -> dict[str, list[float]]:
    """Seconds of each repeat of each call. Slow ones repeat less often."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            own = seconds[name]
            if len(own) >= LEAST_REPEATS and sum(own) > LONG:
                continue
            time.sleep(REST)
            own.append(round(seconds_of(call), 7))
    return seconds


def summary(seconds: list[float]) -> dict[str, float]:
    """Median, least and most, and the quartiles."""
    least, first, median, third, most = np.percentile(seconds, [0, 25, 50, 75, 100])
    return {"median": median, "least": least, "most": most, "quartiles": [first, third]}
