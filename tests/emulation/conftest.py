"""The emulated kernels and the NumPy reference, both loaded by their files: neither torch nor the package is needed."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from emulated_ops import load, load_emulated, package_file
from numpy.typing import NDArray

Array = NDArray[Any]


@pytest.fixture(scope="session")
def emulated() -> ModuleType:
    """The module fasthash._emulated."""
    return load_emulated()


@pytest.fixture(scope="session")
def reference() -> ModuleType:
    """The NumPy twins of the ops."""
    file = package_file("ops/reference.py")
    assert file is not None
    return load("reference", file)


def _address(array: Array | None) -> int:
    return 0 if array is None else array.ctypes.data


def _filled(shape: tuple[int, ...] | int, dtype: Any) -> Array:
    """An output full of nonsense, as torch.empty may give it."""
    out = np.empty(shape, dtype)
    out.view(np.uint8)[...] = 0x5A
    return out


class Kernels:
    """The emulated kernels on NumPy arrays, called as the torch ops call the CUDA kernels."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def _call(self, name: str, *arguments: int) -> None:
        getattr(self.module, name)(*arguments, 0, -1)  # stream, device

    @staticmethod
    def _sides(queries: Array, database: Array) -> tuple[int, ...]:
        assert queries.flags.c_contiguous
        assert database.flags.c_contiguous
        return (_address(queries), *queries.shape, _address(database), *database.shape)

    @staticmethod
    def _labels(reference_labels: tuple[Array, Array]) -> tuple[list[Array], tuple[int, ...]]:
        queries, database = reference_labels
        if queries.ndim == 1:
            return [queries, database], (_address(queries), _address(database), 0, 0, 0)
        sets = [np.packbits(labels > 0, axis=-1) for labels in reference_labels]
        return sets, (0, 0, _address(sets[0]), _address(sets[1]), sets[0].shape[1])

    def pack(self, x: Array, limit: int) -> Array:
        rows, bits = x.shape
        out = _filled((rows, -(-bits // 8)), np.uint8)
        self._call("pack", _address(x), x.itemsize, limit, rows, bits, x.strides[0], _address(out))
        return out

    def unpack(self, codes: Array, bits: int) -> Array:
        out = _filled((len(codes), bits), np.float32)
        self._call("unpack", _address(codes), len(codes), bits, _address(out))
        return out

    def hamming_distance(self, a: Array, b: Array) -> Array:
        out = _filled((len(a), len(b)), np.int32)
        self._call("hamming_distance", *self._sides(a, b), _address(out))
        return out

    def label_overlap(self, a: Array, b: Array) -> Array:
        out = _filled((len(a), len(b)), np.int32)
        self._call("label_overlap", *self._sides(a, b), _address(out))
        return out

    def hamming_topk(
        self, queries: Array, database: Array, k: int, *, mask: Array | None = None, exclude: Array | None = None
    ) -> tuple[Array, Array]:
        distances, indices = _filled((len(queries), k), np.int32), _filled((len(queries), k), np.int64)
        workspace = _filled(self.module.topk_workspace(len(queries), len(database), queries.shape[1], k), np.uint8)
        outputs = (_address(distances), _address(indices), _address(workspace), workspace.size)
        self._call("hamming_topk", *self._sides(queries, database), k, _address(mask), _address(exclude), *outputs)
        return distances, indices

    def hamming_range(
        self, queries: Array, database: Array, radius: int, *, mask: Array | None = None, exclude: Array | None = None
    ) -> tuple[Array, Array, Array]:
        size = self.module.range_workspace(len(queries), len(database), queries.shape[1], radius)
        workspace = _filled(size, np.uint8)
        call = (*self._sides(queries, database), radius, _address(mask), _address(exclude))
        counts = _filled(len(queries), np.int64)
        self._call("hamming_range_count", *call, _address(counts), _address(workspace), size)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        distances, indices = _filled(int(offsets[-1]), np.int32), _filled(int(offsets[-1]), np.int64)
        outputs = (_address(offsets), _address(distances), _address(indices), _address(workspace), size)
        self._call("hamming_range_write", *call, *outputs)
        return offsets, distances, indices

    def hamming_range_padded(
        self,
        queries: Array,
        database: Array,
        radius: int,
        capacity: int,
        *,
        mask: Array | None = None,
        exclude: Array | None = None,
    ) -> tuple[Array, Array, Array]:
        shape = (len(queries), capacity)
        out = _filled(len(queries), np.int64), _filled(shape, np.int32), _filled(shape, np.int64)
        size = self.module.range_workspace(len(queries), len(database), queries.shape[1], radius)
        workspace = _filled(size, np.uint8)
        call = (*self._sides(queries, database), radius, capacity, _address(mask), _address(exclude))
        self._call("hamming_range_padded", *call, *map(_address, out), _address(workspace), size)
        return out

    def hamming_histogram(
        self, queries: Array, database: Array, *, mask: Array | None = None, exclude: Array | None = None
    ) -> Array:
        out = _filled((len(queries), 8 * queries.shape[1] + 1), np.int64)
        self._call(
            "hamming_histogram", *self._sides(queries, database), _address(mask), _address(exclude), _address(out)
        )
        return out

    def relevance_histogram(
        self,
        queries: Array,
        database: Array,
        query_labels: Array,
        database_labels: Array,
        *,
        mask: Array | None = None,
        exclude: Array | None = None,
    ) -> Array:
        out = _filled((len(queries), 8 * queries.shape[1] + 1, 2), np.int64)
        _kept, labels = self._labels((query_labels, database_labels))
        filters = (_address(mask), _address(exclude))
        self._call("relevance_histogram", *self._sides(queries, database), *labels, *filters, _address(out))
        return out

    def overlap_histogram(
        self,
        queries: Array,
        database: Array,
        query_labels: Array,
        database_labels: Array,
        *,
        mask: Array | None = None,
        exclude: Array | None = None,
    ) -> Array:
        classes = query_labels.shape[1] if query_labels.ndim == 2 else 1
        out = _filled((len(queries), 8 * queries.shape[1] + 1, classes + 1), np.int64)
        _kept, labels = self._labels((query_labels, database_labels))
        filters = (_address(mask), _address(exclude))
        self._call("overlap_histogram", *self._sides(queries, database), *labels, classes, *filters, _address(out))
        return out

    def average_precision_counts(
        self,
        queries: Array,
        database: Array,
        query_labels: Array,
        database_labels: Array,
        *,
        k: int | None = None,
        mask: Array | None = None,
        exclude: Array | None = None,
    ) -> tuple[Array, Array, Array]:
        sums, hits, relevant = (_filled(len(queries), dtype) for dtype in (np.float64, np.int64, np.int64))
        size = self.module.average_precision_workspace(len(queries), len(database), queries.shape[1])
        workspace = _filled(size, np.uint8)
        _kept, labels = self._labels((query_labels, database_labels))
        window = len(database) if k is None else k
        outputs = (_address(sums), _address(hits), _address(relevant), _address(workspace), size)
        filters = (_address(mask), _address(exclude))
        self._call("average_precision_counts", *self._sides(queries, database), *labels, *filters, window, *outputs)
        return sums, hits, relevant

    def rescore(
        self, queries: Array, documents: Array, candidates: Array, *, values: int, scale: Array | None = None
    ) -> Array:
        """`values` counts the forms of documents as fasthash::Values does; scale is one a document."""
        scores = _filled(candidates.shape, np.float32)
        table = (_address(documents), values, len(documents), documents.strides[0], _address(scale))
        rows = (_address(candidates), candidates.shape[1], _address(scores))
        self._call("rescore", _address(queries), *queries.shape, *table, *rows)
        return scores


@pytest.fixture(scope="session")
def unseeded(emulated: ModuleType) -> Kernels:
    """The emulated kernels, for tests that set the seed themselves."""
    return Kernels(emulated)


@pytest.fixture(params=[1, 2], ids="seed{}".format)
def kernels(request: pytest.FixtureRequest, unseeded: Kernels) -> Kernels:
    """The emulated kernels, run with two orders of threads and blocks."""
    unseeded.module.set_seed(request.param)
    return unseeded


@pytest.fixture
def random_codes() -> Callable[..., Array]:
    """random_codes(rows, bytes, distinct=None, seed=0): uint8 codes, few of them distinct when wished."""

    def draw(rows: int, width: int, distinct: int | None = None, seed: int = 0) -> Array:
        random = np.random.default_rng([seed, rows, width])
        if distinct is None:
            return random.integers(0, 256, (rows, width), dtype=np.uint8)
        pool = random.integers(0, 256, (distinct, width), dtype=np.uint8)
        return pool[random.integers(0, distinct, rows)]

    return draw
