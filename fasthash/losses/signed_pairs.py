"""Losses of a batch on pairs of known sign, each item with itself among them."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from fasthash.losses._pairs import check_matrix
from fasthash.losses.pairwise import pairwise_likelihood, squared_pairwise


def signed_pairs(u: Tensor, signs: Tensor, *, kind: Literal["l2", "likelihood"] = "likelihood") -> Tensor:
    """How far outputs are from the signs of their pairs; pairs of sign 0 pull nowhere.

    "l2" is the mean over all n^2 pairs of |s| (u_i.u_j / K - s)^2: the authors' release of DistillHash, Yang, Liu,
    Deng, Liu and Tao, CVPR 2019. "likelihood" is the mean over the pairs with s != 0 of
    log(1 + exp(Theta)) - [s = +1] Theta, Theta = u_i.u_j / 2: that paper's loss as "A Survey on Deep Hashing Methods",
    Luo et al., ACM TKDD 2023, tells of it (the mean is reconstructed).

    Args:
        u: outputs (n, K), floating; gradients flow to both items of a pair.
        signs: (n, n) of +1, -1 and 0, in any dtype.
        kind: which.

    Returns:
        The loss, a scalar in float32 or float64; 0 without a pair.

    Raises:
        TypeError: u not floating.
        ValueError: an unknown kind, or shapes that do not fit.

    Example:
        >>> import torch
        >>> from fasthash.losses import signed_pairs
        >>> u = torch.tensor([[0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]])
        >>> signs = torch.tensor([[1, 1, -1], [1, 1, 0], [-1, 0, 1]])
        >>> print(f"{signed_pairs(u, signs, kind='l2'):.6f} {signed_pairs(u, signs, kind='likelihood'):.6f}")
        0.534722 0.609427
    """
    if kind not in ("l2", "likelihood"):
        raise ValueError(f"signed_pairs: kind must be 'l2' or 'likelihood', got {kind!r}")
    check_matrix("signed_pairs", "signs", signs, len(u), len(u), boolean=False)
    similar, kept = signs > 0, signs != 0
    # u as a second set: the pairs of an item with itself count.
    if kind == "likelihood":
        return pairwise_likelihood(u, similar, u, mask=kept)
    # From a mean over the kept pairs in units of K^2.
    share = kept.sum() / max(kept.numel(), 1)
    return squared_pairwise(u, similar, u, mask=kept) / max(u.shape[1], 1) ** 2 * share
