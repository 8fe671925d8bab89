"""The k nearest codes among the shards of all ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist

from fasthash import ops
from fasthash.distributed.group import TOPK, Ranks, attempt
from fasthash.distributed.merged_search import nearest
from fasthash.distributed.question import Filter, agree, share
from fasthash.ops import _check
from fasthash.ops._arrays import Array, tensors


def sharded_topk(
    queries: Array | None,
    shard: Array,
    k: int,
    *,
    offset: int,
    group: dist.ProcessGroup | None = None,
    mask: Array | None = None,
    source: int | None = None,
) -> tuple[Array, Array]:
    """The k nearest codes of each query among the shards of all ranks: what `hamming_topk` finds in one table of them.

    All ranks of the group call it, with the same k.

    Args:
        queries: uint8 (q, bytes), packed codes: the same on all ranks, or on `source` alone and None elsewhere.
        shard: uint8 (m, bytes), this rank's codes, on any rank as many or as few as you like; CPU with gloo, CUDA with
            nccl.
        k: how many, at least 1.
        offset: the place of the first code of the shard in the whole database. Shards may not overlap; ties go to the
            lower place.
        group: default the whole world.
        mask: bool (m,), True = may be returned.
        source: the rank within the group that has the queries, which are then sent to the others.

    Returns:
        On all ranks: distances int32 (q, k), in bits, and places int64 (q, k) in the whole database. Places without a
        code hold the largest int32 and -1.

    Raises:
        TypeError, ValueError: as `hamming_topk`, when all ranks meet the same error.
        ValueError: the ranks were given different queries or k, or shards overlap; on all ranks.
        RuntimeError: a rank has failed, with its number and its error; on all ranks. Or there is no group, or a rank
            was not heard of before the timeout of the group.

    >>> import numpy as np, fasthash
    >>> from fasthash import distributed
    >>> distributed.start()
    >>> shard = np.array([[0b1111], [0b0111], [0b0001]], dtype=np.uint8)
    >>> distributed.sharded_topk(shard[:1], shard, 2, offset=100)
    (array([[0, 1]], dtype=int32), array([[100, 101]]))
    >>> torch.distributed.destroy_process_group()
    """
    name = "sharded_topk"
    ranks = Ranks(name, group)

    def given() -> tuple[list[Any], Callable[[Any], Any]]:
        _check.whole(name, "k", k, 1)
        _check.whole(name, "offset", offset, 0)
        found, back = tensors(name, queries=queries, shard=shard, mask=mask)
        _check.codes(name, "shard", found[1])
        return found, back

    (rows, back), error = attempt(given, ([None, None, None], None))
    packed, codes, allowed = rows

    device, count = (torch.device("cpu"), 0) if codes is None else (codes.device, len(codes))
    packed, error = share(ranks, packed, source, device, lambda x: _check.codes(name, "queries", x), error)

    def search() -> tuple[torch.Tensor, torch.Tensor]:
        distances, indices = ops.hamming_topk(packed, codes, k, mask=allowed)
        return distances, torch.where(indices < 0, indices, indices + offset)

    found: Any = None
    if error is None:
        found, error = attempt(search, None)
    order, _ = agree(ranks, TOPK, error, packed, {"k": k}, Filter(), (offset, count) if count else (0, 0))
    distances, places = nearest(ranks, order, found, k)
    return back((distances.to(device), places.to(device)))  # type: ignore[no-any-return]
