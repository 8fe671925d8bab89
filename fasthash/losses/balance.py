"""Losses on the statistics of bits: each half on, and all of them different."""

from __future__ import annotations

from torch import Tensor

from fasthash.losses._pairs import at_least_float32, check_codes, matmul


def bit_balance(u: Tensor) -> Tensor:
    """Mean over bits of (mean over items of u)^2: 0 where each bit is +1 as often as -1.

    Source: the balance condition of Spectral Hashing, Weiss, Torralba and Fergus, NIPS 2008, as a penalty.

    Args:
        u: outputs (n, K) in (-1, 1), floating.

    Returns:
        The loss, a scalar in float32 or float64; 0 without items.

    Raises:
        TypeError: u not floating.
        ValueError: u not (n, K).

    Example:
        >>> import torch
        >>> from fasthash.losses import bit_balance
        >>> print(f"{bit_balance(torch.tensor([[1.0, 1.0], [1.0, -1.0]])):.2f}")
        0.50
    """
    check_codes("bit_balance", u=u)
    mean = at_least_float32(u).sum(0) / max(u.shape[0], 1)
    return mean.square().sum() / max(u.shape[1], 1)


def bit_independence(u: Tensor) -> Tensor:
    """Mean over pairs of bits k != l of (mean over items of u_k u_l)^2: 0 where bits are uncorrelated.

    Source: the independence condition of Spectral Hashing, Weiss, Torralba and Fergus, NIPS 2008, as a penalty on the
    entries beside the diagonal.

    Args:
        u: outputs (n, K) in (-1, 1), floating.

    Returns:
        The loss, a scalar in float32 or float64; 0 without items or with one bit.

    Raises:
        TypeError: u not floating.
        ValueError: u not (n, K).

    Example:
        >>> import torch
        >>> from fasthash.losses import bit_independence
        >>> u = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0], [-1.0, -1.0]])
        >>> print(f"{bit_independence(u):.2f}")
        0.25
    """
    check_codes("bit_independence", u=u)
    items, bits = u.shape
    products = matmul(u.T, u) / max(items, 1)
    beside = products.square().sum() - products.diagonal().square().sum()
    return beside / max(bits * (bits - 1), 1)
