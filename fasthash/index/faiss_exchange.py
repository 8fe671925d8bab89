"""Codes and ids of binary indexes of FAISS, in both directions."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

from fasthash import ops
from fasthash.index.ids import Ids
from fasthash.index.snapshot import Snapshot


class Content(NamedTuple):
    """What a FAISS index holds: width, codes (n, bytes) in our order of bits, ids (n,) or None for 0, 1, ..."""

    bits: int
    codes: NDArray[Any]
    ids: NDArray[Any] | None


def content(name: str, index: Any) -> Content:
    """The content of an `IndexBinaryFlat`, alone or under an `IndexBinaryIDMap` or `IndexBinaryIDMap2`.

    Raises:
        TypeError: another kind of index.
        ImportError: faiss is not installed.
    """
    faiss = _faiss(name)
    ids = None
    inner = faiss.downcast_IndexBinary(index) if isinstance(index, faiss.IndexBinary) else index
    if isinstance(inner, faiss.IndexBinaryIDMap):
        ids = faiss.vector_to_array(inner.id_map)
        inner = faiss.downcast_IndexBinary(inner.index)
    if not isinstance(inner, faiss.IndexBinaryFlat):
        raise TypeError(
            f"{name}: index: expected a faiss.IndexBinaryFlat, alone or in a faiss.IndexBinaryIDMap, "
            f"got {type(inner).__name__}"
        )
    codes = faiss.vector_to_array(inner.xb).reshape(inner.ntotal, inner.code_size)
    return Content(int(inner.d), ops.from_faiss(codes), ids)


def exported(name: str, state: Snapshot) -> Any:
    """An `IndexBinaryFlat` with the codes; under an `IndexBinaryIDMap2` where ids are not 0, 1, ...

    Raises:
        ImportError: faiss is not installed.
    """
    faiss = _faiss(name)
    codes = ops.to_faiss(state.read_codes().cpu().numpy())
    flat = faiss.IndexBinaryFlat(8 * codes.shape[1])
    if state.ids == Ids.sequence(0, len(state)):
        flat.add(codes)
        return flat
    mapped = faiss.IndexBinaryIDMap2(flat)
    flat.this.disown()  # the outer one deletes it
    mapped.own_fields = True
    mapped.add_with_ids(codes, state.read_ids().cpu().numpy())
    return mapped


def _faiss(name: str) -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ImportError(f"{name}: expected faiss to be installed (pip install faiss-cpu): {error}") from error
    return faiss
