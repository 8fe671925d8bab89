"""What torchrun starts in the tests of sharded search. Arguments: a folder, and a name of `JOBS`."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
import torch
import torch.distributed as dist
from rank import RANK, data, raises, run, same, say

import fasthash
from fasthash import HammingIndex
from fasthash.distributed import ShardedIndex, sharded_topk


def topk(folder: str) -> None:
    """Any number of ranks, uneven and empty shards, masks, either kind of arrays: as one machine."""
    database, queries = data()
    mask = np.arange(1000) % 3 > 0
    groups = [dist.new_group(list(range(size))) for size in (1, 2, 3)]
    cuts = {1: [[0, 1000]], 2: [[0, 1000, 1000], [0, 7, 1000]], 3: [[0, 333, 666, 1000], [0, 0, 999, 1000]]}
    cuts[4] = [[0, 250, 500, 750, 1000], [0, 0, 1000, 1000, 1000], [0, 1, 2, 3, 1000], [0, 600, 600, 601, 1000]]
    for group, size in zip([*groups, None], (1, 2, 3, 4), strict=True):
        if size <= RANK:
            continue
        for bounds in cuts[size]:
            for part in (RANK, size - 1 - RANK):  # also with the first codes on the last rank
                first, last = bounds[part : part + 2]
                shard = database[first:last]
                for k in (1, 10, 300, 1500):
                    expected = fasthash.hamming_topk(queries, database, k)
                    same(sharded_topk(queries, shard, k, offset=first, group=group), expected)
                tensors = [torch.from_numpy(x) for x in (queries, shard, mask[first:last], mask, database)]
                expected = fasthash.hamming_topk(tensors[0], tensors[4], 20, mask=tensors[3])
                same(sharded_topk(*tensors[:2], 20, offset=first, group=group, mask=tensors[2]), expected)
                for source in range(size):
                    own = queries if source == RANK else None
                    got = sharded_topk(own, shard, 5, offset=first, group=group, source=source)
                    same(got, fasthash.hamming_topk(queries, database, 5))
        empty = database[:0]
        same(sharded_topk(queries, empty, 3, offset=5, group=group), fasthash.hamming_topk(queries, empty, 3))
        same(sharded_topk(queries[:0], empty, 3, offset=0, group=group), fasthash.hamming_topk(queries[:0], empty, 3))


def index(folder: str) -> None:
    """Built from files in blocks: as one index of them all."""
    import fasthash.distributed.files as module

    module._ROWS = 37
    database, queries = data(16)
    if RANK == 0:
        np.save(f"{folder}/a.npy", database[:300])
        np.save(f"{folder}/b.npy", database[300:301])
        np.save(f"{folder}/empty.npy", database[:0])
        named = HammingIndex(16)
        named.add(database[301:], ids=5000 + np.random.default_rng(1).permutation(699))
        named.save(f"{folder}/c.fasthash")
    dist.barrier()
    names = ["a.npy", "empty.npy", "b.npy", "c.fasthash", "empty.npy"]
    whole = HammingIndex(16)
    whole.add(database[:301])
    whole.merge_from(HammingIndex.load(f"{folder}/c.fasthash"))
    sharded = ShardedIndex.build([f"{folder}/{name}" for name in names])
    assert len(sharded) == 250
    assert sharded.total() == 1000
    for k in (1, 10, 2000):
        same(sharded.search(queries, k), whole.search(queries, k))
        same(sharded.search(queries if RANK == 2 else None, k, source=2), whole.search(queries, k))
    tensors = torch.from_numpy(queries)
    same(sharded.search(tensors, 4), whole.search(tensors, 4))

    first = 3 - RANK  # filled by hand, of unequal sizes, one of them empty
    local = HammingIndex(16)
    local.add(database[: 100 * first], ids=np.arange(100 * first) + 1000 * RANK)
    united = HammingIndex(16)
    for rank in range(4):
        united.add(database[: 100 * (3 - rank)], ids=np.arange(100 * (3 - rank)) + 1000 * rank)
    same(ShardedIndex(local).search(queries, 50), united.search(queries, 50))


def parts(folder: str) -> None:
    """Filters, ranges and rescoring, for 1 to 3 ranks, uneven and empty shards: as one index."""
    database, queries = data(24, 600)
    rng = np.random.default_rng(2)
    ids = rng.permutation(5000)[:600]
    floats, documents = rng.standard_normal((9, 24)).astype(np.float32), rng.standard_normal((600, 24))
    documents[::7] = documents[1]  # equal scores, whose order goes by position
    database[::7] = database[1]
    stored = {"int8": (documents * 20).astype(np.int8), "float16": documents.astype(np.float16), None: None}
    few, some = ids[:9], rng.permutation(ids)[:200]
    groups = [dist.new_group(list(range(size))) for size in (1, 2, 3)]
    cuts = [[0, 600]], [[0, 7, 600], [0, 600, 600]], [[0, 200, 400, 600], [0, 0, 590, 600]]
    for group, bounds_of_size in zip(groups, cuts, strict=True):
        size = dist.get_world_size(group) if RANK in dist.get_process_group_ranks(group) else 0
        for bounds in bounds_of_size if size else []:
            own = slice(bounds[RANK], bounds[RANK + 1])
            for kind, values in stored.items():
                whole, local = HammingIndex(24, documents=kind), HammingIndex(24, documents=kind)
                whole.add(database, ids, documents=values)
                local.add(database[own], ids[own], documents=None if values is None else values[own])
                sharded = ShardedIndex(local, group)
                mask = np.arange(600) % 5 < 2
                scale = np.linspace(0.5, 2, 24, dtype=np.float32) if kind == "int8" else None
                for k in (1, 8, 300, 700):
                    for mine, everywhere in ((None, None), (mask[own], mask), (few, few), (some, some)):
                        got = sharded.search(queries, k, filter=mine)
                        same(got, whole.search(queries, k, filter=everywhere))
                        options = {"oversample": 1 + k % 5, "scale": scale}
                        got = sharded.search_rescored(floats, k, filter=mine, **options)
                        same(got, whole.search_rescored(floats, k, filter=everywhere, **options))
                if kind is None:
                    ranges(sharded, whole, queries, [(None, None), (mask[own], mask), (few, few), (some, some)])
                last = size - 1
                for x in (floats, floats.astype(np.float64), torch.from_numpy(floats).bfloat16()):
                    got = sharded.search_rescored(x if last == RANK else None, 5, source=last)
                    expected = whole.search_rescored(x, 5)
                    if last != RANK:
                        expected = [np.asarray(y) for y in expected]  # as on every rank that gave no queries
                    same(got, expected)
                same(sharded.search(queries[:0], 3), whole.search(queries[:0], 3))
                same(sharded.search_rescored(floats[:0], 3), whole.search_rescored(floats[:0], 3))


def ranges(sharded, whole, queries, filters) -> None:
    for radius in (0, 5, 24):
        for mine, everywhere in filters:
            expected = whole.range_search(queries, radius, filter=everywhere)
            same(sharded.range_search(queries, radius, filter=mine), expected)
    source = dist.get_world_size(sharded.group) - 1
    given = queries if source == RANK else None
    same(sharded.range_search(given, 4, source=source), whole.range_search(queries, 4))
    same(sharded.range_search(queries[:0], 4), whole.range_search(queries[:0], 4))


def wrong_parts(folder: str) -> None:
    """What all raise alike for filters, ranges and rescoring; the group works on."""
    database, queries = data(24, 600)
    local = HammingIndex(24)
    local.add(database[RANK * 200 : RANK * 200 + 200], np.arange(200) + 200 * RANK)
    index, bad = ShardedIndex(local), RANK == 1
    floats = np.ones((2, 24), dtype=np.float32)
    mask = np.ones(200, dtype=bool)

    def documents(kind: str) -> HammingIndex:
        made = HammingIndex(24, documents=kind)
        made.add(database[:3], np.arange(3) + 3 * RANK, documents=np.ones((3, 24), np.int8).astype(kind))
        return made

    int8, changed = ShardedIndex(documents("int8")), ShardedIndex(documents("int8"))
    changed.local = documents("float32" if bad else "int8")
    failures = [
        (
            lambda: index.search(queries, 3, filter=[5, 599, 700]),
            ValueError,
            "filter: expected ids of the index, got 700",
        ),
        (lambda: index.search(queries, 3, filter=[5, RANK]), ValueError, "expected the same filter on all ranks"),
        (lambda: index.search(queries, 3, filter=[5] if bad else mask), ValueError, "the same kind of filter on all"),
        (
            lambda: index.search(queries, 3, filter=mask[:9] if bad else mask),
            RuntimeError,
            "rank 1 failed: .*filter: exp",
        ),
        (
            lambda: index.range_search(queries, 3 if bad else 4),
            ValueError,
            r"same radius on all ranks, got \[4, 3, 4\]",
        ),
        (lambda: index.range_search(queries, -1), ValueError, "range_search: radius: expected at least 0, got -1"),
        (lambda: index.range_search(queries[:, :1], 1), ValueError, "range_search: queries: expected 3 bytes a code"),
        (lambda: index.search_rescored(floats, 2, oversample=1 + RANK), ValueError, r"same oversample .* \[1, 2, 3\]"),
        (lambda: index.search_rescored(queries, 2), TypeError, "search_rescored: queries: expected floats, not packed"),
        (
            lambda: index.search_rescored(floats[:, :9] if bad else floats, 2),
            RuntimeError,
            "rank 1 failed: .*24 dimens",
        ),
        (lambda: index.search_rescored(floats + RANK, 2), ValueError, "same checksum of the queries on all ranks"),
        (lambda: index.search_rescored(None if bad else floats, 2), RuntimeError, "rank 1 failed: .*them on this rank"),
        (lambda: index.search_rescored(floats, 2, scale=2.0), ValueError, "scale: expected None, as documents are not"),
        (lambda: index.search(queries, 2) if bad else index.range_search(queries, 2), ValueError, "take the same step"),
        (
            lambda: sharded_topk(queries, database, 2, offset=0) if bad else index.search(queries, 2),
            ValueError,
            "take the same step, got",
        ),
        (lambda: index.total() if bad else index.search_rescored(floats, 2), ValueError, "take the same step, got"),
        (
            lambda: int8.search_rescored(floats, 2, scale=1.0 + RANK),
            ValueError,
            "search_rescored: scale: expected the same checksum of the factors on all ranks, got",
        ),
        (
            lambda: int8.search_rescored(floats, 2, scale=np.ones(24) if bad else None),
            ValueError,
            r"scale: expected the same number of factors on all ranks, got \[0, 24, 0\]",
        ),
        (
            lambda: ShardedIndex(documents("float32" if bad else "int8")),
            ValueError,
            r"local: expected documents of one kind on all ranks, got \['int8', 'float32', 'int8'\]",
        ),
        (lambda: changed.search_rescored(floats, 2), ValueError, "local: expected the same dtype of documents on all"),
        (
            lambda: ShardedIndex(None if bad else local),
            RuntimeError,
            "rank 1 failed: TypeError: ShardedIndex: local: expected a HammingIndex, got NoneType",
        ),
        (
            lambda: index.search(queries, 3, filter=[5, 6] if bad else [5]),
            ValueError,
            r"same number of ids in the filter on all ranks, got \[1, 2, 1\]",
        ),
    ]
    for call, error, text in failures:
        with raises(error, text) as raised:
            call()
        assert type(raised.value) is error
        whole = HammingIndex(24)
        whole.add(database)
        same(index.range_search(queries, 4), whole.range_search(queries, 4))


def errors(folder: str) -> None:
    """All raise the same, and the group works on."""
    database, queries = data()
    shard, offset = database[RANK * 250 : RANK * 250 + 250], RANK * 250
    bad = RANK == 2

    if RANK == 0:
        for name, rows in (
            ("some", database),
            ("others", database),
            ("here/some", database),
            ("there/some", database[::-1]),
        ):
            os.makedirs(os.path.dirname(f"{folder}/{name}"), exist_ok=True)
            np.save(f"{folder}/{name}.npy", rows)
    dist.barrier()

    def search(q=queries, s=shard, k=3, o=offset, **options):
        return sharded_topk(q, s, k, offset=o, **options)

    failures = [
        (
            lambda: search(s=shard[:, :1] if bad else shard),
            RuntimeError,
            r"sharded_topk: rank 2 failed: ValueError: .*bytes",
        ),
        (lambda: search(s=shard.astype(float) if bad else shard), RuntimeError, "rank 2 failed: TypeError: .*float64"),
        (
            lambda: search(k=0 if bad else 3),
            RuntimeError,
            "rank 2 failed: ValueError: sharded_topk: k: expected at least 1",
        ),
        (
            lambda: search(s=None if RANK else shard),
            RuntimeError,
            "rank 1 failed: .*; rank 2 failed: .*; rank 3 failed",
        ),
        (lambda: search(k=4 if bad else 3), ValueError, r"expected the same k on all ranks, got \[3, 3, 4, 3\]"),
        (lambda: search(q=queries[:9] if bad else queries), ValueError, r"same number of queries .*\[17, 17, 9, 17\]"),
        (
            lambda: search(q=queries[::-1] if bad else queries),
            ValueError,
            "the same checksum of the queries on all ranks",
        ),
        (
            lambda: search(o=RANK * 249),
            ValueError,
            "shards that do not overlap, but rank 0 holds 250 codes from 0 on, and",
        ),
        (lambda: search(q=None), ValueError, "sharded_topk: queries: expected them on this rank, got None"),
        (lambda: search(source=4), ValueError, "source: expected a rank below 4, got 4"),
        (lambda: search(source="a"), TypeError, "source: expected a whole number, got str"),
        (
            lambda: search(source="a" if bad else 0),
            RuntimeError,
            "rank 2 failed: TypeError: sharded_topk: source: expected",
        ),
        (
            lambda: search(source=0),
            RuntimeError,
            "rank 1 failed: .*expected None beside source 0, got an array; rank 2",
        ),
        (
            lambda: search(q=queries if RANK == 1 else None, source=1 if RANK else 0),
            RuntimeError,
            "rank 0 failed: .*queries",
        ),
        (
            lambda: search(q=queries if RANK < 2 else None, source=min(RANK, 1)),
            ValueError,
            r"source: .*same .*\[0, 1, 1, 1\]",
        ),
        (
            lambda: search(q=None if bad else queries, source=0 if bad else None),
            ValueError,
            "to take the same step, got",
        ),
        (lambda: search(k="3"), TypeError, "sharded_topk: k: expected a whole number, got str"),
        (
            lambda: ShardedIndex(HammingIndex(8 + RANK)),
            ValueError,
            r"indexes of one width on all ranks, got bits \[8, 9, 10, 11\]",
        ),
        (lambda: ShardedIndex.build([f"{folder}/none.npy"]), FileNotFoundError, "none.npy"),
        (
            lambda: ShardedIndex.build([f"{folder}/x{RANK}.npy"]),
            RuntimeError,
            "rank 0 failed: FileNotFoundError: .*; rank 3",
        ),
        (
            lambda: ShardedIndex.build([f"{folder}/{'some' if bad else 'others'}.npy"]),
            ValueError,
            "build: files: expected files of the same names and contents on all ranks",
        ),
        (
            lambda: ShardedIndex.build([f"{folder}/{'here' if bad else 'there'}/some.npy"]),
            ValueError,
            "build: files: expected files of the same names and contents on all ranks",
        ),
        (
            lambda: ShardedIndex.build([f"{folder}/some.npy"] * (2 if bad else 1)),
            ValueError,
            r"build: files: expected the same number of files on all ranks, got \[1, 1, 2, 1\]",
        ),
        (
            lambda: ShardedIndex.build([f"{folder}/some.npy"], bits=15 if bad else 16),
            ValueError,
            r"codes of one width on all ranks, got \[16, 16, 15, 16\]",
        ),
        (
            lambda: ShardedIndex.build([f"{folder}/some.npy"], multi_index="auto"),
            ValueError,
            "build: multi_index: expected never or always, got 'auto'",
        ),
        (
            lambda: ShardedIndex.build([f"{folder}/some.npy"], device="somewhere"),
            ValueError,
            "ShardedIndex.build: device: expected a device",
        ),
        (lambda: ShardedIndex.build(None), TypeError, "build: files: expected a list of files, got None"),
        (lambda: ShardedIndex.build([3]), TypeError, "build: files: expected paths, got int"),
        (lambda: ShardedIndex(HammingIndex(8), "x"), TypeError, "ShardedIndex: group: expected a torch.distributed gr"),
        (lambda: ShardedIndex.build("a.npy"), TypeError, "build: files: expected a list of files, got 'a.npy'"),
        (lambda: ShardedIndex.build([]), ValueError, r"build: files: expected codes of one width, got bits \[\]"),
    ]
    for call, error, text in failures:
        with raises(error, text) as raised:
            call()
        assert type(raised.value) is error
        same(search(), fasthash.hamming_topk(queries, database, 3))  # the ranks are still in step


def lonely(folder: str) -> None:
    """A rank that does not come: the others give up after the timeout of the group."""
    database, queries = data()
    if RANK == 1:
        time.sleep(60)
        return
    begun = time.monotonic()
    with pytest.raises(RuntimeError):
        sharded_topk(queries, database, 3, offset=0)
    assert time.monotonic() - begun < 50
    say("gave up")


def killed(folder: str) -> None:
    """A rank that dies in the middle of the work."""
    database, queries = data()
    sharded_topk(queries, database, 3, offset=RANK * 1000)
    say("one search done")
    if RANK == 1:
        os.kill(os.getpid(), 9)
    sharded_topk(queries, database, 3, offset=RANK * 1000)
    raise AssertionError("the search came to an end without rank 1")


JOBS = {job.__name__: job for job in (topk, index, parts, wrong_parts, errors, lonely, killed)}

if __name__ == "__main__":
    run(JOBS, short=("lonely",))
