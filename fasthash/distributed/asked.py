"""A search of a sharded index, as one rank was asked for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from fasthash.distributed.group import PREPARE, Ranks, attempt
from fasthash.distributed.question import Filter, agree, checksum, share
from fasthash.index import HammingIndex, inputs
from fasthash.index.snapshot import Allowed, Snapshot
from fasthash.ops import _check
from fasthash.ops.scores import scale_array


class Asked:
    """A search as this rank was asked for it: checked, with the queries of the source. Nothing is raised before all
    ranks can know of it.

    Attributes:
        ranks: all of them.
        state: of the local index, to the end of the search.
        queries: of all ranks; None where something is wrong.
        allowed: which local codes may be returned.
        scale: factors of documents, or None.
        error: what is wrong so far, on this rank.
    """

    def __init__(
        self,
        name: str,
        group: dist.ProcessGroup | None,
        local: HammingIndex,
        queries: Any,
        filter: Any,
        source: int | None,
        numbers: dict[str, tuple[int, int]],
        scale: Any = None,
        *,
        floats: bool = False,
    ) -> None:
        self.ranks, self.state = Ranks(name, group), _settled(local._snapshot)
        state, device = self.state, self.state.device
        self.allowed, self._filter = Allowed(), Filter()
        self.scale: torch.Tensor | None = None
        self._numbers: dict[str, int] = {}
        self._back: Callable[[Any], Any] = _same

        def given() -> torch.Tensor | None:
            self._numbers = {key: _check.whole(name, key, value, least) for key, (value, least) in numbers.items()}
            like = np.zeros((0, 1), np.uint8) if queries is None and device.type == "cpu" else queries
            listed, factors = inputs.listed(name, "filter", filter, like), scale_array(like, scale)
            arrays, self._back = inputs.placed(name, device, queries=like, filter=listed, scale=factors)
            self.scale = arrays[2]
            self.allowed, self._filter = _allowed(name, arrays[1], state)
            return None if queries is None else arrays[0]

        def check(x: torch.Tensor) -> None:
            if floats:
                inputs.float_rows(name, x, self.scale, state)
            else:
                inputs.code_rows(name, "queries", x, state.bits)

        rows, error = attempt(given, None)
        self.queries: Any = None
        self.queries, self.error = share(self.ranks, rows, source, device, check, error)
        if source is not None and self.error is None:
            self.error = attempt(lambda: check(self.queries), None)[1]

    def sizes(self) -> list[int]:
        """How many codes each rank has, if all have documents of one kind and the same factors for them.

        Raises:
            ValueError, RuntimeError: they have not, or a rank has failed; on all.
        """
        rows, scale = self.state.documents, self.scale
        dtype = 0 if rows is None else 1 + list(inputs.DOCUMENTS.values()).index(rows.table.dtype)
        factors = [0, 0]
        if scale is not None and self.error is None:
            factors = [scale.numel(), checksum(scale.detach().to(torch.float32).reshape(-1))]
        said = self.ranks.agree(PREPARE, self.error, [len(self.state), dtype, *factors])
        wanted = (("local", "dtype of documents"), ("scale", "number of factors"), ("scale", "checksum of the factors"))
        for column, (argument, what) in enumerate(wanted, 1):
            if len(set(said[:, column].tolist())) > 1:
                got = said[:, column].tolist()
                raise ValueError(f"{self.ranks.function}: {argument}: expected the same {what} on all ranks, got {got}")
        return [int(count) for count in said[:, 0]]

    def answer(
        self, step: str, search: Callable[[Any], Any], count: Callable[[Any], int] = lambda found: 0
    ) -> tuple[Any, list[int], list[int]]:
        """What this rank found, the order of the ranks, and what each counted."""
        found, error = None, self.error
        if error is None:
            found, error = attempt(lambda: search(self.queries), None)
        counted = 0 if found is None else count(found)
        extent = (self.ranks.rank, 1)
        return found, *agree(self.ranks, step, error, self.queries, self._numbers, self._filter, extent, counted)

    def given_back(self, result: tuple[torch.Tensor, ...]) -> Any:
        """A result as the caller gave the queries."""
        return self._back(tuple(x.to(self.state.device) for x in result))


def _settled(state: Snapshot) -> Snapshot:
    """The state with the tables that it has for all its codes, if any: the others would wait while it makes some."""
    lazy = state.lazy.grown()  # which keeps them, whatever other threads do
    whole = lazy.tables is not None and lazy.tables.rows == len(state)
    return replace(state, lazy=lazy, multi_index="always" if whole else "never")


def _same(result: Any) -> Any:
    return result


def _allowed(name: str, given: torch.Tensor | None, state: Snapshot) -> tuple[Allowed, Filter]:
    """A filter: a mask of the local codes, or ids of which some are elsewhere."""
    if given is None or given.dtype == torch.bool:
        return inputs.allowed(name, given, state), Filter(mask=given)
    ids = inputs.id_values(name, given, name="filter")
    positions = state.find(ids)
    known = positions >= 0
    return Allowed.at(positions[known], len(state)), Filter(ids=ids, known=known)
