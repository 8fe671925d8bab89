"""Losses on triplets: an anchor nearer to its positive than to its negative.

`triplet_ranking` and `graph_embedding` take outputs and places in them, as `fasthash.losses.tuples` draws these;
`triplet_hinge` and `improved_triplet` take the three outputs themselves, which may come from several networks.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from fasthash.losses._pairs import at_least_float32, check_codes, masked_mean

# A root this far from 0 keeps its gradient finite where two outputs are identical: there it is 0.
_FLOOR = 1e-12


def _rows(function: str, name: str, h: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Squared distances (T,) of the anchor to the second and to the third item, which tuples there are, the anchors."""
    check_codes(function, h=h)
    if places.ndim != 2 or places.shape[1] != 3:
        raise ValueError(f"{function}: {name} must have shape (T, 3), got {tuple(places.shape)}")
    if places.dtype != torch.int64:
        raise TypeError(f"{function}: {name} must be torch.int64, got {places.dtype}")
    if not len(h):
        places = places[:0]
    h = at_least_float32(h)
    # One gather for all: few large steps cost less than many small ones.
    rows = h.index_select(0, places.clamp(min=0).T.reshape(-1)).view(3, len(places), h.shape[1])
    second, third = (rows[0] - rows[1:]).square().sum(2)
    return second, third, (places >= 0).all(1), rows[0]


def triplet_ranking(h: Tensor, triplets: Tensor, *, margin: float = 1.0) -> Tensor:
    """1/(2T) sum of max(0, margin + D(a, p) - D(a, n)), D(a, b) = |h_a - h_b|^2.

    Source: SSDH, Zhang and Peng, "SSDH: Semi-supervised Deep Hashing for Large Scale Image Retrieval", TCSVT 2017, in
    the form of the authors' release, where h are sigmoid outputs in (0, 1). Gradient flows to all three.

    Args:
        h: outputs (n, K), floating.
        triplets: int64 (T, 3), places of anchor, positive and negative in h; rows of -1 do not count.
        margin: by how much the negative must be farther, in units of D.

    Returns:
        The loss, a scalar in float32 or float64; 0 without a triplet.

    Raises:
        TypeError: h not floating, triplets not int64.
        ValueError: shapes that do not fit.

    Example:
        >>> import torch
        >>> from fasthash.losses import triplet_ranking
        >>> h = torch.tensor([[0.2, 0.2], [0.2, 0.8], [0.8, 0.8]])
        >>> print(f"{triplet_ranking(h, torch.tensor([[0, 1, 2]])):.2f}")
        0.32
    """
    positive, negative, there, _ = _rows("triplet_ranking", "triplets", h, triplets)
    return masked_mean((margin + positive - negative).clamp(min=0), there) / 2


def graph_embedding(h: Tensor, pairs: Tensor, *, margin: float, constants: Tensor | None = None) -> Tensor:
    """1/(2P) sum of D(i, p) + max(0, margin - d(i, n))^2, D(a, b) = |h_a - h_b|^2, d = sqrt(D).

    It pulls graph neighbours together and pushes far items apart. The hinge is on the distance and squared afterwards,
    unlike that of `dsh`, which is on the squared distance.

    Source: SSDH, Zhang and Peng, TCSVT 2017, in the form of the authors' release, where h are sigmoid outputs in
    (0, 1). Gradient flows to all three.

    Args:
        h: outputs (n, K), floating.
        pairs: int64 (P, 3), places of the item, a near and a far one in h; rows of -1 do not count.
        margin: distance d beyond which far items are left alone.
        constants: (P, K) outputs in place of those of the near items, without gradient, such as rows of a bank.

    Returns:
        The loss, a scalar in float32 or float64; 0 without a pair.

    Raises:
        TypeError: h not floating, pairs not int64.
        ValueError: shapes that do not fit.

    Example:
        >>> import torch
        >>> from fasthash.losses import graph_embedding
        >>> h = torch.tensor([[0.2, 0.2], [0.2, 0.8], [0.8, 0.8]])
        >>> pairs = torch.tensor([[0, 1, 2], [1, 0, 2], [2, 1, 0]])
        >>> print(f"{graph_embedding(h, pairs, margin=1.0):.5f}")
        0.21431
    """
    near, far, there, anchors = _rows("graph_embedding", "pairs", h, pairs)
    if constants is not None:
        if constants.shape != (len(pairs), h.shape[1]):
            raise ValueError(
                f"graph_embedding: constants must have shape {(len(pairs), h.shape[1])}, got {tuple(constants.shape)}"
            )
        near = (anchors - constants.detach()[: len(anchors)]).square().sum(1)
    return masked_mean(near + (margin - far.clamp(min=_FLOOR).sqrt()).clamp(min=0).square(), there) / 2


def triplet_hinge(anchor: Tensor, positive: Tensor, negative: Tensor, *, margin: float = 5.0) -> Tensor:
    """Mean of max(0, beta + d(a, p) - d(a, n)), d = squared distance.

    Source: the teacher of SKDCH, Su, Gu, Ren, Fu and Zhao, "Semi-Supervised Knowledge Distillation for Cross-Modal
    Hashing", TMM 2021, in the form of the authors' release.

    Args:
        anchor: outputs (T, K), floating.
        positive: outputs (T, K).
        negative: outputs (T, K).
        margin: beta.

    Returns:
        The loss, a scalar in float32 or float64; 0 without a triplet.

    Raises:
        TypeError: outputs not floating.
        ValueError: shapes or devices that do not fit.

    Example:
        >>> import torch
        >>> from fasthash.losses import triplet_hinge
        >>> anchor, positive, negative = torch.tensor([[[0.9, 0.1]], [[0.8, 0.3]], [[0.2, 0.6]]])
        >>> print(f"{triplet_hinge(anchor, positive, negative):.2f}")
        4.31
    """
    a, p, n = _three("triplet_hinge", anchor, positive, negative)
    near, far = ((a - x).square().sum(1) for x in (p, n))
    return (margin + near - far).clamp(min=0).sum() / max(len(a), 1)


def _three(function: str, anchor: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Checked outputs of one shape, in float32 at least."""
    check_codes(function, anchor=anchor, positive=positive, negative=negative)
    for name, x in {"positive": positive, "negative": negative}.items():
        if x.shape != anchor.shape:
            raise ValueError(
                f"{function}: {name} must have the shape {tuple(anchor.shape)} of anchor, got {tuple(x.shape)}"
            )
    return at_least_float32(anchor), at_least_float32(positive), at_least_float32(negative)


def improved_triplet(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    margin: float = 5.0,
    pull: float = 0.02,
    pull_margin: float = 0.1,
    pull_form: Literal["d - mu", "d + mu"] = "d - mu",
) -> Tensor:
    """Mean of max(0, beta + d(a, p) - (d(a, n) + d(p, n)) / 2) + lambda max(0, d(a, p) - mu), d = squared distance.

    The negative is pushed from both members of the positive pair, and a positive is pulled even where the ranking
    already holds.

    Source: SKDCH, Su, Gu, Ren, Fu and Zhao, "Semi-Supervised Knowledge Distillation for Cross-Modal Hashing", TMM 2021.
    The authors' release has max(0, d(a, p) + mu) (`pull_form="d + mu"`), which never clips; the sign used by default
    follows the improved triplet of Zhang, Gong and Wang (PCM 2016) and is reconstructed.

    Args:
        anchor: outputs (T, K), floating.
        positive: outputs (T, K).
        negative: outputs (T, K).
        margin: beta.
        pull: lambda.
        pull_margin: mu.
        pull_form: sign of mu.

    Returns:
        The loss, a scalar in float32 or float64; 0 without a triplet.

    Raises:
        TypeError: outputs not floating.
        ValueError: shapes or devices that do not fit, or an unknown pull_form.

    Example:
        >>> import torch
        >>> from fasthash.losses import improved_triplet
        >>> anchor, positive, negative = torch.tensor([[[0.9, 0.1]], [[0.8, 0.3]], [[0.2, 0.6]]])
        >>> print(f"{improved_triplet(anchor, positive, negative):.3f}")
        4.455
    """
    a, p, n = _three("improved_triplet", anchor, positive, negative)
    if pull_form not in ("d - mu", "d + mu"):
        raise ValueError(f'improved_triplet: pull_form must be "d - mu" or "d + mu", got {pull_form!r}')
    near, far, across = ((x - y).square().sum(1) for x, y in ((a, p), (a, n), (p, n)))
    offset = -pull_margin if pull_form == "d - mu" else pull_margin
    terms = (margin + near - (far + across) / 2).clamp(min=0) + pull * (near + offset).clamp(min=0)
    return terms.sum() / max(len(terms), 1)
