"""The index: codes under ids, added, removed and searched exactly."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from fasthash.index import faiss_exchange, file, inputs
from fasthash.index.ids import LARGEST, Ids
from fasthash.index.inputs import Documents
from fasthash.index.lazy_tables import When
from fasthash.index.reader import IndexReader
from fasthash.index.rows import Rows
from fasthash.index.snapshot import Snapshot
from fasthash.ops import _check
from fasthash.ops._arrays import Array


class HammingIndex(IndexReader):
    """Packed codes under ids, searched exactly, on CPU or CUDA.

    Results are those of `hamming_topk` over the codes in the order in which they were added, with ids in place of
    indices: by distance, then by earlier insertion, whatever the ids are. Removing keeps the order.

    Any number of threads may search while others add and remove. A search sees the index as it was when it began;
    adding or removing takes effect at once and as a whole, and one that raises has changed nothing.

    Codes are kept as the packed rows they came as, which is what the kernels scan: a search converts nothing. An id
    takes 8 bytes more, unless ids are consecutive numbers, as running numbers are: those are not stored. The room for
    growth is at most as large as what is held, and on a CPU it takes no memory until it is used.

    Args:
        bits: width of the codes, 1 to 65,528.
        device: "cpu", "cuda", "cuda:1", ...
        documents: also store a vector of `bits` values for each code, as "int8", "float16" or "float32", for
            `search_rescored`; without them it scores the codes themselves.
        multi_index: when to make tables that let a search do with less than a scan, on a CPU, for codes of up to 64
            bits: "auto", when they are estimated to pay for themselves; "always", in the first search; or "never".
            They take up to 64 bytes a code, with "auto" at most a quarter of the memory that is available then, and are
            dropped when codes are removed. Results are the same. docs/index.md says when they help.

    Raises:
        TypeError: bits is no whole number, device no device.
        ValueError: bits, documents or multi_index out of range, or a device that holds no index; "always" where there
            are no tables.

    NumPy arrays or torch tensors go in, and the kind of the queries comes out. Tensors have to be on the device of the
    index; NumPy arrays are taken to it, and results brought back.

    >>> import numpy as np, fasthash
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((1000, 64), dtype=np.float32)
    >>> index = fasthash.HammingIndex(64)
    >>> index.add(fasthash.pack(x))
    >>> distances, ids = index.search(fasthash.pack(x[:2]), k=3)
    >>> distances
    array([[ 0, 19, 20],
           [ 0, 21, 21]], dtype=int32)
    >>> ids[:, 0]
    array([0, 1])
    >>> index.remove([0])
    >>> index
    HammingIndex(64 bits, 999 codes, cpu)
    """

    def __init__(
        self,
        bits: int,
        *,
        device: str | torch.device = "cpu",
        documents: Documents | None = None,
        multi_index: When = "auto",
    ) -> None:
        name = "HammingIndex"
        bits = _check.whole(name, "bits", bits, 1)
        if bits > 8 * _check.MOST_BYTES:
            raise ValueError(f"{name}: bits: expected at most {8 * _check.MOST_BYTES}, got {bits}")
        if documents is not None and documents not in inputs.DOCUMENTS:
            raise ValueError(f"{name}: documents: expected None, {', '.join(inputs.DOCUMENTS)}, got {documents!r}")
        place = inputs.device_of(name, device)
        inputs.when(name, multi_index, bits, place)
        rows = None if documents is None else Rows.empty(bits, inputs.DOCUMENTS[documents], place)
        codes = Rows.empty((bits + 7) // 8, torch.uint8, place)
        self._snapshot = Snapshot(bits, place, codes, Ids.sequence(0, 0), rows, next_id=0, multi_index=multi_index)
        self._writing = threading.Lock()

    @classmethod
    def _of(cls, snapshot: Snapshot) -> HammingIndex:
        index = cls.__new__(cls)
        index._snapshot = snapshot
        index._writing = threading.Lock()
        return index

    def add(self, codes: Array, ids: Array | Sequence[int] | None = None, *, documents: Array | None = None) -> None:
        """Add codes behind those that are there.

        Args:
            codes: uint8 (m, bytes), packed codes.
            ids: (m,) whole numbers from 0 up that are not in the index; by default the running numbers from `next_id`
                on, which are larger than all ids ever used, so that an id is never given twice.
            documents: (m, bits), for an index that stores them: int8 for "int8", floats of any width for the others.

        Raises:
            TypeError: wrong kind or dtype.
            ValueError: width, shape or device do not fit, spare bits of a code are set, an id stands twice or is there
                already, a value is too large for float16; or the index is mapped from a file, thus read-only.

        >>> import numpy as np, fasthash
        >>> index = fasthash.HammingIndex(8)
        >>> index.add(np.array([[0], [255]], dtype=np.uint8), ids=[7, 3])
        >>> index.add(np.array([[1]], dtype=np.uint8))
        >>> index.ids, index.next_id
        (array([7, 3, 8]), 9)
        """
        name, state = "HammingIndex.add", self._snapshot
        ids = inputs.listed(name, "ids", ids, codes)
        (rows, id_rows, document_rows), _ = inputs.placed(name, state.device, codes=codes, ids=ids, documents=documents)
        inputs.code_rows(name, "codes", rows, state.bits, may_wait=True)
        if id_rows is not None:
            id_rows = inputs.id_values(name, id_rows, len(rows)).clone()
        dtype = None if state.documents is None else state.documents.table.dtype
        document_rows = inputs.documents(name, document_rows, dtype, len(rows), state.bits)
        with self._writing:
            self._append(name, rows, id_rows, document_rows)

    def _append(self, name: str, codes: torch.Tensor, ids: torch.Tensor | None, documents: torch.Tensor | None) -> None:
        """Add checked rows; the caller holds the lock."""
        state, count = self._writable(name), len(codes)
        if count == 0:
            return
        next_id = state.next_id + count if ids is None else max(state.next_id, int(ids.max()) + 1)
        if next_id > LARGEST + 1:
            raise ValueError(f"{name}: ids: expected running numbers up to {LARGEST}, but {state.next_id} comes next")
        try:
            if ids is None:
                new_ids = state.ids.continued(state.next_id, count, state.device)
            else:
                new_ids = state.ids.appended(ids)
        except ValueError as error:
            raise ValueError(f"{name}: ids: expected ids that are all new, but {error}") from None
        rows = None if state.documents is None or documents is None else state.documents.appended(documents)
        all_codes, lazy = state.codes.appended(codes), state.lazy.grown()
        self._publish(replace(state, codes=all_codes, ids=new_ids, documents=rows, next_id=next_id, lazy=lazy))

    def remove(self, ids: Array | Sequence[int]) -> None:
        """Remove codes. The others keep their order; what is left is copied once, so remove many at a time.

        Args:
            ids: (m,) of the index; an id may stand twice.

        Raises:
            TypeError: wrong kind or dtype.
            ValueError: an id is not in the index, shape or device do not fit; or the index is mapped from a file.

        >>> import numpy as np, fasthash
        >>> index = fasthash.HammingIndex(8)
        >>> index.add(np.array([[1], [2], [3]], dtype=np.uint8))
        >>> index.remove([0, 2])
        >>> index.ids, index.next_id
        (array([1]), 3)
        """
        name = "HammingIndex.remove"
        (given,), _ = inputs.placed(name, self.device, ids=inputs.listed(name, "ids", ids, None))
        given = inputs.id_values(name, given)
        with self._writing:
            state = self._writable(name)
            positions = inputs.known_positions(name, "ids", given, state)
            if len(positions):
                keep = torch.ones(len(state), dtype=torch.bool, device=state.device)
                keep[positions] = False
                self._publish(state.kept(keep))

    def merge_from(self, other: HammingIndex, *, offset: int = 0) -> None:
        """Add the codes of another index, in its order, under their ids. The other stays as it is.

        Args:
            other: of the same width, device and kind of documents.
            offset: is added to the ids, for an index that was numbered by itself.

        Raises:
            TypeError: no index, or the offset is no whole number.
            ValueError: the indexes differ in kind, an id is there already or out of range; or this index is mapped.

        >>> import numpy as np, fasthash
        >>> a, b = fasthash.HammingIndex(8), fasthash.HammingIndex(8)
        >>> a.add(np.array([[1], [2]], dtype=np.uint8))
        >>> b.add(np.array([[3]], dtype=np.uint8))
        >>> a.merge_from(b, offset=len(a))
        >>> a.ids
        array([0, 1, 2])
        """
        name = "HammingIndex.merge_from"
        if not isinstance(other, HammingIndex):
            raise TypeError(f"{name}: other: expected a HammingIndex, got {type(other).__name__}")
        offset = _check.whole(name, "offset", offset, 0)
        for what in ("bits", "device", "documents"):
            own, others = getattr(self, what), getattr(other, what)
            if own != others:
                raise ValueError(f"{name}: other: expected {what} {own} as this index has, got {others}")
        added = other._snapshot
        ids = added.read_ids()
        if len(ids) and int(ids.max()) > LARGEST - offset:
            raise ValueError(f"{name}: offset: expected ids up to {LARGEST}, got {int(ids.max())} + {offset}")
        documents = None if added.documents is None else added.read_documents()
        with self._writing:
            self._append(name, added.read_codes(), ids + offset, documents)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to a file, in the state it now has; other threads may go on changing it.

        The file is written beside its place, flushed to the disk, and takes its place in one step: a crash, a kill or a
        full disk leaves the file that was there. docs/index.md has the format (safetensors).

        Raises:
            OSError: the file cannot be written.

        >>> import numpy as np, fasthash, tempfile, os
        >>> index = fasthash.HammingIndex(8)
        >>> index.add(np.array([[1], [3]], dtype=np.uint8))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     index.save(os.path.join(folder, "a.fasthash"))
        ...     mapped = fasthash.HammingIndex.load(os.path.join(folder, "a.fasthash"), mmap=True)
        >>> mapped.search(np.array([[3]], dtype=np.uint8), 1)
        (array([[0]], dtype=int32), array([[1]]))
        """
        file.save(path, self._snapshot)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        mmap: bool = False,
        verify: bool | None = None,
        device: str | torch.device = "cpu",
        multi_index: When | None = None,
    ) -> HammingIndex:
        """Read an index from a file that `save` wrote.

        Args:
            path: of the file.
            mmap: leave the tables in the file: it opens at once, whatever its size, and all processes that map it share
                memory. Such an index is read-only; its `.copy()` is not.
            verify: whether to look at the checksums that the file has for each MiB. By default each is looked at when
                its MiB is read: now, or for a mapped index when a search first needs it. True = all now, False = never.
                The header is always checked.
            device: to read the index to.
            multi_index: as for a new index; by default "auto", or "never" for a mapped one, whose tables would not lie
                in the file.

        Raises:
            OSError: there is no such file, or it cannot be read.
            ValueError: it is no index file, one of another version, cut, extended or altered; or a mapped index is
                asked for on CUDA.
        """
        name = "HammingIndex.load"
        place = inputs.device_of(name, device)
        if mmap and place.type != "cpu":
            raise ValueError(f"{name}: device: expected cpu for a mapped index, got {place}")
        state = file.load(path, place, mapped=mmap, verify=verify)
        if multi_index is not None:
            inputs.when(name, multi_index, state.bits, place)
        return cls._of(replace(state, multi_index=multi_index))

    @classmethod
    def from_faiss(cls, index: Any, *, bits: int | None = None) -> HammingIndex:
        """An index with the codes and ids of a binary index of FAISS.

        Args:
            index: a `faiss.IndexBinaryFlat`, alone or in a `faiss.IndexBinaryIDMap`; `faiss.read_index_binary` makes
                one from a file.
            bits: width of the codes; default that of the FAISS index, a multiple of 8.

        Raises:
            TypeError: another kind of index.
            ValueError: bits do not fit, or spare bits are set; ids that stand twice or are negative.
            ImportError: faiss is not installed.

        >>> import faiss, numpy as np, fasthash
        >>> theirs = faiss.IndexBinaryFlat(8)
        >>> theirs.add(np.array([[0b00000001], [0b11110000]], dtype=np.uint8))
        >>> fasthash.HammingIndex.from_faiss(theirs).codes
        array([[128],
               [ 15]], dtype=uint8)
        """
        found = faiss_exchange.content("HammingIndex.from_faiss", index)
        made = cls(found.bits if bits is None else bits)
        made.add(found.codes, found.ids)
        return made

    def to_faiss(self) -> Any:
        """A `faiss.IndexBinaryFlat` with the codes, in a `faiss.IndexBinaryIDMap2` where ids are not 0, 1, 2, ...

        Its width is a multiple of 8; distances are the same. Documents are left out. `faiss.write_index_binary` makes a
        file of it.

        Raises:
            ImportError: faiss is not installed.

        >>> import numpy as np, fasthash
        >>> index = fasthash.HammingIndex(8)
        >>> index.add(np.array([[128], [15]], dtype=np.uint8), ids=[4, 7])
        >>> theirs = index.to_faiss()
        >>> theirs.search(np.array([[1]], dtype=np.uint8), 2)
        (array([[0, 5]], dtype=int32), array([[4, 7]]))
        """
        return faiss_exchange.exported("HammingIndex.to_faiss", self._snapshot)

    def copy(self) -> HammingIndex:
        """An index of its own with the same codes.

        In memory the two share what they have until one of them changes; a copy of a mapped index lies in memory and
        can be added to, and makes tables as `load` was told to, "auto" by default.

        >>> import numpy as np, fasthash
        >>> index = fasthash.HammingIndex(8)
        >>> index.add(np.array([[1]], dtype=np.uint8))
        >>> other = index.copy()
        >>> other.add(np.array([[2]], dtype=np.uint8))
        >>> len(index), len(other)
        (1, 2)
        """
        state = self._snapshot
        if state.verifier is None:
            return self._of(state.shared())
        return self._of(state.to(state.device))

    def to(self, device: str | torch.device) -> HammingIndex:
        """The index on a device: itself where it is there, otherwise another one with the same codes.

        CUDA has no tables for multi-index hashing: "always" becomes "auto" there.

        Raises:
            TypeError: no device.
            ValueError: a device that holds no index.
        """
        place = inputs.device_of("HammingIndex.to", device)
        return self if place == self.device else self._of(self._snapshot.to(place))

    def _writable(self, name: str) -> Snapshot:
        state = self._snapshot
        if state.verifier is not None:
            raise ValueError(
                f"{name}: expected an index in memory, this one is mapped from {state.verifier.path} and read-only; "
                "change its .copy()"
            )
        return state

    def _publish(self, state: Snapshot) -> None:
        if state.device.type == "cuda":
            torch.cuda.current_stream(state.device).synchronize()  # other threads search on streams of their own
        self._snapshot = state
