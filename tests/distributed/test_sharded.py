"""Search over several processes: bit-identical to one, and an end to every failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

JOBS = Path(__file__).with_name("search_jobs.py")
BUILDING = JOBS.with_name("build_jobs.py")


def torchrun(ranks: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    return subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"},
    )


@pytest.mark.slow
def test_the_same_as_one_machine_and_errors_on_all(tmp_path) -> None:
    done = torchrun(4, str(JOBS), str(tmp_path), "topk", "index", "errors")
    assert done.returncode == 0, done.stderr
    for job in ("topk", "index", "errors"):
        assert sorted(line for line in done.stdout.splitlines() if job in line) == [
            f"rank {rank}: {job} done" for rank in range(4)
        ]


@pytest.mark.slow
def test_filters_ranges_and_rescoring_as_on_one_machine(tmp_path) -> None:
    done = torchrun(3, str(JOBS), str(tmp_path), "parts", "wrong_parts")
    assert done.returncode == 0, done.stderr
    for job in ("parts", "wrong_parts"):
        assert sorted(line for line in done.stdout.splitlines() if f": {job} done" in line) == [
            f"rank {rank}: {job} done" for rank in range(3)
        ]


@pytest.mark.slow
def test_tables_are_made_beside_searches_and_files_are_told_apart(tmp_path) -> None:
    for job in ("tables", "files"):
        done = torchrun(2, str(BUILDING), str(tmp_path), job)
        assert done.returncode == 0, done.stderr
        assert sorted(line for line in done.stdout.splitlines() if f": {job} done" in line) == [
            f"rank {rank}: {job} done" for rank in range(2)
        ]


@pytest.mark.slow
def test_a_killed_rank_ends_the_job(tmp_path) -> None:
    done = torchrun(2, str(JOBS), str(tmp_path), "killed")
    assert done.returncode != 0
    assert done.stdout.count("one search done") == 2
    assert "killed done" not in done.stdout
    assert "came to an end without rank 1" not in done.stderr


@pytest.mark.slow
def test_a_rank_that_does_not_come_is_given_up(tmp_path) -> None:
    """Without torchrun nobody else would notice."""
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    environment["MASTER_PORT"] = str(20_000 + os.getpid() % 20_000)
    processes = [
        subprocess.Popen(
            [sys.executable, JOBS, tmp_path, "lonely"],
            env={**environment, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        printed, complaint = processes[0].communicate(timeout=120)
        assert "gave up" in printed, complaint
        assert processes[1].poll() is None, "the other was to sleep"
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_without_a_group() -> None:
    import numpy as np

    from fasthash.distributed import sharded_topk

    codes = np.zeros((1, 1), np.uint8)
    with pytest.raises(RuntimeError, match=r"sharded_topk: expected a process group; call .*start\(\) under torchrun"):
        sharded_topk(codes, codes, 1, offset=0)
