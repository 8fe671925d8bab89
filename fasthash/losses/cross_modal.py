"""Losses of SKDCH beside its triplets: partners across modalities, and a selector of hard items.

Source: SKDCH, Su, Gu, Ren, Fu and Zhao, "Semi-Supervised Knowledge Distillation for Cross-Modal Hashing", TMM 2021, in
the form of the authors' release.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from fasthash.losses._pairs import at_least_float32, check_codes


def partner_likelihood(queries: Tensor, others: Tensor, partner: Tensor) -> Tensor:
    """Mean of the cross-entropy of sigmoid(-d) and y, d = squared distance, y = 1 where both are one object.

    log(1 + e^d) for y = 1 and log(1 + e^-d) for y = 0, in a form that cannot overflow. It is about partners, such as an
    image and its own text, not about classes.

    Args:
        queries: outputs (n, K), floating.
        others: outputs (n, K), of another modality.
        partner: y, bool (n,).

    Returns:
        The loss, a scalar in float32 or float64; 0 without a pair.

    Raises:
        TypeError: outputs not floating, partner not bool.
        ValueError: shapes that do not fit.

    Example:
        >>> import torch
        >>> from fasthash.losses import partner_likelihood
        >>> query, other = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.8, 0.3]])
        >>> print(f"{partner_likelihood(query, other, torch.tensor([True])):.6f}")
        0.718460
    """
    check_codes("partner_likelihood", queries=queries, others=others)
    if others.shape != queries.shape or partner.shape != queries.shape[:1]:
        raise ValueError(
            f"partner_likelihood: others and partner must have shapes {tuple(queries.shape)} and {(len(queries),)}, "
            f"got {tuple(others.shape)} and {tuple(partner.shape)}"
        )
    if partner.dtype != torch.bool:
        raise TypeError(f"partner_likelihood: partner must be torch.bool, got {partner.dtype}")
    distance = (at_least_float32(queries) - at_least_float32(others)).square().sum(1)
    return softplus(torch.where(partner, distance, -distance)).sum() / max(len(distance), 1)


def selection_error(logits: Tensor, reward: Tensor) -> Tensor:
    """Mean of |P - r|, P = softmax of each row of logits: how far a selector's choice is from its reward.

    Args:
        logits: (n, draws), floating: -d of a query to each item that was drawn for it.
        reward: r, (n, draws); no gradient flows.

    Returns:
        The loss, a scalar in float32 or float64; 0 without a query.

    Raises:
        TypeError: logits not floating.
        ValueError: shapes that do not fit.

    Example:
        >>> import torch
        >>> from fasthash.losses import selection_error
        >>> print(f"{selection_error(-torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 0.1]])):.1f}")
        0.2
    """
    if not logits.is_floating_point():
        raise TypeError(f"selection_error: logits must be a floating tensor, got {logits.dtype}")
    if logits.ndim != 2 or reward.shape != logits.shape:
        raise ValueError(
            f"selection_error: logits and reward must have one shape (n, draws), got {tuple(logits.shape)} and "
            f"{tuple(reward.shape)}"
        )
    chosen = at_least_float32(logits).softmax(1)
    return (chosen - reward.detach()).abs().sum() / max(chosen.numel(), 1)
