"""Exact search over codes that are spread over the ranks of a `torch.distributed` group.

Each rank searches its shard, and the ordered lists of all are merged: the result is the same, bit for bit, as that of
one machine, for any number of ranks. Before they exchange anything the ranks tell each other whether all is well; where
one has failed, all raise. docs/scaling.md says what it costs.
"""

from fasthash.distributed.group import start
from fasthash.distributed.sharded_index import ShardedIndex
from fasthash.distributed.sharded_topk import sharded_topk

__all__ = ["ShardedIndex", "sharded_topk", "start"]
