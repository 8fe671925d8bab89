"""What torchrun starts in the tests of building. Arguments: a folder, and a name of `JOBS`."""

from __future__ import annotations

import time

import numpy as np
import torch.distributed as dist
from rank import RANK, data, raises, run, same

from fasthash import HammingIndex
from fasthash.distributed import ShardedIndex


def tables(folder: str) -> None:
    """Tables that take one rank longer than the timeout of the group: none gives up, and no search makes any."""
    from fasthash.index import lazy_tables

    made, original = [], lazy_tables.MultiIndex

    def slow(*arguments):
        made.append(RANK)
        time.sleep(5 if RANK == 1 else 0)
        return original(*arguments)

    lazy_tables.MultiIndex = slow
    database, queries = data(24, 40_000)
    if RANK == 0:
        np.save(f"{folder}/tables.npy", database)
    dist.barrier()
    whole, bounds = HammingIndex(24, multi_index="never"), [0, 33_000, 40_000]
    whole.add(database)
    own = slice(*bounds[RANK : RANK + 2])
    for when in ("always", "auto"):
        local = HammingIndex(24, multi_index=when)
        local.add(database[own], np.arange(40_000)[own])
        local._snapshot.lazy._saved = 1e18  # of many scans: "auto" would make tables in its next search
        filled = ShardedIndex(local)
        same(filled.search(queries, 5), whole.search(queries, 5))
        same(filled.range_search(queries, 3), whole.range_search(queries, 3))
    built = ShardedIndex.build([f"{folder}/tables.npy"])
    for _ in range(20):
        same(built.search(queries, 300), whole.search(queries, 300))
    assert made == []
    filled.make_tables()
    assert made == [RANK]
    assert filled.local.multi_index_bytes > 0
    ready = ShardedIndex.build([f"{folder}/tables.npy"], multi_index="always")
    assert made == [RANK, RANK]
    for index in (filled, ready):
        for k in (1, 300, 50_000):
            same(index.search(queries, k), whole.search(queries, k))
        same(index.search(queries, 9, filter=[5, 39_000]), whole.search(queries, 9, filter=[5, 39_000]))
        same(index.range_search(queries, 3), whole.range_search(queries, 3))
        floats = np.random.default_rng(5).standard_normal((3, 24)).astype(np.float32)
        same(index.search_rescored(floats, 9), whole.search_rescored(floats, 9))
    filled.local.add(database[:1])  # without them, until they are made again
    assert int(filled.search(queries, 1)[0].max()) <= int(whole.search(queries, 1)[0].max())
    assert made == [RANK, RANK]
    with raises(ValueError, "ShardedIndex.make_tables: multi_index: expected auto or never for an index of 72 bits"):
        ShardedIndex(HammingIndex(72)).make_tables()


def files(folder: str) -> None:
    """Ids that stand twice in files, wherever they fall, and ids in any order that do not."""
    import fasthash.distributed.files as module

    module._ROWS = 64
    database, _ = data(16)
    rng = np.random.default_rng(3)
    ids = {
        "low": np.arange(100),  # two running ranges that meet
        "middle": np.arange(50, 150),
        "odd": 2 * rng.permutation(300) + 1,  # stored ones between one another
        "even": 2 * rng.permutation(300),
        "one": np.concatenate([2 * rng.permutation(299), [301]]),
        "far": 10_000 + np.arange(100)[::-1],
    }
    paths = {name: f"{folder}/{name}.fasthash" for name in ids}
    if RANK == 0:
        for name, values in ids.items():
            index = HammingIndex(16)
            index.add(database[: len(values)], values)
            index.save(paths[name])
        np.save(f"{folder}/codes.npy", database[:100])
    paths["codes"] = f"{folder}/codes.npy"
    dist.barrier()
    for names in (["odd", "even"], ["even", "far", "odd"], ["codes", "far"], ["far", "codes"], ["one"], ["low", "far"]):
        sharded, whole = ShardedIndex.build([paths[name] for name in names]), HammingIndex(16)
        for name in names:
            whole.add(database[: len(ids.get(name, range(100)))], ids.get(name, len(whole) + np.arange(100)))
        assert sharded.total() == len(whole)
        same(sharded.search(database[:40], 30), whole.search(database[:40], 30))
    for names in (["low", "middle"], ["odd", "one"], ["codes", "even"], ["even", "codes", "far"], ["codes", "low"]):
        with raises(
            (ValueError, RuntimeError), "ShardedIndex.build: .*ids: .*is there already|but id .* is there twice"
        ):
            ShardedIndex.build([paths[name] for name in names])
    with raises(ValueError, "files: expected ids that are all different, but id 50 is there twice"):
        ShardedIndex.build([paths["low"], paths["middle"]])


JOBS = {job.__name__: job for job in (tables, files)}

if __name__ == "__main__":
    run(JOBS, short=("tables",))
