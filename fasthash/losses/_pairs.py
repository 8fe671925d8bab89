"""What the pairwise losses share: argument checks, products, distances and masked means.

Everything is computed in float32 at least, also under autocast: a sum over B * B pairs does not survive bfloat16.
"""

from __future__ import annotations

import torch
from torch import Tensor


def check_codes(function: str, **arguments: Tensor) -> None:
    """Raise unless all arguments are floating (items, bits) tensors of one width on one device."""
    first_name, first = next(iter(arguments.items()))
    for name, x in arguments.items():
        if not x.is_floating_point():
            raise TypeError(f"{function}: {name} must be a floating tensor, got {x.dtype}")
        if x.ndim != 2:
            raise ValueError(f"{function}: {name} must have shape (items, bits), got {tuple(x.shape)}")
        if x.shape[1] != first.shape[1]:
            raise ValueError(
                f"{function}: {name} must have the {first.shape[1]} bits of {first_name}, got {x.shape[1]}"
            )
        if x.device != first.device:
            raise ValueError(f"{function}: {name} must be on {first.device} like {first_name}, got {x.device}")


def second_set(function: str, u: Tensor, v: Tensor | None) -> tuple[Tensor, tuple[int, int]]:
    """The checked second set of a loss on pairs, u itself for None, and the shape (n, m) of its pairs."""
    if v is None:
        check_codes(function, u=u)
        return u, (u.shape[0], u.shape[0])
    if v.ndim != 3:
        check_codes(function, u=u, v=v)
        return v, (u.shape[0], v.shape[0])
    check_codes(function, u=u, v=v.flatten(0, 1))
    if v.shape[0] != u.shape[0]:
        raise ValueError(f"{function}: v (n, m, bits) must have the {u.shape[0]} rows of u, got {v.shape[0]}")
    return v, (u.shape[0], v.shape[1])


def check_same_items(function: str, student: Tensor, other: Tensor, *, name: str = "teacher") -> None:
    """Raise unless student and the other, of this name, are outputs (items, bits) for the same items."""
    check_codes(function, student=student, **{name: other})
    if student.shape != other.shape:
        raise ValueError(
            f"{function}: {name} must have the shape {tuple(student.shape)} of student, got {tuple(other.shape)}"
        )


def check_matrix(function: str, name: str, x: Tensor, rows: int, columns: int, *, boolean: bool = True) -> None:
    """Raise unless x is a (rows, columns) matrix, boolean if asked."""
    if x.shape != (rows, columns):
        raise ValueError(f"{function}: {name} must have shape {(rows, columns)}, got {tuple(x.shape)}")
    if boolean and x.dtype != torch.bool:
        raise TypeError(f"{function}: {name} must be torch.bool, got {x.dtype}")


def at_least_float32(x: Tensor) -> Tensor:
    """Half and bfloat16 become float32; float32 and float64 stay."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """a @ b in the wider type of both and float32 at least, also under autocast.

    The backward too, except where torch.compile traces it under autocast: torch then runs its products in the low type,
    unless `torch._functorch.config.backward_pass_autocast` is "off".
    """
    dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    with torch.autocast(a.device.type, enabled=False):
        return a.to(dtype) @ b.to(dtype)


def products(a: Tensor, b: Tensor) -> Tensor:
    """a_i.b_j for b (m, K), a_i.b_ij for b (n, m, K): (n, m)."""
    return matmul(a, b.T) if b.ndim == 2 else matmul(b, a[:, :, None])[:, :, 0]


def normalised_distance(a: Tensor, b: Tensor) -> Tensor:
    """d = (1 - a.b / K) / 2, (n, K) and (m, K) -> (n, m): exactly Hamming / K for codes of -1 and +1."""
    distance: Tensor = (1 - matmul(a, b.T) / max(a.shape[1], 1)) / 2
    return distance


def squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """|a_i - b_j|^2, (n, K) and (m, K) or (n, m, K) -> (n, m), never below 0."""
    norms = at_least_float32(a).square().sum(1)[:, None] + at_least_float32(b).square().sum(-1)
    return (norms - 2 * products(a, b)).clamp(min=0)


def off_diagonal(n: int, device: torch.device) -> Tensor:
    """Bool (n, n), False on the diagonal."""
    return ~torch.eye(n, dtype=torch.bool, device=device)


def masked_mean(terms: Tensor, mask: Tensor) -> Tensor:
    """Mean of the terms, all finite, where mask holds; 0 that still back-propagates where it holds nowhere."""
    # A product of floats: torch.where and a product with bools are five times slower on a mask without order.
    kept = mask.to(terms.dtype)
    return (terms * kept).sum() / kept.sum().clamp(min=1)


def sigmoid_scale(bits: int) -> float:
    """c of sigmoid(c a.b): 0.4 at 48 bits, and the same reach of the exponent at every other width (SSDPH)."""
    return 0.4 * 48 / max(bits, 1)
