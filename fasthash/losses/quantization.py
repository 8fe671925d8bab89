"""Losses that pull real outputs to -1 and +1."""

from __future__ import annotations

import torch
from torch import Tensor

from fasthash.losses._pairs import at_least_float32, check_codes, masked_mean


def _mean_over_items(function: str, per_item: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return per_item.sum() / max(per_item.shape[0], 1)
    if mask.shape != per_item.shape:
        raise ValueError(f"{function}: mask must have shape {tuple(per_item.shape)}, got {tuple(mask.shape)}")
    if mask.dtype != torch.bool:
        raise TypeError(f"{function}: mask must be torch.bool, got {mask.dtype}")
    return masked_mean(per_item, mask)


def quantization(u: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Mean over items and bits of (sgn(u) - u)^2, with sgn(u) a constant, +1 where u > 0 and -1 elsewhere, like `pack`.

    Source: DPSH, Li, Wang and Kang, IJCAI 2016, the last term of its objective, as a mean and not a sum: its weight 10
    there is 0.096 here for 48 bits and 5,000 items.

    Args:
        u: outputs (n, K), floating.
        mask: (n,) bool, the items that count; None = all.

    Returns:
        The loss, a scalar in float32 or float64; 0 without items.

    Raises:
        TypeError: u not floating, mask not bool.
        ValueError: shapes that do not fit.

    Example:
        >>> import torch
        >>> from fasthash.losses import quantization
        >>> print(f"{quantization(torch.tensor([[0.5, -0.5], [1.0, -1.0]])):.3f}")
        0.125
    """
    check_codes("quantization", u=u)
    u = at_least_float32(u)
    sign = torch.where(u > 0, 1.0, -1.0)
    return _mean_over_items("quantization", (sign - u).square().sum(1) / max(u.shape[1], 1), mask)


def l1_quantization(u: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Mean over items of sum_k | |u_k| - 1 |.

    Source: DSH, Liu, Wang, Shan and Chen, CVPR 2016, the regulariser of its relaxed loss, as a mean over items.

    Args:
        u: outputs (n, K), floating.
        mask: (n,) bool, the items that count; None = all.

    Returns:
        The loss, a scalar in float32 or float64; 0 without items.

    Raises:
        TypeError: u not floating, mask not bool.
        ValueError: shapes that do not fit.

    Example:
        >>> import torch
        >>> from fasthash.losses import l1_quantization
        >>> print(f"{l1_quantization(torch.tensor([[0.5, -0.5], [1.0, -1.0]])):.3f}")
        0.500
    """
    check_codes("l1_quantization", u=u)
    return _mean_over_items("l1_quantization", (at_least_float32(u).abs() - 1).abs().sum(1), mask)
