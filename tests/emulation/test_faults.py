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
def test_asynchronous_copies_arrive_at_the_wait(emulated: ModuleType, seed: int) -> None:
    emulated.set_seed(seed)
    start = np.arange(THREADS, dtype=np.int32)
    out = start.copy()
    emulated.faults.async_neighbour(out.ctypes.data, True)
    np.testing.assert_array_equal(out, np.roll(start, -4))
    emulated.faults.async_neighbour(out.ctypes.data, False)
    assert set(out.view(np.uint8)) == {emulated.POISON}


@pytest.mark.parametrize("count", [0, 3, 8])
@pytest.mark.parametrize("pending", range(4))
def test_groups_of_copies_arrive_in_order(emulated: ModuleType, pending: int, count: int) -> None:
    start = np.random.default_rng(0).integers(0, 256, (THREADS // 4, 16), dtype=np.uint8)
    out, expected = start.copy(), start.copy()
    emulated.faults.async_groups(out.ctypes.data, pending, count)
    expected[:, 8 + count :] = 0
    expected[:, (16, 8, 4, 0)[pending] :] = emulated.POISON
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("fault", "report"),
    [
        ("divergent_barrier", r"block \(0, 0, 0\): divergent barriers: thread \(\d+, 0, 0\) at __syncthreads \(.*\)"),
        ("missed_barrier", r"no thread can move: thread \(\d+, 0, 0\) at __syncthreads \(.*\); 32 threads have ended"),
        ("exited_lane", r"no thread can move: thread \(\d+, 0, 0\) at __shfl_sync \(.*\); 2 threads have ended"),
        ("async_outside", r"thread \(63, 0, 0\) at async_copy: writes outside the block's shared memory"),
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
