"""How much memory there is for what an index can do without."""

from __future__ import annotations

import math
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")  # of a container, as it sees itself


def available() -> float:
    """Bytes that the machine, or the container, can give without swapping; infinite where neither tells."""
    return min(_of_machine(), _of_group())


def _of_machine() -> float:
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return math.inf
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), math.inf)


def _of_group() -> float:
    """The limit less what is held, in which files that can be read again do not count."""
    try:
        limit, held = ((_GROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
        statistics = (_GROUP / "memory.stat").read_text().splitlines()
    except OSError:
        return math.inf
    if limit == "max":
        return math.inf
    files = next((int(line.split()[1]) for line in statistics if line.startswith("inactive_file ")), 0)
    return max(0.0, float(int(limit) - int(held) + files))
