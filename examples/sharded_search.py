"""One database on several processes, or machines: torchrun --nproc-per-node 3 examples/sharded_search.py.

Rank 0 writes codes to files; each rank reads its share of the rows; rank 0 alone has the queries.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch.distributed as dist

import fasthash
from fasthash.distributed import ShardedIndex, start


def main() -> None:
    """Build, search, and compare with one process that has it all."""
    start(timeout=60, backend="gloo")
    rank = dist.get_rank()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = [[str(Path(folder, f"codes{i}.npy")) for i in range(2)]]
        if rank == 0:
            for path, rows in zip(paths[0], (150_001, 50_000), strict=True):
                np.save(path, fasthash.pack(rng.standard_normal((rows, 64), dtype=np.float32)))
        dist.broadcast_object_list(paths, src=0)  # of rank 0, and not before the files are there
        index = ShardedIndex.build(paths[0])

        queries = fasthash.pack(rng.standard_normal((100, 64), dtype=np.float32)) if rank == 0 else None
        distances, ids = index.search(queries, k=10, source=0)
        print(f"rank {rank}: {len(index):,} of {index.total():,} codes")
        if rank == 0:
            whole = fasthash.HammingIndex(64)
            for path in paths[0]:
                whole.add(np.load(path))
            expected = whole.search(queries, k=10)
            print("as one machine:", all(map(np.array_equal, (distances, ids), expected)))
        dist.barrier()  # the files stay until all have read them
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
