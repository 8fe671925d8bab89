"""An index on each rank, filled from files and searched as one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from fasthash.distributed.group import BUILD, COUNT, Ranks, attempt
from fasthash.distributed.merged_search import merged_search
from fasthash.index import HammingIndex
from fasthash.index.file import describe
from fasthash.index.inputs import placed
from fasthash.ops import _check
from fasthash.ops._arrays import Array

_ROWS = 1 << 20  # read from a file at a time


class ShardedIndex:
    """A `HammingIndex` on each rank, searched as one.

    The codes of a lower rank come first, so ties go to the lower rank, then to earlier insertion. An id should be on
    one rank only, which is not looked at.

    All ranks of the group create it and search it together.

    Args:
        local: this rank's part, which may be empty; it may be added to later. CPU with gloo, CUDA with nccl.
        group: default the whole world.

    Raises:
        RuntimeError: there is no group, or a rank has failed.
        ValueError: the ranks have codes of different widths.
    """

    def __init__(self, local: HammingIndex, group: dist.ProcessGroup | None = None) -> None:
        self.local = local
        self.group = group
        widths = Ranks("ShardedIndex", group).agree(BUILD, None, [local.bits])[:, 0].tolist()
        if len(set(widths)) > 1:
            raise ValueError(f"ShardedIndex: local: expected indexes of one width on all ranks, got bits {widths}")

    @classmethod
    def build(
        cls,
        files: Sequence[str | os.PathLike[str]],
        group: dist.ProcessGroup | None = None,
        *,
        bits: int | None = None,
        device: str | torch.device = "cpu",
    ) -> ShardedIndex:
        """Read the codes of some files, an equal share of the rows on each rank, block by block.

        Args:
            files: the same on all ranks, which all can read them: `.npy` of packed codes uint8 (n, bytes), which get
                their place in the whole as id; or index files, whose codes keep their ids. Documents are left out.
            group: default the whole world.
            bits: width of the codes; default that of index files, or 8 for each byte.
            device: of each part.

        Raises:
            TypeError, ValueError, OSError: a file is not there, or holds no codes of one width, when all ranks meet the
                same error.
            RuntimeError: a rank has failed, with its number and its error; on all ranks.

        >>> import numpy as np, os, tempfile
        >>> from fasthash import distributed
        >>> distributed.start()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = os.path.join(folder, "codes.npy")
        ...     np.save(file, np.array([[1], [2], [3]], dtype=np.uint8))
        ...     index = distributed.ShardedIndex.build([file, file])
        >>> index.search(np.array([[3]], dtype=np.uint8), 3)
        (array([[0, 0, 1]], dtype=int32), array([[2, 5, 0]]))
        >>> torch.distributed.destroy_process_group()
        """
        name = "ShardedIndex.build"
        ranks = Ranks(name, group)
        local, error = attempt(lambda: _part(name, files, bits, device, ranks.rank, ranks.size), HammingIndex(1))
        ranks.agree(BUILD, error, [])
        return cls(local, group)

    def __len__(self) -> int:
        """Codes of this rank; `total` has those of all."""
        return len(self.local)

    def total(self) -> int:
        """Codes of all ranks, which all ask together."""
        ranks = Ranks("ShardedIndex.total", self.group)
        return int(ranks.agree(COUNT, None, [len(self.local)])[:, 0].sum())

    def search(self, queries: Array | None, k: int, *, source: int | None = None) -> tuple[Array, Array]:
        """The k nearest codes of each query on all ranks, as `HammingIndex.search` finds them in one index.

        Args:
            queries: uint8 (q, bytes), packed codes: the same on all ranks, or on `source` alone and None elsewhere,
                where results are NumPy arrays for an index on CPU, tensors on CUDA.
            k: how many, at least 1.
            source: the rank within the group that has the queries.

        Returns:
            On all ranks: distances int32 (q, k) and ids int64 (q, k).

        Raises:
            TypeError, ValueError, RuntimeError: as `sharded_topk`.
        """
        name = "ShardedIndex.search"
        ranks, device = Ranks(name, self.group), self.local.device

        def given() -> tuple[Any, Callable[[Any], Any]]:
            _check.whole(name, "k", k, 1)
            like = np.zeros((0, 1), np.uint8) if queries is None and device.type == "cpu" else queries
            return placed(name, device, queries=like)

        (rows, back), error = attempt(given, ([None], None))
        packed = None if queries is None else rows[0]

        def search(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.local.search(x, k)

        return back(merged_search(ranks, packed, source, device, k, (ranks.rank, 1), search, error))  # type: ignore[no-any-return]


def _part(
    name: str,
    files: Sequence[str | os.PathLike[str]],
    bits: int | None,
    device: str | torch.device,
    rank: int,
    size: int,
) -> HammingIndex:
    """The rows of files that fall to a rank."""
    if isinstance(files, (str, os.PathLike)):
        raise TypeError(f"{name}: files: expected a list of files, got {files!r}")
    opened = [_open(name, os.fspath(file)) for file in files]
    widths = sorted({width for _, _, width in opened})
    if bits is None:
        if len(widths) != 1:
            raise ValueError(f"{name}: files: expected codes of one width, got bits {widths}")
        bits = widths[0]
    index = HammingIndex(bits, device=device)
    total = sum(count for _, count, _ in opened)
    first, last = total * rank // size, total * (rank + 1) // size
    begin = 0
    for read, count, _ in opened:
        for at in range(max(first, begin), min(last, begin + count), _ROWS):
            rows = min(_ROWS, min(last, begin + count) - at)
            codes, ids = read(at - begin, at - begin + rows)
            index.add(codes, np.arange(at, at + rows) if ids is None else ids)
        begin += count
    return index


def _open(name: str, file: str) -> tuple[Callable[[int, int], tuple[Any, Any]], int, int]:
    """How to read codes and ids from a row to another, the number of rows, the bits of a code."""
    if not file.endswith(".npy"):
        header = describe(file)
        index = HammingIndex.load(file, mmap=True)

        def blocks(first: int, last: int) -> tuple[Any, Any]:
            block = next(index.blocks(last - first, start=first))
            return block.codes, block.ids

        return blocks, header.count, header.bits
    codes = np.load(file, mmap_mode="r", allow_pickle=False)
    if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] == 0:
        raise ValueError(f"{name}: files: expected uint8 (rows, bytes) in {file}, got {codes.dtype} {codes.shape}")
    return lambda first, last: (codes[first:last], None), codes.shape[0], 8 * codes.shape[1]
