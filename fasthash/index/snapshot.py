"""One state of an index, which never changes: what a search sees, whatever other threads add meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch

from fasthash import ops
from fasthash.index.ids import Ids
from fasthash.index.lazy_tables import LazyTables, When, possible
from fasthash.index.mapped import Verifier
from fasthash.index.rows import Rows
from fasthash.ops.rescored import rescored

_GATHER = 16  # allowed codes are searched in a table of their own when the others are this many times as many


@dataclass(frozen=True)
class Allowed:
    """What a search may return: a mask over all positions, or a few positions in rising order."""

    mask: torch.Tensor | None = None
    positions: torch.Tensor | None = None

    @classmethod
    def at(cls, positions: torch.Tensor, count: int) -> Allowed:
        """These positions of `count`, in any order."""
        if _GATHER * len(positions) < count:
            return cls(positions=positions.unique())
        mask = torch.zeros(count, dtype=torch.bool, device=positions.device)
        mask[positions] = True
        return cls(mask=mask)


@dataclass(frozen=True)
class Snapshot:
    """Codes, ids and documents by position.

    Attributes:
        bits: width of the codes.
        device: of everything here.
        codes: uint8 (n, bytes).
        ids: of n codes.
        documents: int8, float16 or float32 (n, bits), or None.
        next_id: larger than every id that ever was here.
        verifier: of a mapped file, whose blocks are checked when they are first read; None otherwise.
        multi_index: when tables for the codes are made; None = "auto" in memory, "never" where mapped from a file.
        lazy: those tables; a state with other codes needs others, unless it only has more behind them.
    """

    bits: int
    device: torch.device
    codes: Rows
    ids: Ids
    documents: Rows | None
    next_id: int
    verifier: Verifier | None = None
    multi_index: When | None = None
    lazy: LazyTables = field(default_factory=LazyTables, repr=False, compare=False)

    def __len__(self) -> int:
        return self.codes.count

    def read_codes(self, positions: torch.Tensor | None = None) -> torch.Tensor:
        """All codes, of which those at some positions are checked; without positions all are."""
        self._check("codes", positions)
        return self._read(self.codes.shown)

    def read_ids(self, positions: torch.Tensor | None = None) -> torch.Tensor:
        """All ids, checked as the codes."""
        self._check("ids", positions)
        return self._read(self.ids.values(self.device))

    def read_documents(self, positions: torch.Tensor | None = None) -> torch.Tensor:
        """All documents, checked as the codes."""
        assert self.documents is not None
        self._check("documents", positions)
        return self._read(self.documents.shown)

    def find(self, ids: torch.Tensor) -> torch.Tensor:
        """Positions of ids, -1 where there is none."""
        self._check("ids")
        return self.ids.find(ids)

    def topk(self, queries: torch.Tensor, k: int, allowed: Allowed) -> tuple[torch.Tensor, torch.Tensor]:
        """Distances and positions of the nearest, as `hamming_topk`."""
        codes = self.read_codes()
        if allowed.positions is None:
            return self.lazy.topk(self._when(), self.bits, queries, codes, k, allowed.mask)
        distances, found = ops.hamming_topk(queries, codes[allowed.positions], k)
        return distances, _positions(allowed.positions, found)

    def within(
        self, queries: torch.Tensor, radius: int, allowed: Allowed
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Offsets, distances and positions of all within a radius, as `hamming_range`."""
        codes = self.read_codes()
        if allowed.positions is None:
            return self.lazy.within(self._when(), self.bits, queries, codes, radius, allowed.mask)
        offsets, distances, found = ops.hamming_range(queries, codes[allowed.positions], radius)
        return offsets, distances, _positions(allowed.positions, found)

    def topk_rescored(
        self, queries: torch.Tensor, k: int, oversample: int, allowed: Allowed, scale: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores and positions of the best among the nearest, as `topk_rescored`."""
        _, candidates = self.topk(ops.pack(queries.detach()), most_candidates(k, oversample, len(self)), allowed)
        return self.rescored(queries, k, candidates, scale)

    def rescored(
        self, queries: torch.Tensor, k: int, candidates: torch.Tensor, scale: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores and positions of the best among some positions (q, k or more), of which -1 is none."""
        documents = self.read_codes() if self.documents is None else self.read_documents(candidates)
        return rescored(queries, documents, candidates, k, scale)

    def named(self, positions: torch.Tensor) -> torch.Tensor:
        """Ids at positions; -1 stays -1."""
        self._check("ids", positions)
        return self.ids.at(positions)

    def kept(self, keep: torch.Tensor) -> Snapshot:
        """The codes where a mask (n,) is True, in tables of their own."""
        documents = None if self.documents is None else self.documents.kept(keep)
        codes, ids = self.codes.kept(keep), self.ids.kept(keep)
        return replace(self, codes=codes, ids=ids, documents=documents, lazy=LazyTables())

    def shared(self) -> Snapshot:
        """The same state for another owner, without a copy of what lies in memory."""
        documents = None if self.documents is None else self.documents.shared()
        codes, ids = self.codes.shared(), self.ids.shared()
        return replace(self, codes=codes, ids=ids, documents=documents, lazy=self.lazy.grown())

    def to(self, device: torch.device) -> Snapshot:
        """The state in the memory of a device, checked. "always" becomes "auto" where there are no tables."""
        copy = self.verifier is not None
        if self.verifier is not None:
            self.verifier.check_all()
        documents = None if self.documents is None else self.documents.to(device, copy=copy)
        codes, ids = self.codes.to(device, copy=copy), self.ids.to(device, copy=copy)
        kind = self.multi_index if possible(self.bits, device) or self.multi_index != "always" else "auto"
        moved = replace(self, device=device, codes=codes, ids=ids, documents=documents, verifier=None)
        return replace(moved, multi_index=kind, lazy=LazyTables())

    def _when(self) -> When:
        return self.multi_index or ("auto" if self.verifier is None else "never")

    def _check(self, name: str, positions: torch.Tensor | None = None) -> None:
        if self.verifier is not None:
            self.verifier.check(name, positions)

    def _read(self, table: torch.Tensor) -> torch.Tensor:
        """A table for the current stream: it may be dropped by another thread before that stream has read it."""
        if table.is_cuda:
            table.record_stream(torch.cuda.current_stream(table.device))
        return table


def most_candidates(k: int, oversample: int, count: int) -> int:
    """How many of `count` codes are rescored, at least k places."""
    return max(k, min(k * oversample, count))


def _positions(of_allowed: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
    """Places among allowed positions as positions; -1 stays -1."""
    if not len(of_allowed):
        return found
    return torch.where(found < 0, found, of_allowed[found.clamp(min=0)])
