"""Codes of several lengths agree on how similar the items of a batch are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fasthash.losses._pairs import check_codes, matmul


def group_consensus(u: Tensor, others: Sequence[Tensor]) -> Tensor:
    """|P - mean over the others of P_g|^2 with P = u u' / K of one code length and P_g of other lengths, on a batch.

    The others are constants. Squares are summed over the B x B pairs, i = j among them.

    Source: reconstructed, an experiment beside MAH, after the consensus of Song and Chai, "Collaborative Learning for
    Deep Neural Networks", NeurIPS 2018, which shares class probabilities.

    Args:
        u: outputs (B, K), floating.
        others: outputs of the same items in other lengths, (B, K_g) each, floating.

    Returns:
        The loss, a scalar in float32 or float64; 0 without items.

    Raises:
        TypeError: outputs that are not floating.
        ValueError: no others, or of another number of items.

    Example:
        >>> import torch
        >>> from fasthash.losses import group_consensus
        >>> print(f"{group_consensus(torch.tensor([[1.0]]), [torch.tensor([[0.5, 0.5]])]):.4f}")
        0.5625
    """
    for name, x in {"u": u, **{f"others[{place}]": other for place, other in enumerate(others)}}.items():
        check_codes("group_consensus", **{name: x})
    sizes = [len(other) for other in others]
    if not sizes or set(sizes) != {len(u)}:
        raise ValueError(f"group_consensus: others must be outputs of the {len(u)} items of u, got {sizes}")
    products = [matmul(x, x.T) / max(x.shape[1], 1) for x in (u, *(other.detach() for other in others))]
    return (products[0] - torch.stack(products[1:]).mean(0)).square().sum()
