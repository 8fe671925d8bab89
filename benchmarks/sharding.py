"""One search over the ranks of a group, for 1 to 4 ranks on this machine: python benchmarks/sharding.py.

Starts torchrun for each number of ranks; each rank has one thread, and the part that `ShardedIndex.build` gives it of a
file of random codes. Rank 0 times the local search and the whole. Writes
benchmarks/results/sharding.json, or where --json says.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from machine import card
from timing import summary

from fasthash.distributed import ShardedIndex, start

RESULTS = Path(__file__).parent / "results"


def work(options: argparse.Namespace) -> None:
    """What each rank does: rank 0 writes its times to a file."""
    start(backend="gloo")
    torch.set_num_threads(1)
    rank, ranks = dist.get_rank(), dist.get_world_size()
    rows = []
    for count in options.codes:
        file = options.json.with_name(f"{count}.npy")
        if rank == 0:
            np.save(file, np.frombuffer(np.random.default_rng(0).bytes(8 * count), np.uint8).reshape(-1, 8))
        dist.barrier()
        index = ShardedIndex.build([file])
        local = index.local
        for queries in options.queries:
            asked = np.frombuffer(np.random.default_rng(99).bytes(8 * queries), np.uint8).reshape(-1, 8)
            seconds: dict[str, list[float]] = {"local": [], "whole": []}
            for _ in range(options.repeats):
                for name, call in (("local", local.search), ("whole", index.search)):
                    dist.barrier()
                    begun = time.perf_counter()
                    call(asked, 10)
                    seconds[name].append(time.perf_counter() - begun)
            rows.append({"ranks": ranks, "codes": count, "queries": queries, "seconds": seconds})
    if rank == 0:
        options.json.write_text(json.dumps(rows))
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    parser.add_argument("--queries", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path, default=RESULTS / "sharding.json")
    options = parser.parse_args()
    if "RANK" in os.environ:
        work(options)
        return
    rows = []
    numbers = [f"--{name}={getattr(options, name)}" for name in ("repeats",)]
    lists = [text for name in ("codes", "queries") for text in (f"--{name}", *map(str, getattr(options, name)))]
    for ranks in options.ranks:
        with tempfile.TemporaryDirectory() as folder:
            json_file = Path(folder, "rows.json")
            torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
            command = [sys.executable, *torchrun, __file__, *numbers, *lists, "--json", str(json_file)]
            subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
            rows += json.loads(json_file.read_text())
    for row in rows:
        local, whole = (summary(row["seconds"][name])["median"] for name in ("local", "whole"))
        print(
            f"{row['ranks']} ranks {row['codes']:>11,} codes {row['queries']:>4} queries: {1e3 * whole:9.2f} ms, "
            f"of which local search {1e3 * local:.2f}"
        )
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps({"machine": card(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
