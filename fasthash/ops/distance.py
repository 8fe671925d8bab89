"""Full matrices of bit counts, for callers who ask for one by name; search and counts never make one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from fasthash.ops import _check
from fasthash.ops._arrays import Array, tensors
from fasthash.ops._library import call, register, table


def _matrix_op(name: str) -> Callable[..., Any]:
    """Both ops differ in one instruction of the kernel only."""

    def fake(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        _check.code_pair(name, "a", a, "b", b)
        return a.new_empty((a.shape[0], b.shape[0]), dtype=torch.int32)

    def kernel(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        out = fake(a, b)
        if out.numel():
            a, b = a.contiguous(), b.contiguous()
            call(name, out, table(a), table(b), out)
        return out

    return register(f"{name}(Tensor a, Tensor b) -> Tensor", kernel=kernel, fake=fake)


_hamming_distance = _matrix_op("hamming_distance")
_label_overlap = _matrix_op("label_overlap")


def hamming_distance(a: Array, b: Array) -> Array:
    """Hamming distances of all pairs, in bits.

    Args:
        a: uint8 (n, bytes), packed codes.
        b: uint8 (m, bytes), packed codes of the same width.

    Returns:
        int32 (n, m): popcount(a ^ b).

    Raises:
        TypeError: not uint8.
        ValueError: rank, width or device do not fit.

    >>> import numpy as np, fasthash
    >>> a = fasthash.pack(np.array([[1, 1, -1], [1, -1, -1]]))
    >>> fasthash.hamming_distance(a, a)
    array([[0, 1],
           [1, 0]], dtype=int32)
    """
    (a, b), back = tensors("hamming_distance", a=a, b=b)
    return back(_hamming_distance(a, b))


def label_overlap(a: Array, b: Array) -> Array:
    """Shared labels of all pairs of label sets.

    Args:
        a: uint8 (n, bytes), label sets packed by `pack(multi_hot)`.
        b: uint8 (m, bytes), likewise.

    Returns:
        int32 (n, m): popcount(a & b).

    Raises:
        TypeError: not uint8.
        ValueError: rank, width or device do not fit.

    >>> import numpy as np, fasthash
    >>> sets = fasthash.pack(np.array([[1, 1, 0], [0, 1, 1], [0, 0, 0]]))
    >>> fasthash.label_overlap(sets, sets)
    array([[2, 1, 0],
           [1, 2, 0],
           [0, 0, 0]], dtype=int32)
    """
    (a, b), back = tensors("label_overlap", a=a, b=b)
    return back(_label_overlap(a, b))
