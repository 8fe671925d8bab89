"""Codes of several lengths agree on how similar the items of a batch are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fasthash.losses._pairs import check_codes, matmul


def group_consensus(outputs: Sequence[Tensor]) -> Tensor:
    """Mean over code lengths h of |P_h - mean over the others of P_g|^2, P_h = u_h u_h' / K_h on the batch.

    The mean of the others is a constant. Squares are summed over the B x B pairs, i = j among them.

    Source: reconstructed, an experiment beside MAH, after the consensus of Song and Chai, "Collaborative Learning for
    Deep Neural Networks", NeurIPS 2018, which shares class probabilities.

    Args:
        outputs: of the same items in two or more lengths, (B, K_h) each, floating.

    Returns:
        The loss, a scalar in float32 or float64; 0 without items.

    Raises:
        TypeError: outputs that are not floating.
        ValueError: fewer than two lengths, or other numbers of items.

    Example:
        >>> import torch
        >>> from fasthash.losses import group_consensus
        >>> print(f"{group_consensus([torch.tensor([[1.0]]), torch.tensor([[0.5, 0.5]])]):.4f}")
        0.5625
    """
    for place, u in enumerate(outputs):
        check_codes("group_consensus", **{f"outputs[{place}]": u})
    sizes = [len(u) for u in outputs]
    if len(sizes) < 2 or len(set(sizes)) > 1:
        raise ValueError(f"group_consensus: outputs must be of two lengths or more of the same items, got {sizes}")
    products = [matmul(u, u.T) / max(u.shape[1], 1) for u in outputs]
    constants = [product.detach() for product in products]
    total = torch.stack(constants).sum(0)
    others = [(total - constant) / (len(products) - 1) for constant in constants]
    terms = [(product - other).square().sum() for product, other in zip(products, others, strict=True)]
    return torch.stack(terms).mean()
