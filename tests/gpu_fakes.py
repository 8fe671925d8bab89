"""A GPU's place taken by the CPU and by times that are made up, for the tests of benchmarks/gpu.py."""

from __future__ import annotations

from typing import Any

from cells import Cell
from on_gpu import loops
from on_gpu.running import Device
from on_gpu.timing import Timing

# One of each a second, but two of some, so that arithmetic shows.
CEILINGS = {
    "rates": {
        name: {"per_second": 2.0 if name == "popcount" else 1.0, "quartiles": [1, 1], "clock": 1, "per_clock_and_sm": 1}
        for name in loops.loop_names((9, 0))
    },
    "bytes_per_second": {
        name: {"per_second": rate, "quartiles": [rate, rate]}
        for name, rate in {"read": 8.0, "write": 4.0, "copy": 5.0}.items()
    },
    "failed": [],
    "instructions": {},
}


MACHINE = {
    "gpu": "none",
    "capability": [9, 0],
    "multiprocessors": 1,
    "memory_bytes": 1 << 30,
    "cache_bytes": 1 << 14,
    "cuda_of_torch": None,
    "nvcc": None,
    "architectures": "",
    "python": "3",
    "versions": {"torch": "2"},
    "cpu": "none",
    "cores": 1,
    "commit": "unknown",
    "date": "today",
    "command": "",
}


def cell_of(op: str, bits: int = 64, queries: int = 37, codes: int = 501, k: int = 5, data: str = "random") -> Cell:
    return Cell("", op, data, bits, codes, 0 if op in ("pack", "unpack") else queries, k)


def one_second(calls: Any, launches: int, first: int = 0, retry: bool = True) -> Timing:
    for launch in range(launches):
        calls[(first + launch) % len(calls)]()
    return Timing(1.0)


class Cpu(Device):
    """A millisecond for everything."""

    def __init__(self) -> None:
        super().__init__("cpu", self._milliseconds, self._latency, cache=16_000)

    def free(self) -> int:
        return 1 << 34

    @staticmethod
    def _milliseconds(calls: Any, launches: int, first: int = 0, retry: bool = True) -> Timing:
        return Timing(one_second(calls, launches, first).seconds / 1000)

    @staticmethod
    def _latency(call: Any) -> float:
        call()
        return 1e-3
