"""Device time of calls: CUDA events around several launches, no wait among them, contestants in turns.

The host falls behind where launches are short, and events would then time the host. So each batch begins behind a
kernel that only passes time, long enough for the batch to be queued; the first event comes after it. If that event is
over before the batch is queued, the batch is repeated behind a longer pause. Where the longest does not suffice (a call
that waits inside never has it suffice), the time is marked as host-bound: it may hold time of the host.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

Call = Callable[[], object]


class Timing(NamedTuple):
    """Seconds a call. host_bound: the device may have waited for the host meanwhile."""

    seconds: float
    host_bound: bool = False


# The calls in turn (each has buffers of its own), beginning with the one of that number, so many times; whether to
# repeat behind longer pauses what was host-bound.
DeviceSeconds = Callable[[Sequence[Call], int, int, bool], Timing]

BATCH = 2e-3  # seconds of device time that a batch should take
MOST_LAUNCHES = 20  # a call may be two dozen kernels, and the host waits once about 1,000 of them are queued
LEAST_REPEATS = 5
QUEUE = 60e-6  # seconds that the host is expected to take to queue one call
LONGEST_PAUSE = 20e-3
LONGER = 4  # times as long is the next pause


def device_seconds(calls: Sequence[Call], launches: int, first: int = 0, retry: bool = True) -> Timing:
    """The real one of DeviceSeconds."""
    pause = min(LONGEST_PAUSE, QUEUE * (launches + 1))
    while True:
        timing = _behind_a_pause(calls, launches, first, pause)
        if not timing.host_bound or not retry or pause >= LONGEST_PAUSE:
            return timing
        pause = min(LONGEST_PAUSE, LONGER * pause)


def _behind_a_pause(calls: Sequence[Call], launches: int, first: int, pause: float) -> Timing:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda._sleep(int(pause * 2e9))  # clocks, at about 2 GHz
    begin.record()
    for launch in range(launches):
        calls[(first + launch) % len(calls)]()
    end.record()
    late = begin.query()
    end.synchronize()
    return Timing(begin.elapsed_time(end) / 1e3 / launches, late)


def host_seconds(call: Call) -> float:
    """One call and the wait for its result, as a user sees them who needs it at once."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def take_turns(
    calls: dict[str, Sequence[Call]], repeats: int, long: float, seconds_of: DeviceSeconds
) -> dict[str, list[Timing]]:
    """Times of each repeat of each contestant, in an order that turns round each time.

    Every copy of a contestant's buffers is used once before the first repeat. A contestant that has taken `long`
    seconds has repeated enough. One whose single call is host-bound gets no longer pauses: they would not help.
    """
    launches, position, retry = {}, {}, {}
    for name, copies in calls.items():
        seconds_of(copies, len(copies), 0, False)
        once = seconds_of(copies, 1, 0, True)
        launches[name] = max(1, min(MOST_LAUNCHES, round(BATCH / max(once.seconds, 1e-9))))
        position[name] = 1
        retry[name] = not once.host_bound
    times: dict[str, list[Timing]] = {name: [] for name in calls}
    for repeat in range(repeats):
        for name in calls if repeat % 2 == 0 else reversed(calls):
            own = times[name]
            if len(own) >= LEAST_REPEATS and sum(timing.seconds for timing in own) * launches[name] > long:
                continue
            own.append(seconds_of(calls[name], launches[name], position[name], retry[name]))
            position[name] += launches[name]
    return times
