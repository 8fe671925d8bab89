"""One call of each op at a size of everyday use: what test_ops.py times and memory.py weighs. A new op is one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fasthash


class Inputs:
    """Random arrays that the calls choose from."""

    def __init__(self, codes: int, queries: int, bits: int) -> None:
        rng = np.random.default_rng(0)
        self.bits = bits
        self.database = rng.integers(0, 256, (codes, bits // 8), dtype=np.uint8)
        self.queries = rng.integers(0, 256, (queries, bits // 8), dtype=np.uint8)
        self.few = self.queries[:8]
        self.labels = rng.integers(0, 10, queries), rng.integers(0, 10, codes)
        self.label_sets = rng.random((queries, 21)) < 0.1, rng.random((codes, 21)) < 0.1
        self.float_queries = rng.standard_normal((queries, bits), dtype=np.float32)
        self.candidates = rng.integers(0, codes, (queries, 200))

    @property
    def tenth(self) -> np.ndarray:
        """Some of the codes: as floats they take 32 times the memory."""
        return self.database[: max(1, len(self.database) // 10)]

    @property
    def floats(self) -> np.ndarray:
        return fasthash.unpack(self.tenth, self.bits)

    @property
    def radius(self) -> int:
        """Within which the first query finds about a hundred codes."""
        return int(fasthash.hamming_topk(self.queries[:1], self.database, min(100, len(self.database)))[0][0, -1])


# The op, and after a comma what tells its calls apart -> its arguments.
CALLS: dict[str, Callable[[Inputs], tuple[Any, ...]]] = {
    "pack": lambda x: (x.floats,),
    "unpack": lambda x: (x.tenth, x.bits),
    "hamming_distance": lambda x: (x.few, x.database),
    "label_overlap": lambda x: (x.few, x.database),
    "hamming_topk, k = 10": lambda x: (x.queries, x.database, 10),
    "hamming_topk, k = 1000": lambda x: (x.queries, x.database, 1000),
    "hamming_topk, one query": lambda x: (x.queries[:1], x.database, 10),
    "hamming_range": lambda x: (x.queries, x.database, x.radius),
    "hamming_range_padded": lambda x: (x.queries, x.database, x.radius, 100),
    "hamming_histogram": lambda x: (x.queries, x.database),
    "relevance_histogram": lambda x: (x.queries, x.database, *x.labels),
    "relevance_histogram, label sets": lambda x: (x.queries, x.database, *x.label_sets),
    "overlap_histogram": lambda x: (x.queries, x.database, *x.label_sets),
    "average_precision_counts": lambda x: (x.queries, x.database, *x.labels),
    "rescore": lambda x: (x.float_queries, x.database, x.candidates),
    "topk_rescored": lambda x: (x.float_queries, x.database, 10),
}


def op_of(call: str) -> str:
    """The name of the op in fasthash and in fasthash.ops.reference."""
    return call.split(",")[0]
