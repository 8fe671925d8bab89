"""Signs to packed codes and back."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from fasthash.ops import _check
from fasthash.ops._arrays import Array, tensors
from fasthash.ops._library import call, refuse_gradient, register

# (bytes, limit): read as an unsigned integer of that many bytes, x > 0 exactly when value - 1 < limit, wrapping around
# at 0. The limit cuts off negative values and NaNs.
_ELEMENTS = {
    torch.bool: (1, 0xFF),
    torch.int8: (1, 0x7F),
    torch.int16: (2, 0x7FFF),
    torch.int32: (4, 0x7FFFFFFF),
    torch.int64: (8, 0x7FFFFFFFFFFFFFFF),
    torch.float16: (2, 0x7C00),
    torch.bfloat16: (2, 0x7F80),
    torch.float32: (4, 0x7F800000),
    torch.float64: (8, 0x7FF0000000000000),
}


def _packed(x: torch.Tensor) -> torch.Tensor:
    if x.dtype == torch.uint8:
        raise TypeError("pack: x: expected floats, signed integers or bool, got torch.uint8 (always packed codes)")
    if x.dtype not in _ELEMENTS:
        raise TypeError(f"pack: x: expected floats, signed integers or bool, got {x.dtype}")
    if x.dim() == 0 or x.shape[-1] == 0:
        raise ValueError(f"pack: x: expected shape (..., bits) with at least 1 bit, got {_check.shape(x)}")
    return x.new_empty((*x.shape[:-1], (x.shape[-1] + 7) // 8), dtype=torch.uint8)


def _rows(x: torch.Tensor) -> torch.Tensor:
    """The elements as (rows, bits), rows anywhere, bits side by side; a copy only where that cannot be a view."""
    rows = x.reshape(-1, x.shape[-1])
    return rows if rows.stride(1) == 1 or rows.shape[1] == 1 else rows.contiguous()


def _pack_kernel(x: torch.Tensor) -> torch.Tensor:
    out, rows = _packed(x), _rows(x)
    if out.numel():
        row_stride = rows.stride(0) * x.element_size()
        call("pack", x, rows, _ELEMENTS[x.dtype], rows.shape[0], rows.shape[1], row_stride, out)
    return out


_pack = register("pack(Tensor x) -> Tensor", kernel=_pack_kernel, fake=_packed)
refuse_gradient("pack", _pack, "x")


def pack(x: Array) -> Array:
    """Packs signs into codes: bit = x > 0, most significant bit first, as `numpy.packbits(x > 0, axis=-1)`.

    0, -0 and NaN give 0. The spare low bits of the last byte are 0.

    Args:
        x: (..., bits) float16, bfloat16, float32, float64, signed integers or bool.

    Returns:
        uint8 (..., ceil(bits / 8)). Not differentiable.

    Raises:
        TypeError: other dtypes; uint8 is always packed codes.
        ValueError: no dimension, or 0 bits.
        RuntimeError: x requires grad and gradients are on.

    >>> import numpy as np, fasthash
    >>> fasthash.pack(np.array([[0.5, -1.0, 2.0, 0.0, 1.0, 1.0, -3.0, 1.0, 0.1]], dtype=np.float32))
    array([[173, 128]], dtype=uint8)
    """
    (x,), back = tensors("pack", x=x)
    return back(_pack(x))


def _unpacked(codes: torch.Tensor, bits: int) -> torch.Tensor:
    if codes.dtype != torch.uint8:
        raise TypeError(f"unpack: codes: expected packed codes (torch.uint8), got {codes.dtype}")
    _check.whole("unpack", "bits", bits, 1)
    if codes.dim() == 0 or codes.shape[-1] != (bits + 7) // 8:
        raise ValueError(
            f"unpack: codes: expected shape (..., {(bits + 7) // 8}) for {bits} bits, got {_check.shape(codes)}"
        )
    return codes.new_empty((*codes.shape[:-1], bits), dtype=torch.float32)


def _unpack_kernel(codes: torch.Tensor, bits: int) -> torch.Tensor:
    out, codes = _unpacked(codes, bits), codes.contiguous()
    if out.numel():
        if bits % 8 and codes.device.type == "cpu" and bool((codes[..., -1] & (0xFF >> bits % 8)).any()):
            raise ValueError(f"unpack: codes: expected zero spare bits after bit {bits}, got a code with some set")
        call("unpack", codes, codes, out.numel() // bits, bits, out)
    return out


_unpack = register("unpack(Tensor codes, SymInt bits) -> Tensor", kernel=_unpack_kernel, fake=_unpacked)


def unpack(codes: Array, bits: int) -> Array:
    """Packed codes to floats of -1 and +1.

    Args:
        codes: uint8 (..., ceil(bits / 8)).
        bits: width of a code.

    Returns:
        float32 (..., bits).

    Raises:
        TypeError: codes are not uint8, bits is no whole number.
        ValueError: the width does not fit the bytes, or spare bits are set (on CUDA, where looking would mean waiting,
            they are passed over).

    >>> import numpy as np, fasthash
    >>> fasthash.unpack(np.array([[173, 128]], dtype=np.uint8), 9)
    array([[ 1., -1.,  1., -1.,  1.,  1., -1.,  1.,  1.]], dtype=float32)
    """
    (codes,), back = tensors("unpack", codes=codes)
    bits = _check.whole("unpack", "bits", bits, 1)
    return back(_unpack(codes, bits))


def _bytes(function: str, codes: Array, dtypes: tuple[str, ...]) -> None:
    if not isinstance(codes, (np.ndarray, torch.Tensor)):
        raise TypeError(f"{function}: codes: expected a torch tensor or a NumPy array, got {type(codes).__name__}")
    if str(codes.dtype).removeprefix("torch.") not in dtypes:
        raise TypeError(f"{function}: codes: expected {' or '.join(dtypes)}, got {codes.dtype}")


def _reverse_bits(codes: Array) -> Array:
    """The bits of each byte in the other order."""
    codes = (codes >> 1 & 0x55) | (codes & 0x55) << 1
    codes = (codes >> 2 & 0x33) | (codes & 0x33) << 2
    return (codes >> 4 & 0x0F) | (codes & 0x0F) << 4


def from_faiss(codes: Array) -> Array:
    """Codes that FAISS packed, lowest bit first, as codes of this package.

    FAISS sets a bit where x >= 0, this package where x > 0: that part cannot be turned back.

    Args:
        codes: uint8 (..., bytes).

    Returns:
        uint8 (..., bytes), a copy.

    Raises:
        TypeError: not uint8.

    >>> import numpy as np, fasthash
    >>> fasthash.from_faiss(np.array([[0b00000001, 0b11110000]], dtype=np.uint8))
    array([[128,  15]], dtype=uint8)
    """
    _bytes("from_faiss", codes, ("uint8",))
    return _reverse_bits(codes)


def to_faiss(codes: Array) -> Array:
    """Codes of this package as FAISS reads them, lowest bit first; `from_faiss` turns them back.

    Args:
        codes: uint8 (..., bytes).

    Returns:
        uint8 (..., bytes), a copy.

    Raises:
        TypeError: not uint8.

    >>> import numpy as np, fasthash
    >>> fasthash.to_faiss(np.array([[0b10000000]], dtype=np.uint8))
    array([[1]], dtype=uint8)
    """
    _bytes("to_faiss", codes, ("uint8",))
    return _reverse_bits(codes)


def from_sentence_transformers(codes: Array) -> Array:
    """Embeddings that sentence-transformers quantised to "ubinary" or "binary", as codes of this package.

    "ubinary" (uint8) has their bytes already; "binary" (int8) is those bytes minus 128.

    Args:
        codes: uint8 or int8 (..., bytes).

    Returns:
        uint8 (..., bytes), a copy.

    Raises:
        TypeError: neither uint8 nor int8.

    >>> import numpy as np, fasthash
    >>> fasthash.from_sentence_transformers(np.array([[-128, 45, 127]], dtype=np.int8))
    array([[  0, 173, 255]], dtype=uint8)
    """
    _bytes("from_sentence_transformers", codes, ("uint8", "int8"))
    if isinstance(codes, torch.Tensor):
        return codes.clone() if codes.dtype == torch.uint8 else codes.contiguous().view(torch.uint8) ^ 0x80
    return codes.copy() if codes.dtype == np.uint8 else np.ascontiguousarray(codes).view(np.uint8) ^ np.uint8(0x80)


def to_sentence_transformers(codes: Array, precision: Literal["ubinary", "binary"] = "ubinary") -> Array:
    """Codes of this package as sentence-transformers' "ubinary" (uint8) or "binary" (int8, the byte minus 128).

    Args:
        codes: uint8 (..., bytes).
        precision: "ubinary" or "binary".

    Returns:
        uint8 or int8 (..., bytes), a copy.

    Raises:
        TypeError: not uint8.
        ValueError: another precision.

    >>> import numpy as np, fasthash
    >>> fasthash.to_sentence_transformers(np.array([[0, 173, 255]], dtype=np.uint8), "binary")
    array([[-128,   45,  127]], dtype=int8)
    """
    _bytes("to_sentence_transformers", codes, ("uint8",))
    if precision not in ("ubinary", "binary"):
        raise ValueError(f'to_sentence_transformers: precision: expected "ubinary" or "binary", got {precision!r}')
    if isinstance(codes, torch.Tensor):
        return codes.clone() if precision == "ubinary" else (codes ^ 0x80).view(torch.int8)
    return codes.copy() if precision == "ubinary" else (codes ^ np.uint8(0x80)).view(np.int8)
