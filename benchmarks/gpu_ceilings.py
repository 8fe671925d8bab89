"""What the GPU can do at best: instruction rates, the tensor cores' binary products, bandwidth, the cost of a launch.

    python benchmarks/gpu_ceilings.py [--json FILE]

The loops are in ceilings.cu, compiled by nvcc for the GPU at hand when the script runs. What each of them computes is
computed here in NumPy too, and every block's result is compared after it was timed: a loop that the compiler removed
or changed is no ceiling. Where a disassembler is at hand, the instructions of each loop are written beside its rate.
Rates are per second of the whole GPU, and per clock and multiprocessor with the clock that the loop itself saw.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ceilings import Unavailable
from on_gpu.loops import (
    BINS,
    CHAINS,
    GROUPED,
    PER_ROUND,
    THREADS,
    UNROLL,
    Library,
    build,
    expected,
    loop_names,
    loop_of,
    misses,
    seeds_of,
)
from on_gpu.timing import Call, DeviceSeconds, Timing, device_seconds
from tables import table
from timing import summary

REPEATS = 20
TRIAL = 64  # rounds that show how many take so long:
LOOP_SECONDS = 2e-3
BUFFER_BYTES = 2 << 30


def per_round(name: str) -> int:
    """What a round of one block does: instructions times lanes, or bits of products."""
    if name in GROUPED:
        return UNROLL * (THREADS // 128) * 64 * GROUPED[name] * 256
    if name.startswith("b1"):
        return PER_ROUND * (THREADS // 32) * 16 * 8 * int(name[4:])
    return PER_ROUND * THREADS


def blocks_of(name: str, multiprocessors: int, threads_of_each: int) -> int:
    """As many as run at a time; products need 64 registers a thread, of a warpgroup more where they are wider."""
    if name in GROUPED:
        return multiprocessors * 256 // GROUPED[name]
    return multiprocessors * (4 if name.startswith("b1") else threads_of_each // THREADS)


def measure_loop(library: Library, name: str, blocks: int, device: str, seconds_of: DeviceSeconds) -> dict[str, Any]:
    """Operations a second of one loop. Raises AssertionError when a block's result is not that of the arithmetic."""
    if (found := library.instructions.get(loop_of(name))) and (wrong := misses(loop_of(name), found)):
        raise AssertionError(f"{name}: {wrong}")
    numbers = seeds_of(name)
    seeds = torch.from_numpy(numbers.view(np.int32)).to(device)
    size = {"histogram": BINS, **dict.fromkeys(("b1 k256", "b1 k128"), 4 * CHAINS * THREADS)}
    size |= {loop: columns // 2 * THREADS for loop, columns in GROUPED.items()}
    out = torch.full((blocks, size.get(loop_of(name), CHAINS * THREADS)), -1, dtype=torch.int32, device=device)
    watch = torch.zeros(2, dtype=torch.int64, device=device)

    def call(rounds: int) -> Call:
        return lambda: library.run(name, rounds, blocks, seeds, out, watch)

    seconds_of([call(TRIAL)], 1, 0, False)
    rounds = max(1, round(TRIAL * LOOP_SECONDS / seconds_of([call(TRIAL)], 1, 0, True).seconds))
    times = [seconds_of([call(rounds)], 1, 0, True) for _ in range(REPEATS)]
    right = torch.from_numpy(expected(name, numbers, rounds).view(np.int32).reshape(1, -1)).to(device)
    assert torch.equal(out, right.expand_as(out)), f"{name}: a block's result is not that of the arithmetic"
    clocks, nanoseconds = watch.tolist()
    return {**_rate(per_round(name) * blocks * rounds, times), "clock": 1e9 * clocks / max(nanoseconds, 1)}


def _rate(operations: float, times: list[Timing]) -> dict[str, Any]:
    found = summary([timing.seconds for timing in times])
    return {
        "per_second": operations / found["median"],
        "quartiles": [operations / other for other in reversed(found["quartiles"])],
        "host_bound": any(timing.host_bound for timing in times),
    }


def bandwidth(
    library: Library | None, blocks: int, size: int, device: str, seconds_of: DeviceSeconds
) -> dict[str, dict[str, Any]]:
    """Bytes a second of reading, writing and copying `size` bytes, many times what the cache holds."""
    source = torch.randint(-(1 << 62), 1 << 62, (size // 8,), dtype=torch.int64, device=device)
    target = torch.zeros_like(source)
    total = torch.zeros(1, dtype=torch.int32, device=device)
    passes: dict[str, tuple[int, Call]] = {
        "copy": (2 * size, lambda: target.copy_(source)),
        "write": (size, lambda: target.fill_(1)),
    }
    if library is not None:
        passes["read"] = (size, lambda: library.call("read_all", source, size // 16, blocks, total))
    result = {}
    for name, (moved, call) in passes.items():
        seconds_of([call], 1, 0, False)
        if name == "copy":
            assert torch.equal(source, target), "copy: not the same"
        result[name] = _rate(moved, [seconds_of([call], 2, 0, True) for _ in range(REPEATS)])
    if library is not None:
        total.zero_()
        passes["read"][1]()
        words = int(source.view(torch.int32).sum(dtype=torch.int64))
        assert (int(total) - words) % (1 << 32) == 0, "read: not the sum of all words"
    return result


def measure(
    library: Library | None, device: str = "cuda", seconds_of: DeviceSeconds = device_seconds
) -> dict[str, Any]:
    """All of it, as it is kept beside the results of a run. library: None = only bandwidth, without the bare read."""
    properties = torch.cuda.get_device_properties(device)
    many = properties.multi_processor_count
    threads = properties.max_threads_per_multi_processor
    size = min(BUFFER_BYTES, properties.total_memory // 8) // 4096 * 4096
    result: dict[str, Any] = {"rates": {}, "instructions": {}, "failed": []}
    if library is not None:
        result["instructions"] = {name: dict(found) for name, found in library.instructions.items()}
        for name in loop_names((properties.major, properties.minor)):
            try:
                entry = measure_loop(library, name, blocks_of(name, many, threads), device, seconds_of)
            except AssertionError as wrong:
                result["failed"].append(str(wrong))
                continue
            result["rates"][name] = entry | {"per_clock_and_sm": entry["per_second"] / max(1, entry["clock"]) / many}
        launches = [seconds_of([lambda: library.call("launch_nothing")], 50, 0, True) for _ in range(REPEATS)]
        result["launch_seconds"] = summary([timing.seconds for timing in launches])
        result["launch_seconds"]["host_bound"] = any(timing.host_bound for timing in launches)
    result["bytes_per_second"] = bandwidth(library, many * threads // THREADS, size, device, seconds_of)
    return result


def show(measured: dict[str, Any]) -> str:
    """The measurements as Markdown tables."""
    lines = [
        [
            name,
            f"{entry['per_second'] / 1e12:,.2f}",
            _spread(entry),
            f"{entry['per_clock_and_sm']:,.1f}",
            f"{entry['clock'] / 1e9:.2f}",
        ]
        for name, entry in measured["rates"].items()
    ]
    head = ["T operations (b1: bit-pairs) a second", "median", "quartiles", "a clock and SM", "GHz"]
    parts = [table(head, lines)] if lines else []
    moved = [
        [name, f"{entry['per_second'] / 1e9:,.0f}", _spread(entry)]
        for name, entry in measured["bytes_per_second"].items()
    ]
    parts.append(table(["GB/s (copy: read and written)", "median", "quartiles"], moved))
    if "launch_seconds" in measured:
        launch = measured["launch_seconds"]
        parts.append(f"An empty kernel every {1e6 * launch['median']:.2f} us{host_bound(launch)}.")
    parts += [f"No ceiling: {reason}" for reason in measured["failed"]]
    return "\n\n".join(parts)


def _spread(entry: dict[str, Any]) -> str:
    low, high = (value / entry["per_second"] - 1 for value in entry["quartiles"])
    return f"{low:+.1%} to {high:+.1%}{host_bound(entry)}"


def host_bound(entry: dict[str, Any]) -> str:
    """The mark of a time that may hold time of the host."""
    return ", host-bound" if entry.get("host_bound") else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also writes the figures there")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("not measured: no GPU is visible to torch")
    try:
        library = build(torch.cuda.get_device_capability())
    except Unavailable as reason:
        print(f"only bandwidth: {reason}")
        library = None
    measured = measure(library)
    print(show(measured))
    if options.json:
        options.json.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
