"""The asymmetric objective: outputs of a network on one side, free codes of all items on the other.

    E(U, V) = sum over i and j of (u_i . v_j - K s_ij)^2 + gamma sum over i of |u_i - v_i|^2

for some items i, with outputs U (m, K), and all items j, with codes V (n, K). Source: ADSH, Jiang and Li, "Asymmetric
Deep Supervised Hashing", AAAI 2018, and its release. Nothing here is m x n: what the squares need of V and S is V'V,
S V and the norms of the rows of S, see `SimilarityBlock`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from fasthash.losses._pairs import at_least_float32, check_codes, matmul
from fasthash.losses.label_sets import SimilarityBlock


def gram(v: Tensor, *, block: int = 1 << 16) -> Tensor:
    """V'V of codes (n, K): float64 (K, K), exact for -1 and +1."""
    total = torch.zeros(v.shape[1], v.shape[1], dtype=torch.float64, device=v.device)
    for part in v.split(block):
        part = part.double()
        total.addmm_(part.T, part)
    return total


def asymmetric(
    u: Tensor, products: Tensor, pull: Tensor, norms: Tensor, codes: Tensor, *, items: int, gamma: float = 200.0
) -> Tensor:
    """Mean over B items and all n items of (u_b . v_j - K s_bj)^2, plus gamma |u_b - v_b|^2 / n of each.

    The square is taken apart: u'V'V u - 2 K u.(V's) + K^2 |s|^2, summed over j, in float64. A step costs O(B K^2),
    whatever n is. Only u gets a gradient.

    Source: ADSH, see the head of this file; J_h of MAH, Luo et al., TKDE 2021, in the form of the authors' release.

    Args:
        u: outputs (B, K), floating.
        products: V'V, (K, K), as `gram` makes it.
        pull: V's of each of the B items, (B, K), rows of `SimilarityBlock.times`.
        norms: |s|^2 of each, (B,), of `SimilarityBlock.squared_norms`.
        codes: v of each, (B, K).
        items: n.
        gamma: weight of the quantisation.

    Returns:
        The loss, a scalar in float32 or float64; 0 without items.

    Raises:
        TypeError: u not floating.
        ValueError: shapes that do not fit.

    Example:
        >>> import torch
        >>> from fasthash.losses import LabelSets, SimilarityBlock, asymmetric, gram
        >>> v = torch.tensor([[1, 1], [1, -1], [-1, -1]])
        >>> block = SimilarityBlock.of(LabelSets.of(torch.tensor([0, 0, 1])), torch.tensor([0]))
        >>> known = gram(v), block.times(v), block.squared_norms(), v[:1]
        >>> print(f"{asymmetric(torch.tensor([[0.5, -0.5]]), *known, items=3, gamma=2.0):.4f}")
        8.6667
    """
    check_codes("asymmetric", u=u)
    batch, bits = u.shape
    wanted = {"products": (bits, bits), "pull": (batch, bits), "norms": (batch,), "codes": (batch, bits)}
    given = {"products": products, "pull": pull, "norms": norms, "codes": codes}
    for name, shape in wanted.items():
        if given[name].shape != shape:
            raise ValueError(f"asymmetric: {name} must have shape {shape}, got {tuple(given[name].shape)}")
    products, pull, norms, codes = (x.detach().double() for x in (products, pull, norms, codes))
    # The three parts nearly cancel where the codes fit.
    wide = u.double()
    squares = (matmul(wide, products) * wide).sum(1) - 2 * bits * (wide * pull).sum(1) + bits**2 * norms
    total = (squares + gamma * (wide - codes).square().sum(1)).sum() / max(batch * items, 1)
    return total.to(at_least_float32(u).dtype)


@torch.no_grad()
def update_codes(
    v: Tensor,
    u: Tensor,
    block: SimilarityBlock,
    *,
    gamma: float = 200.0,
    sweeps: int = 1,
    sign_in_product: bool = False,
    zero: Literal[-1, 0] = -1,
    pull: Tensor | None = None,
    rows: int = 1 << 14,
) -> Tensor:
    """Codes of all items by discrete cyclic coordinate descent on E, with the outputs fixed.

    With Q = -2 K S'U - 2 gamma Ubar (Ubar: U in the rows of its items, else 0) and W = U'U without its diagonal, column
    after column becomes -1 where Q[:, c] + 2 V W[:, c] >= 0 and +1 elsewhere. Each is the exact minimiser of E over its
    column, so that E never rises once V is -1 and +1; from V = 0 the first codes come out, and E may rise.

    Source: ADSH, see the head of this file. Rows do not depend on each other: they are done `rows` at a time.

    Args:
        v: codes int8 (n, K), -1 and +1, or 0 before the first update.
        u: outputs (m, K) of the items of the block, floating.
        block: their similarities to all items.
        gamma: weight of the quantisation.
        sweeps: over all columns.
        sign_in_product: take the signs of U in S'U only (the Matlab release of ADSH).
        zero: what an argument of exactly 0 gives; 0 leaves the bit undefined, as the Python releases do.
        pull: S'U, (D, K), where it is known already.
        rows: items at once.

    Returns:
        int8 (n, K).

    Raises:
        TypeError: u not floating, v not int8.
        ValueError: shapes that do not fit, no sweep, or another zero.

    Example:
        >>> import torch
        >>> from fasthash.losses import LabelSets, SimilarityBlock, update_codes
        >>> v = torch.tensor([[1, 1], [1, -1], [-1, -1]], dtype=torch.int8)
        >>> block = SimilarityBlock.of(LabelSets.of(torch.tensor([0, 0, 1])), torch.tensor([0]))
        >>> update_codes(v, torch.tensor([[0.5, -0.5]]), block, gamma=2.0).tolist()
        [[1, -1], [1, -1], [-1, 1]]
    """
    check_codes("update_codes", u=u)
    group, index, bits = block.sets.group, block.index, u.shape[1]
    if v.dtype != torch.int8:
        raise TypeError(f"update_codes: v must be torch.int8, got {v.dtype}")
    if v.shape != (len(group), bits) or len(u) != len(index):
        raise ValueError(
            f"update_codes: u must have shape ({len(index)}, K) and v ({len(group)}, K), "
            f"got {tuple(u.shape)} and {tuple(v.shape)}"
        )
    if sweeps < 1 or zero not in (-1, 0):
        raise ValueError(f"update_codes: sweeps must be >= 1 and zero -1 or 0, got {sweeps} and {zero}")
    u = at_least_float32(u)
    if pull is None:
        pull = block.transposed_times(signs(u) if sign_in_product else u)
    elif pull.shape != (len(block.sets.counts), bits):
        # A row for each item would be read as rows of label sets.
        wanted = (len(block.sets.counts), bits)
        raise ValueError(f"update_codes: pull must have shape {wanted}, got {tuple(pull.shape)}")
    # Bits before items, so that a column of codes lies in one piece.
    linear, weights = (-2 * bits * pull).to(u.dtype).T.contiguous(), matmul(u.T, u)
    weights.fill_diagonal_(0)
    own = torch.full((len(group),), -1, device=v.device)
    own[index] = torch.arange(len(index), device=v.device)
    found = torch.empty_like(v)
    for start in range(0, len(v), rows):
        part = slice(start, start + rows)
        q, codes = linear[:, group[part]], v[part].to(u.dtype).T.contiguous()
        (inside,) = torch.where(own[part] >= 0)
        q[:, inside] -= 2 * gamma * u[own[part][inside]].T
        for bit in [*range(bits)] * sweeps:
            argument = torch.addmv(q[bit], codes.T, weights[bit], alpha=2)
            codes[bit] = signs(-argument) if zero == -1 else -argument.sign()
        found[part] = codes.T.to(torch.int8)
    return found


def signs(x: Tensor) -> Tensor:
    """+1 where x > 0 and -1 elsewhere, like `pack`, in the dtype of x."""
    return torch.where(x > 0, 1.0, -1.0).to(x.dtype)
