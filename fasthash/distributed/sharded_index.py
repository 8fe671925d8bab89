"""An index on each rank, filled from files and searched as one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
import torch.distributed as dist

from fasthash import ops
from fasthash.distributed import files as shares
from fasthash.distributed.asked import Asked
from fasthash.distributed.group import CANDIDATES, COUNT, JOIN, RANGE, RESCORE, SEARCH, TABLES, Ranks, attempt
from fasthash.distributed.merged_search import best, nearest, own_share, within
from fasthash.index import HammingIndex, inputs
from fasthash.index.snapshot import Allowed, most_candidates
from fasthash.ops._arrays import Array

_DOCUMENTS = (None, *inputs.DOCUMENTS)


class ShardedIndex:
    """A `HammingIndex` on each rank, searched as one.

    The codes of a lower rank come first, so ties go to the lower rank, then to earlier insertion. An id should be on
    one rank only, which `build` sees to, and nobody for parts that were filled in another way.

    All ranks of the group create it and search it together. A search makes no tables for multi-index hashing, as the
    others wait for it: `make_tables` does.

    Args:
        local: this rank's part, which may be empty; it may be added to later. CPU with gloo, CUDA with nccl.
        group: default the whole world.

    Raises:
        TypeError: no index, or no group.
        RuntimeError: there is no group, or a rank has failed.
        ValueError: the ranks have codes of different widths, or documents of different kinds.
    """

    def __init__(self, local: HammingIndex, group: dist.ProcessGroup | None = None) -> None:
        name = "ShardedIndex"
        ranks = Ranks(name, group)
        facts, error = attempt(lambda: _kind(name, local), [])
        said = ranks.agree(JOIN, error, facts)
        widths, kinds = said[:, 0].tolist(), [_DOCUMENTS[i] for i in said[:, 1].tolist()]
        if len(set(widths)) > 1:
            raise ValueError(f"{name}: local: expected indexes of one width on all ranks, got bits {widths}")
        if len(set(kinds)) > 1:
            raise ValueError(f"{name}: local: expected documents of one kind on all ranks, got {kinds}")
        self.local = local
        self.group = group

    @classmethod
    def build(
        cls,
        files: Sequence[str | os.PathLike[str]],
        group: dist.ProcessGroup | None = None,
        *,
        bits: int | None = None,
        device: str | torch.device = "cpu",
        multi_index: Literal["never", "always"] = "never",
    ) -> ShardedIndex:
        """Read the codes of some files, an equal share of the rows on each rank, block by block.

        It may take longer than the timeout of the group.

        Args:
            files: the same on all ranks, which all can read them: `.npy` of packed codes uint8 (n, bytes), which get
                their place in the whole as id; or index files, whose codes keep their ids. Documents are left out.
            group: default the whole world.
            bits: width of the codes; default that of index files, or 8 for each byte.
            device: of each part.
            multi_index: "always" makes tables for multi-index hashing as well, as `make_tables` does.

        Raises:
            TypeError, ValueError, OSError: a file is not there, or holds no codes of one width, when all ranks meet the
                same error.
            ValueError: the ranks were given different files, or an id stands twice in them; on all ranks.
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
        local = shares.read(ranks, files, bits, device, multi_index)
        shares.check_ids(ranks, local._snapshot)
        index = cls(local, group)
        if multi_index == "always":
            index._make_tables(name)
        return index

    def make_tables(self) -> None:
        """Make tables for multi-index hashing on all ranks, for codes of up to 64 bits on a CPU, if they are not there.

        Searches use them as long as they cover all codes of a rank: make them again after adding or removing. It may
        take longer than the timeout of the group. docs/index.md says when tables help, and what they take.

        Raises:
            ValueError: codes that can have no tables.
            RuntimeError: a rank has failed, with its number and its error; on all ranks.

        >>> import numpy as np
        >>> from fasthash import HammingIndex, distributed
        >>> distributed.start()
        >>> local = HammingIndex(8)
        >>> local.add(np.array([[1], [2], [3]], dtype=np.uint8))
        >>> index = distributed.ShardedIndex(local)
        >>> index.make_tables()
        >>> local.multi_index_bytes > 0
        True
        >>> torch.distributed.destroy_process_group()
        """
        self._make_tables("ShardedIndex.make_tables")

    def _make_tables(self, name: str) -> None:
        state = self.local._snapshot

        def make() -> None:
            inputs.when(name, "always", state.bits, state.device)
            nothing = torch.zeros((1, state.codes.shown.shape[1]), dtype=torch.uint8)
            replace(state, multi_index="always").topk(nothing, 1, Allowed())

        Ranks(name, self.group).wait_for_all(TABLES, make)

    def __len__(self) -> int:
        """Codes of this rank; `total` has those of all."""
        return len(self.local)

    def total(self) -> int:
        """Codes of all ranks, which all ask together."""
        ranks = Ranks("ShardedIndex.total", self.group)
        return int(ranks.agree(COUNT, None, [len(self.local)])[:, 0].sum())

    def search(
        self,
        queries: Array | None,
        k: int,
        *,
        filter: Array | Sequence[int] | None = None,
        source: int | None = None,
    ) -> tuple[Array, Array]:
        """The k nearest codes of each query on all ranks, as `HammingIndex.search` finds them in one index.

        Args:
            queries: uint8 (q, bytes), packed codes: the same on all ranks, or on `source` alone and None elsewhere,
                where results are NumPy arrays for an index on CPU, tensors on CUDA.
            k: how many, at least 1.
            filter: what may be returned: on each rank a bool (len(index),) for its own codes, in the order of
                `local.ids`; or on all ranks the same ids, each of which is on some rank.
            source: the rank within the group that has the queries.

        Returns:
            On all ranks: distances int32 (q, k) and ids int64 (q, k).

        Raises:
            TypeError, ValueError, RuntimeError: as `sharded_topk`; the filter is of different kinds, or names an id
                that is on no rank.
        """
        asked = Asked("ShardedIndex.search", self.group, self.local, queries, filter, source, {"k": (k, 1)})

        def search(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            distances, positions = asked.state.topk(x, k, asked.allowed)
            return distances, asked.state.named(positions)

        found, order, _ = asked.answer(SEARCH, search)
        return asked.given_back(nearest(asked.ranks, order, found, k))  # type: ignore[no-any-return]

    def range_search(
        self,
        queries: Array | None,
        radius: int,
        *,
        filter: Array | Sequence[int] | None = None,
        source: int | None = None,
    ) -> tuple[Array, Array, Array]:
        """All codes on all ranks within a radius of each query, as `HammingIndex.range_search` finds them in one index.

        Each rank receives them all.

        Args:
            queries: as in `search`.
            radius: in bits, at least 0, inclusive.
            filter: as in `search`.
            source: as in `search`.

        Returns:
            On all ranks: offsets int64 (q + 1,), distances int32 (offsets[-1],), ids int64 (offsets[-1],).

        Raises:
            TypeError, ValueError, RuntimeError: as `search`.
        """
        asked = Asked(
            "ShardedIndex.range_search", self.group, self.local, queries, filter, source, {"radius": (radius, 0)}
        )

        def search(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            offsets, distances, positions = asked.state.within(x, radius, asked.allowed)
            return offsets, distances, asked.state.named(positions)

        found, order, counts = asked.answer(RANGE, search, lambda x: len(x[1]))
        return asked.given_back(within(asked.ranks, order, found, counts))  # type: ignore[no-any-return]

    def search_rescored(
        self,
        queries: Array | None,
        k: int,
        *,
        oversample: int = 4,
        filter: Array | Sequence[int] | None = None,
        scale: Array | float | None = None,
        source: int | None = None,
    ) -> tuple[Array, Array]:
        """The k of highest score among the k * oversample nearest codes of all ranks: `HammingIndex.search_rescored`.

        The ranks agree on the candidates first, and each scores its own.

        Args:
            queries: (q, bits) floats, not packed: as in `search`.
            k: at least 1.
            oversample: at least 1.
            filter: as in `search`.
            scale: what makes values of stored int8 documents: a number, or (bits,); the same on all ranks.
            source: as in `search`.

        Returns:
            On all ranks: scores float32 (q, k) and ids int64 (q, k).

        Raises:
            TypeError, ValueError, RuntimeError: as `search`.
        """
        numbers = {"k": (k, 1), "oversample": (oversample, 1)}
        asked = Asked(
            "ShardedIndex.search_rescored", self.group, self.local, queries, filter, source, numbers, scale, floats=True
        )
        ranks, state = asked.ranks, asked.state
        total = sum(asked.sizes())

        def search(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return state.topk(ops.pack(x.detach()), most_candidates(k, oversample, total), asked.allowed)

        (distances, candidates), order, _ = asked.answer(CANDIDATES, search)
        share_of_this = own_share(ranks, order, distances).to(candidates.device)
        late = torch.arange(candidates.shape[1], device=candidates.device) >= share_of_this[:, None]

        def rescore() -> tuple[torch.Tensor, torch.Tensor]:
            scores, positions = state.rescored(asked.queries.detach(), k, candidates.masked_fill(late, -1), asked.scale)
            return scores, state.named(positions)

        found, error = attempt(rescore, None)
        ranks.agree(RESCORE, error, [])
        return asked.given_back(best(ranks, order, found, k))  # type: ignore[no-any-return]


def _kind(name: str, local: HammingIndex) -> list[int]:
    """Of an index, what has to be the same on all ranks."""
    if not isinstance(local, HammingIndex):
        raise TypeError(f"{name}: local: expected a HammingIndex, got {type(local).__name__}")
    return [local.bits, _DOCUMENTS.index(local.documents)]
