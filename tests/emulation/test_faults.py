"""Kernels with planted faults: what the emulation reports, and what it lets show."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

THREADS = 64
SEEDS = range(1, 9)


def test_a_shuffled_order_shows_a_missing_barrier(emulated: ModuleType) -> None:
    def run(with_barrier: bool) -> bool:
        out = np.zeros(THREADS, np.int32)
        emulated.faults.neighbour(out.ctypes.data, with_barrier)
        return np.array_equal(out, np.roll(np.arange(THREADS), -1))

    right = {with_barrier: [] for with_barrier in (True, False)}
    for seed in SEEDS:
        emulated.set_seed(seed)
        for with_barrier, results in right.items():
            results.append(run(with_barrier))
    assert all(right[True])
    assert not any(right[False])


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("fault", "report"),
    [
        ("divergent_barrier", r"block \(0, 0, 0\): divergent barriers: thread \(\d+, 0, 0\) at __syncthreads \(.*\)"),
        ("missed_barrier", r"no thread can move: thread \(\d+, 0, 0\) at __syncthreads \(.*\); 32 threads have ended"),
        ("exited_lane", r"no thread can move: thread \(\d+, 0, 0\) at __shfl_sync \(.*\); 2 threads have ended"),
        ("outside_lane", r"thread \(\d+, 0, 0\) at __shfl_sync: reads lane 20, outside the mask"),
    ],
)
def test_undefined_behaviour_is_reported(emulated: ModuleType, fault: str, report: str, seed: int) -> None:
    emulated.set_seed(seed)
    out = np.zeros(THREADS, np.int32)
    with pytest.raises(emulated.Fault, match=f"^{fault}: .*{report}"):
        getattr(emulated.faults, fault)(out.ctypes.data)


def test_a_fault_leaves_the_emulation_usable(emulated: ModuleType) -> None:
    out = np.zeros(THREADS, np.int32)
    with pytest.raises(emulated.Fault):
        emulated.faults.missed_barrier(out.ctypes.data)
    emulated.faults.neighbour(out.ctypes.data, True)
    np.testing.assert_array_equal(out, np.roll(np.arange(THREADS), -1))


def test_unwritten_shared_memory_reads_as_poison(emulated: ModuleType) -> None:
    out = np.zeros(THREADS, np.int32)
    emulated.faults.unwritten(out.ctypes.data)
    assert set(out.view(np.uint8)) == {emulated.POISON}
