"""What can be asked of an index: its codes and ids, and searches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fasthash.index import inputs
from fasthash.index.ids import LARGEST
from fasthash.index.snapshot import Snapshot
from fasthash.ops import _check
from fasthash.ops._arrays import Array
from fasthash.ops.scores import scale_array


class Block(NamedTuple):
    """Some codes of an index in NumPy arrays: ids (m,), codes (m, bytes), documents (m, bits) or None."""

    ids: NDArray[np.int64]
    codes: NDArray[np.uint8]
    documents: NDArray[Any] | None


class IndexReader:
    """Reads the state of a `HammingIndex`: each method takes the newest once, and sees that one to its end."""

    _snapshot: Snapshot

    def __len__(self) -> int:
        return len(self._snapshot)

    def __contains__(self, id: int) -> bool:
        state = self._snapshot
        return 0 <= id <= LARGEST and bool(state.find(torch.tensor([id], device=state.device)) >= 0)

    def __repr__(self) -> str:
        state = self._snapshot
        parts = [f"{state.bits} bits", f"{len(state):,} codes", str(state.device)]
        if self.documents is not None:
            parts.append(f"{self.documents} documents")
        if state.verifier is not None:
            parts.append(f"mapped from {state.verifier.path}")
        return f"HammingIndex({', '.join(parts)})"

    @property
    def bits(self) -> int:
        """Width of a code."""
        return self._snapshot.bits

    @property
    def device(self) -> torch.device:
        """Where the codes are."""
        return self._snapshot.device

    @property
    def documents(self) -> inputs.Documents | None:
        """What is stored for `search_rescored`."""
        rows = self._snapshot.documents
        return None if rows is None else inputs.documents_name(rows.table.dtype)

    @property
    def multi_index_bytes(self) -> int:
        """Memory of the tables for multi-index hashing; 0 as long as there are none."""
        tables = self._snapshot.lazy.tables
        return 0 if tables is None else tables.bytes

    @property
    def next_id(self) -> int:
        """The id that the next code added without one gets: larger than any id that was ever in the index."""
        return self._snapshot.next_id

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ids (n,) in the order of insertion, read-only."""
        return _read_only(self._snapshot.read_ids())

    @property
    def codes(self) -> NDArray[np.uint8]:
        """The packed codes (n, bytes) in the order of insertion, read-only; on CPU without a copy."""
        return _read_only(self._snapshot.read_codes())

    def blocks(self, rows: int = 1 << 16, *, start: int = 0, stop: int | None = None) -> Iterator[Block]:
        """Ids, codes and documents in the order of insertion, some rows at a time, as the index was when it began.

        Args:
            rows: of a block, at least 1.
            start: the first position.
            stop: the position behind the last one; None = all.

        Raises:
            TypeError: an argument is no whole number.
            ValueError: one is out of range.

        >>> import numpy as np, fasthash
        >>> index = fasthash.HammingIndex(8)
        >>> index.add(np.array([[1], [2], [3]], dtype=np.uint8), ids=[10, 20, 30])
        >>> for ids, codes, documents in index.blocks(2):
        ...     print(ids, codes.ravel(), documents)
        [10 20] [1 2] None
        [30] [3] None
        """
        name, state = "HammingIndex.blocks", self._snapshot
        rows, start = _check.whole(name, "rows", rows, 1), _check.whole(name, "start", start, 0)
        stop = len(state) if stop is None else min(_check.whole(name, "stop", stop, 0), len(state))
        return _blocks(state, rows, start, stop)

    def search(self, queries: Array, k: int, *, filter: Array | Sequence[int] | None = None) -> tuple[Array, Array]:
        """The k nearest codes of each query, by distance, then earlier insertion: exact.

        Args:
            queries: uint8 (q, bytes), packed codes.
            k: how many, at least 1; may exceed the number of codes.
            filter: what may be returned: bool (n,) in the order of `.ids`, or ids. Where other threads add meanwhile,
                use ids: a mask has to have the length that the index then has.

        Returns:
            distances int32 (q, k), in bits, and ids int64 (q, k). Places without a code hold the largest int32 and -1.

        Raises:
            TypeError: wrong kind or dtype.
            ValueError: width, shape, device or range do not fit, or the filter names an id that is not in the index.

        >>> import numpy as np, fasthash
        >>> index = fasthash.HammingIndex(8)
        >>> index.add(np.array([[0b1111], [0b0111], [0b0001]], dtype=np.uint8), ids=[10, 20, 30])
        >>> query = np.array([[0b1111]], dtype=np.uint8)
        >>> index.search(query, 2)
        (array([[0, 1]], dtype=int32), array([[10, 20]]))
        >>> index.search(query, 2, filter=[30, 20])
        (array([[1, 3]], dtype=int32), array([[20, 30]]))
        >>> index.search(query, 2, filter=index.ids > 10)
        (array([[1, 3]], dtype=int32), array([[20, 30]]))
        """
        name, state = "HammingIndex.search", self._snapshot
        k = _check.whole(name, "k", k, 1)
        given = inputs.listed(name, "filter", filter, queries)
        (packed, given), back = inputs.placed(name, state.device, queries=queries, filter=given)
        inputs.code_rows(name, "queries", packed, state.bits)
        distances, positions = state.topk(packed, k, inputs.allowed(name, given, state))
        return back((distances, state.named(positions)))

    def range_search(
        self, queries: Array, radius: int, *, filter: Array | Sequence[int] | None = None
    ) -> tuple[Array, Array, Array]:
        """All codes within a radius of each query (distance <= radius), by distance, then earlier insertion.

        Args:
            queries: uint8 (q, bytes), packed codes.
            radius: in bits, at least 0, inclusive (FAISS leaves codes at the radius out).
            filter: as in `search`.

        Returns:
            offsets int64 (q + 1,), distances int32 (offsets[-1],), ids int64 (offsets[-1],): query i found the entries
            offsets[i] to offsets[i + 1].

        Raises:
            TypeError, ValueError: as `search`.

        >>> import numpy as np, fasthash
        >>> index = fasthash.HammingIndex(8)
        >>> index.add(np.array([[0b1111], [0b0111], [0b0001]], dtype=np.uint8), ids=[10, 20, 30])
        >>> index.range_search(np.array([[0b1111], [0b0000]], dtype=np.uint8), radius=1)
        (array([0, 2, 3]), array([0, 1, 1], dtype=int32), array([10, 20, 30]))
        """
        name, state = "HammingIndex.range_search", self._snapshot
        radius = _check.whole(name, "radius", radius, 0)
        given = inputs.listed(name, "filter", filter, queries)
        (packed, given), back = inputs.placed(name, state.device, queries=queries, filter=given)
        inputs.code_rows(name, "queries", packed, state.bits)
        offsets, distances, positions = state.within(packed, radius, inputs.allowed(name, given, state))
        return back((offsets, distances, state.named(positions)))

    def search_rescored(
        self,
        queries: Array,
        k: int,
        *,
        oversample: int = 4,
        filter: Array | Sequence[int] | None = None,
        scale: Array | float | None = None,
    ) -> tuple[Array, Array]:
        """The k of highest score among the k * oversample nearest codes: a Hamming search and its second stage.

        The signs of the queries search; their values are multiplied with the stored documents, or with the codes as -1
        and +1 where none are stored. Scores and their arithmetic are those of `rescore`. Takes the float queries of
        sentence-transformers, and codes from its "ubinary" or "binary" through `from_sentence_transformers`.

        Args:
            queries: (q, bits) floats, not packed.
            k: how many, at least 1; may exceed the number of codes.
            oversample: codes that are scored for each one returned, at least 1.
            filter: as in `search`.
            scale: what makes values of stored int8 documents: a number, or (bits,) for one factor a dimension.

        Returns:
            scores float32 (q, k) and ids int64 (q, k), by higher score, then earlier insertion. Places without a code
            hold minus infinity and -1.

        Raises:
            TypeError, ValueError: as `search`; packed queries among them.

        >>> import numpy as np, fasthash
        >>> x = np.array([[0.9, 0.2, -0.1], [0.1, 0.8, -0.7], [-0.5, 0.5, 0.5]], dtype=np.float32)
        >>> index = fasthash.HammingIndex(3, documents="float32")
        >>> index.add(fasthash.pack(x), documents=x)
        >>> scores, ids = index.search_rescored(x[1:2], k=2)
        >>> scores.round(2), ids
        (array([[1.14, 0.32]], dtype=float32), array([[1, 0]]))
        """
        name, state = "HammingIndex.search_rescored", self._snapshot
        k, oversample = _check.whole(name, "k", k, 1), _check.whole(name, "oversample", oversample, 1)
        given, factors = inputs.listed(name, "filter", filter, queries), scale_array(queries, scale)
        (floats, given, factors), back = inputs.placed(name, state.device, queries=queries, filter=given, scale=factors)
        inputs.float_rows(name, floats, factors, state)
        found = inputs.allowed(name, given, state)
        scores, positions = state.topk_rescored(floats, k, oversample, found, factors)
        return back((scores, state.named(positions)))

    def reconstruct(self, ids: Array | Sequence[int]) -> Array:
        """The codes under some ids, uint8 (m, bytes), in the order asked for; NumPy for a list.

        Raises:
            TypeError: wrong kind or dtype.
            ValueError: an id is not in the index, shape or device do not fit.

        >>> import numpy as np, fasthash
        >>> index = fasthash.HammingIndex(8)
        >>> index.add(np.array([[1], [2], [3]], dtype=np.uint8), ids=[10, 20, 30])
        >>> index.reconstruct([30, 10])
        array([[3],
               [1]], dtype=uint8)
        """
        name, state = "HammingIndex.reconstruct", self._snapshot
        (given,), back = inputs.placed(name, state.device, ids=inputs.listed(name, "ids", ids, None))
        positions = inputs.known_positions(name, "ids", inputs.id_values(name, given), state)
        return back(state.read_codes()[positions])

    def reconstruct_documents(self, ids: Array | Sequence[int]) -> Array:
        """The stored documents under some ids, (m, bits), in the order asked for; NumPy for a list.

        Raises:
            TypeError: wrong kind or dtype.
            ValueError: an id is not in the index, shape or device do not fit, or no documents are stored.

        >>> import numpy as np, fasthash
        >>> index = fasthash.HammingIndex(2, documents="int8")
        >>> x = np.array([[5, -3], [-1, 2]], dtype=np.int8)
        >>> index.add(np.packbits(x > 0, axis=-1), documents=x)
        >>> index.reconstruct_documents([1])
        array([[-1,  2]], dtype=int8)
        """
        name, state = "HammingIndex.reconstruct_documents", self._snapshot
        if state.documents is None:
            raise ValueError(f"{name}: expected an index made with documents=, this one stores none")
        (given,), back = inputs.placed(name, state.device, ids=inputs.listed(name, "ids", ids, None))
        positions = inputs.known_positions(name, "ids", inputs.id_values(name, given), state)
        return back(state.read_documents(positions)[positions])


def _read_only(table: torch.Tensor) -> NDArray[Any]:
    array: NDArray[Any] = table.cpu().numpy().view()
    array.flags.writeable = False
    return array


def _blocks(state: Snapshot, rows: int, start: int, stop: int) -> Iterator[Block]:
    for first in range(start, stop, rows):
        at = torch.arange(first, min(first + rows, stop), device=state.device)
        part = slice(first, first + len(at))
        documents = None if state.documents is None else _read_only(state.read_documents(at)[part])
        yield Block(_read_only(state.named(at)), _read_only(state.read_codes(at)[part]), documents)
