"""Kernels with planted faults: what the emulation reports, and what it lets show."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest

THREADS = 64
SEEDS = range(9)
EXPECTED = np.arange(THREADS, dtype=np.int32)
ASAN = "libasan" in os.environ.get("LD_PRELOAD", "")

# Whatever shows is one of these; which, goes by the order of threads.
UNORDERED = r"of the shared array dynamic of 256 bytes, which (nothing wrote|thread \d+ (wrote|read) with no barrier)"
# Reported by every build.
REPORTED = {
    "divergent_barrier": r"block \(0, 0, 0\): divergent barriers: thread \(\d+, 0, 0\) at __syncthreads \(.*\)",
    "missed_barrier": r"no thread can move: thread \(\d+, 0, 0\) at __syncthreads \(.*\); 32 threads have ended",
    "divergent_warp_sync": r"no thread can move: .* at __syncwarp \(.*, mask 0xffffffff\); 0 threads have ended",
    "exited_lane": r"no thread can move: thread \(\d+, 0, 0\) at __shfl_sync \(.*\); 2 threads have ended",
    "outside_lane": r"thread \(\d+, 0, 0\) at __shfl_sync: reads lane 20, outside the mask",
    "foreign_mask": r"at __syncwarp \(.*, mask 0xffff0000\): the mask lacks the caller's own lane",
    "copy_outside": r"thread \(63, 0, 0\) at async_copy: writes outside the shared arrays",
    "misaligned_copy": r"thread \(0, 0, 0\) at async_copy: an address is not a multiple of the size",
    "too_many_threads": r"launch: 1056 threads a block, of 1 to 1024",
    "no_blocks": r"launch: no blocks",
    "too_much_dynamic": r"launch: 49156 bytes of dynamic shared memory without allow_shared",
    "too_much_altogether": r"places of 256 bytes: no room, with 49152 bytes of shared memory in use",
    "beyond_the_device": r"101380 bytes of shared memory, of which a block gets 101376 at most",
}
# Reported where accesses to shared memory are watched.
WATCHED = {
    "missing_barrier": UNORDERED,
    "early_reuse": UNORDERED,
    "missing_warp_sync": UNORDERED,
    "vote_for_sync": UNORDERED,
    "plain_counter": UNORDERED,
    "unwritten": r"thread \(\d+, 0, 0\) reads byte \d+ of the shared array dynamic of 256 bytes, which nothing wrote",
    "dynamic_index": r"thread \(63, 0, 0\) writes byte 256 of the shared array dynamic of 256 bytes",
    "static_index": r"thread \(63, 0, 0\) writes byte 256 of the shared array first of 256 bytes",
    "missing_wait": r"of the shared array dynamic of 256 bytes, to which a copy is on its way",
    "early_copy": UNORDERED,
}
# Shown by wrong results for some order of threads and blocks, also by a build that cannot watch.
SHOWN = ("missing_barrier", "early_reuse", "missing_warp_sync", "unwritten", "missing_wait", "early_copy")
OUT_OF_RANGE = ("dynamic_index", "static_index")


@pytest.fixture
def unwatched(emulated: ModuleType) -> Iterator[ModuleType]:
    emulated.watch(False)
    yield emulated
    emulated.watch(True)


def run(emulated: ModuleType, fault: str, cured: bool) -> np.ndarray:
    out = np.zeros(THREADS, np.int32)
    getattr(emulated.faults, fault)(out.ctypes.data, cured)
    return out


def test_every_planted_fault_is_tested(emulated: ModuleType) -> None:
    planted = {name for name in vars(emulated.faults) if not name.startswith("_")}
    assert planted == {*REPORTED, *WATCHED, "order_of_blocks"}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fault", [*REPORTED, *WATCHED, "order_of_blocks"])
def test_the_cure_is_right(emulated: ModuleType, fault: str, seed: int) -> None:
    emulated.set_seed(seed)
    np.testing.assert_array_equal(run(emulated, fault, True), EXPECTED)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fault", REPORTED)
def test_undefined_behaviour_is_reported(emulated: ModuleType, fault: str, seed: int) -> None:
    emulated.set_seed(seed)
    with pytest.raises(emulated.Fault, match=f"^{fault}: .*{REPORTED[fault]}"):
        run(emulated, fault, False)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fault", WATCHED)
def test_wrong_accesses_are_reported_in_every_order(emulated: ModuleType, fault: str, seed: int) -> None:
    if not emulated.CAN_WATCH:
        pytest.skip("this build does not watch shared memory: AddressSanitizer does, or the compiler cannot")
    emulated.set_seed(seed)
    with pytest.raises(emulated.Fault, match=f"^{fault}: block .*{WATCHED[fault]}"):
        run(emulated, fault, False)


@pytest.mark.parametrize("fault", [*SHOWN, "order_of_blocks"])
def test_a_shuffled_order_or_poison_shows_in_results(unwatched: ModuleType, fault: str) -> None:
    """What is left where a build cannot watch."""
    wrong = []
    for seed in SEEDS:
        unwatched.set_seed(seed)
        wrong.append(not np.array_equal(run(unwatched, fault, False), EXPECTED))
    assert sum(wrong) >= len(SEEDS) // 2


@pytest.mark.parametrize("fault", OUT_OF_RANGE)
def test_address_sanitizer_reports_shared_indices(emulated: ModuleType, fault: str) -> None:
    if not ASAN:
        pytest.skip("needs AddressSanitizer: make test-cuda-asan")
    code = f"""
import importlib.util, numpy as np
spec = importlib.util.spec_from_file_location("_emulated", {emulated.__file__!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.faults.{fault}(np.zeros({THREADS}, np.int32).ctypes.data, False)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "use-after-poison" in run.stderr
    assert fault in run.stderr  # the kernel, in the stack


def test_a_fault_leaves_the_emulation_usable(emulated: ModuleType) -> None:
    with pytest.raises(emulated.Fault):
        run(emulated, "missed_barrier", False)
    np.testing.assert_array_equal(run(emulated, "missed_barrier", True), EXPECTED)


@pytest.mark.parametrize("seed", range(4))
def test_unwritten_shared_memory_reads_as_poison(unwatched: ModuleType, seed: int) -> None:
    unwatched.set_seed(seed)
    assert set(run(unwatched, "unwritten", False).view(np.uint8)) == {unwatched.poison()}
    unwatched.set_seed(seed + 1)
    assert set(run(unwatched, "unwritten", False).view(np.uint8)) == {unwatched.poison()}
    unwatched.set_seed(seed)


@pytest.mark.parametrize("count", [0, 3, 8])
@pytest.mark.parametrize("pending", range(4))
def test_groups_of_copies_arrive_in_order(unwatched: ModuleType, pending: int, count: int) -> None:
    """Until then their destination is poison."""
    start = np.random.default_rng(0).integers(0, 256, (THREADS // 4, 16), dtype=np.uint8)
    out, expected = start.copy(), start.copy()
    unwatched.async_groups(out.ctypes.data, pending, count)
    expected[:, 8 + count :] = 0
    expected[:, (16, 8, 4, 0)[pending] :] = unwatched.poison()
    np.testing.assert_array_equal(out, expected)


def test_a_kernel_may_ask_for_all_that_a_device_has(emulated: ModuleType) -> None:
    emulated.set_shared_limit(227 * 1024)
    try:
        np.testing.assert_array_equal(run(emulated, "beyond_the_device", False), EXPECTED)
    finally:
        emulated.set_shared_limit(99 * 1024)
