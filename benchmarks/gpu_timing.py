"""Device time of calls: CUDA events around several launches, no wait among them, contestants in turns.

The host falls behind where launches are short, and events would then time the host. So each batch begins behind a
kernel that only passes time, long enough for the batch to be queued; the first event comes after it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

Call = Callable[[], object]
# Seconds a call: the calls in turn (each has buffers of its own), beginning with the one of that number, so many times.
DeviceSeconds = Callable[[Sequence[Call], int, int], float]

BATCH = 2e-3  # seconds of device time that a batch should take
MOST_LAUNCHES = 50
LEAST_REPEATS = 5
QUEUE = 60e-6  # seconds that the host may take to queue one call
LONGEST_PAUSE = 5e-3


def device_seconds(calls: Sequence[Call], launches: int, first: int = 0) -> float:
    """The real one of DeviceSeconds."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    pause = min(LONGEST_PAUSE, QUEUE * (launches + 1))
    torch.cuda._sleep(int(pause * 2e9))  # clocks, at about 2 GHz
    begin.record()
    for launch in range(launches):
        calls[(first + launch) % len(calls)]()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3 / launches


def host_seconds(call: Call) -> float:
    """One call and the wait for its result, as a user sees them who needs it at once."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def take_turns(
    calls: dict[str, Sequence[Call]], repeats: int, long: float, seconds_of: DeviceSeconds
) -> dict[str, list[float]]:
    """Seconds a call, of each repeat of each contestant, in an order that turns round each time.

    Every copy of a contestant's buffers is used once before the first repeat. A contestant that has taken `long`
    seconds has repeated enough.
    """
    launches, position = {}, {}
    for name, copies in calls.items():
        seconds_of(copies, len(copies), 0)
        once = seconds_of(copies, 1, 0)
        launches[name] = max(1, min(MOST_LAUNCHES, round(BATCH / max(once, 1e-9))))
        position[name] = 1
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(repeats):
        for name in calls if repeat % 2 == 0 else reversed(calls):
            own = seconds[name]
            if len(own) >= LEAST_REPEATS and sum(own) * launches[name] > long:
                continue
            own.append(seconds_of(calls[name], launches[name], position[name]))
            position[name] += launches[name]
    return seconds
