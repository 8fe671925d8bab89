"""Supervised losses on pairs: similar items near, dissimilar items far.

One call shape for all: `loss(u, similarity, v=None, *, mask=None, ...)`.

- u (n, K): network outputs; v (m, K): a second set (stored outputs, another modality), or v (n, m, K): a set for each
  row of u (its neighbours in a bank), or None for u against itself, where a pair is i != j.
- similarity (n, m): bool, or 0 and 1 in any dtype, as `label_similarity` gives it.
- mask (n, m) bool: the pairs that count, None = all. Without a pair the loss is 0 and still back-propagates.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from fasthash.losses._pairs import (
    at_least_float32,
    check_matrix,
    masked_mean,
    products,
    second_set,
    sigmoid_scale,
    squared_distance,
)


def _pairs(
    function: str, u: Tensor, similarity: Tensor, v: Tensor | None, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The checked second set, similarity in float (n, m), and the kept pairs (n, m) bool."""
    second, (n, m) = second_set(function, u, v)
    check_matrix(function, "similarity", similarity, n, m, boolean=False)
    if mask is None:
        kept = torch.ones((n, m), dtype=torch.bool, device=u.device)
    else:
        check_matrix(function, "mask", mask, n, m)
        kept = mask.clone() if v is None else mask
    if v is None:
        kept.fill_diagonal_(False)
    return second, similarity.to(torch.promote_types(u.dtype, torch.float32)), kept


def pairwise_likelihood(
    u: Tensor,
    similarity: Tensor,
    v: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    scale: float = 0.5,
) -> Tensor:
    """Negative log-likelihood of the pair labels: mean of log(1 + exp(Theta)) - s Theta, Theta = scale * u.v.

    Source: DPSH, Li, Wang and Kang, "Feature Learning based Deep Supervised Hashing with Pairwise Labels", IJCAI 2016,
    Eq. (1) on real outputs, where Theta = u.v / 2. DPSH sums over pairs of the whole training set; here it is a mean
    over the pairs given. log(1 + exp) is taken in a form that cannot overflow.

    Args:
        u: outputs (n, K), floating.
        similarity: (n, m), bool or 0 and 1.
        v: second set (m, K), or (n, m, K), one for each row; None = u itself without i = j.
        mask: (n, m) bool, the pairs that count.
        scale: factor of the inner product.

    Returns:
        The loss, a scalar in float32 or float64.

    Raises:
        TypeError: u or v not floating, mask not bool.
        ValueError: shapes or devices that do not fit.

    Example:
        >>> import torch
        >>> from fasthash.losses import label_similarity, pairwise_likelihood
        >>> u = torch.tensor([[0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]])
        >>> similarity, known = label_similarity(torch.tensor([0, 0, 1]))
        >>> print(f"{pairwise_likelihood(u, similarity, mask=known):.5f}")
        0.65408
    """
    second, similar, kept = _pairs("pairwise_likelihood", u, similarity, v, mask)
    # Scaled before the product: n K numbers in place of n m.
    theta = products(scale * at_least_float32(u), second)
    return masked_mean(softplus(theta) - similar * theta, kept)


def dsh(
    u: Tensor,
    similarity: Tensor,
    v: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    margin: float | None = None,
) -> Tensor:
    """Contrastive loss on squared distances: mean of s/2 E + (1 - s)/2 max(0, margin - E), E = |u_i - v_j|^2.

    Source: DSH, Liu, Wang, Shan and Chen, "Deep Supervised Hashing for Fast Image Retrieval", CVPR 2016, the
    relaxed pair loss, as a mean over pairs. Its regulariser is `l1_quantization`: the paper's 0.01 for each item of a
    pair is a weight of 0.02 here.

    Args:
        u: outputs (n, K), floating.
        similarity: (n, m), bool or 0 and 1.
        v: second set (m, K), or (n, m, K), one for each row; None = u itself without i = j.
        mask: (n, m) bool, the pairs that count.
        margin: squared distance beyond which dissimilar pairs are left alone; None = 2 K, as in the paper.

    Returns:
        The loss, a scalar in float32 or float64.

    Raises:
        TypeError: u or v not floating, mask not bool.
        ValueError: shapes or devices that do not fit.

    Example:
        >>> import torch
        >>> from fasthash.losses import dsh, label_similarity
        >>> u = torch.tensor([[0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]])
        >>> similarity, known = label_similarity(torch.tensor([0, 0, 1]))
        >>> print(f"{dsh(u, similarity, mask=known):.5f}")
        1.00000
    """
    second, similar, kept = _pairs("dsh", u, similarity, v, mask)
    margin = 2.0 * u.shape[1] if margin is None else margin
    distance = squared_distance(u, second)
    return masked_mean((similar * distance + (1 - similar) * (margin - distance).clamp(min=0)) / 2, kept)


def squared_pairwise(
    u: Tensor,
    similarity: Tensor,
    v: Tensor | None = None,
    *,
    mask: Tensor | None = None,
) -> Tensor:
    """Mean of (u.v - K s)^2 with s = +1 for similar and -1 for dissimilar pairs.

    Source: KSH, Liu, Wang, Ji, Jiang and Chang, "Supervised Hashing with Kernels", CVPR 2012, and ADSH, Jiang and Li,
    "Asymmetric Deep Supervised Hashing", AAAI 2018, Eq. (1), where v are the discrete codes of the database; as a mean
    over pairs. Values are in units of K^2.

    Args:
        u: outputs (n, K), floating.
        similarity: (n, m), bool or 0 and 1.
        v: second set (m, K), or (n, m, K), one for each row; None = u itself without i = j.
        mask: (n, m) bool, the pairs that count.

    Returns:
        The loss, a scalar in float32 or float64.

    Raises:
        TypeError: u or v not floating, mask not bool.
        ValueError: shapes or devices that do not fit.

    Example:
        >>> import torch
        >>> from fasthash.losses import label_similarity, squared_pairwise
        >>> u = torch.tensor([[0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]])
        >>> similarity, known = label_similarity(torch.tensor([0, 0, 1]))
        >>> print(f"{squared_pairwise(u, similarity, mask=known):.4f}")
        3.4167
    """
    second, similar, kept = _pairs("squared_pairwise", u, similarity, v, mask)
    return masked_mean((products(u, second) - u.shape[1] * (2 * similar - 1)).square(), kept)


def balanced_likelihood(
    u: Tensor,
    similarity: Tensor,
    v: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    scale: float | None = None,
    weight: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of sigmoid(scale * u.v), in which similar and dissimilar pairs weigh the same together.

    Similar pairs are weighted n_dissimilar / n_similar and the sum is divided by 2 n_dissimilar; that is half the mean
    over similar pairs plus half the mean over dissimilar pairs, and a side without pairs counts 0. Source: the released
    code of SSDPH, with scale = 0.4 * 48 / K. Twice this loss is the weighted likelihood of HashNet, Cao, Long, Wang and
    Yu, "HashNet: Deep Learning to Hash by Continuation", ICCV 2017, with its alpha as scale and its c_ij as weight.

    Args:
        u: outputs (n, K), floating.
        similarity: (n, m), bool or 0 and 1.
        v: second set (m, K), or (n, m, K), one for each row; None = u itself without i = j.
        mask: (n, m) bool, the pairs that count.
        scale: factor of the inner product; None = 19.2 / K.
        weight: (n, m), floating, further factor of each pair, which leaves the counts as they are; None = 1.

    Returns:
        The loss, a scalar in float32 or float64.

    Raises:
        TypeError: u or v not floating, mask not bool.
        ValueError: shapes or devices that do not fit.

    Example:
        >>> import torch
        >>> from fasthash.losses import balanced_likelihood, label_similarity
        >>> u = torch.tensor([[0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]])
        >>> similarity, known = label_similarity(torch.tensor([0, 0, 1]))
        >>> print(f"{balanced_likelihood(u, similarity, mask=known, scale=0.5):.5f}")
        0.66385
    """
    second, similar, kept = _pairs("balanced_likelihood", u, similarity, v, mask)
    scale = sigmoid_scale(u.shape[1]) if scale is None else scale
    theta = products(scale * at_least_float32(u), second)
    attract, repel = softplus(-theta), softplus(theta)
    if weight is not None:
        check_matrix("balanced_likelihood", "weight", weight, *similar.shape, boolean=False)
        attract, repel = weight * attract, weight * repel
    return (masked_mean(attract, kept & similar.bool()) + masked_mean(repel, kept & ~similar.bool())) / 2
