"""Losses without labels: a student agrees with its teacher, point by point or pair by pair.

In the spirit of PTS3H (Zhang, Li and Zhang, "Pairwise Teacher-Student Network for Semi-Supervised Hashing", CVPR
workshops 2019). No code was ever released: the formulas are reconstructed, and results must not be set beside the
paper's as if the method were the same.

Student and teacher are outputs (B, K) of the same items in the same order. The teacher is a constant: it is detached
here, and no gradient reaches it. d(a, b) = (1 - a.b / K) / 2, exactly Hamming / K for codes of -1 and +1.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from fasthash.losses._pairs import (
    at_least_float32,
    check_matrix,
    check_same_items,
    masked_mean,
    matmul,
    normalised_distance,
    off_diagonal,
    second_set,
    sigmoid_scale,
    squared_distance,
)


def _distance_consistency(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over i != j of (d(u_i, u_j) - d(v_i, v_j))^2 at cost B K^2, without a (B, B) matrix.

    With A = U - V and C = U + V the difference of the Gram matrices is (A C' + C A') / 2, and its squared Frobenius
    norm is (<A'A, C'C> + <C'A, A'C>) / 2. Unlike |U'U|^2 - 2 |U'V|^2 + |V'V|^2, the same number, it keeps its digits
    when student and teacher nearly agree.
    """
    batch, bits = student.shape
    a, c = student - teacher, student + teacher
    cross = matmul(c.T, a)
    everything = ((matmul(a.T, a) * matmul(c.T, c)).sum() + (cross * cross.T).sum()) / 2
    diagonal = (a * c).sum(1).square().sum()
    return (everything - diagonal) / (4 * bits**2 * batch * (batch - 1))


def pair_consistency(student: Tensor, teacher: Tensor, *, kind: Literal["distance", "sigmoid"] = "distance") -> Tensor:
    """Pairs of the student lie as far apart as the same pairs of the teacher.

    "distance": mean over i != j of (d(u_i, u_j) - d(v_i, v_j))^2. "sigmoid": the same with sigmoid(c x_i.x_j) in place
    of d, c = 0.4 * 48 / K (after SSDPH); near a product of 0 it pulls about 92 times harder at the same weight. Both
    are unchanged by permuting bits or flipping the sign of a bit, in student and teacher independently.

    Source: in the spirit of PTS3H (formula reconstructed). With 2 K < B, "distance" is computed in an exact closed form
    of cost B K^2.

    Args:
        student: outputs (B, K), floating.
        teacher: outputs (B, K) of the same items, floating; a constant.
        kind: what is compared.

    Returns:
        The loss, a scalar in float32 or float64; 0 with fewer than two items.

    Raises:
        TypeError: outputs not floating.
        ValueError: shapes or devices that do not fit, or an unknown kind.

    Example:
        >>> import torch
        >>> from fasthash.losses import pair_consistency
        >>> student = torch.tensor([[0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]])
        >>> teacher = torch.tensor([[0.8, 0.8], [0.8, -0.8], [0.8, -0.8]])
        >>> print(f"{pair_consistency(student, teacher):.7f}")
        0.0393417
        >>> print(f"{pair_consistency(student, teacher, kind='sigmoid'):.7f}")
        0.1639665
    """
    check_same_items("pair_consistency", student, teacher)
    u, v = at_least_float32(student), at_least_float32(teacher.detach())
    batch, bits = u.shape
    if kind == "distance":
        if batch > 1 and 2 * bits < batch:
            return _distance_consistency(u, v)
        difference = normalised_distance(u, u) - normalised_distance(v, v)
    elif kind == "sigmoid":
        scale = sigmoid_scale(bits)
        difference = torch.sigmoid(scale * matmul(u, u.T)) - torch.sigmoid(scale * matmul(v, v.T))
    else:
        raise ValueError(f'pair_consistency: kind must be "distance" or "sigmoid", got {kind!r}')
    return masked_mean(difference.square(), off_diagonal(batch, u.device))


def point_consistency(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over items of |u_i - v_i|^2 / K.

    Source: Mean Teacher, Tarvainen and Valpola, "Mean teachers are better role models", NIPS 2017, its consistency cost
    (there on softmax outputs), applied to hash outputs.

    Args:
        student: outputs (B, K), floating.
        teacher: outputs (B, K) of the same items, floating; a constant.

    Returns:
        The loss, a scalar in float32 or float64; 0 without items.

    Raises:
        TypeError: outputs not floating.
        ValueError: shapes or devices that do not fit.

    Example:
        >>> import torch
        >>> from fasthash.losses import point_consistency
        >>> student = torch.tensor([[0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]])
        >>> teacher = torch.tensor([[0.8, 0.8], [0.8, -0.8], [0.8, -0.8]])
        >>> print(f"{point_consistency(student, teacher):.7f}")
        0.3566667
    """
    check_same_items("point_consistency", student, teacher)
    difference = at_least_float32(student) - at_least_float32(teacher.detach())
    return difference.square().sum() / max(difference.numel(), 1)


def neighbour_consistency(student: Tensor, teacher: Tensor, neighbour: Tensor) -> Tensor:
    """The student's view from i is the teacher's view from a neighbour j of i, on the rest of the batch.

    Mean over the ordered pairs (i, j) of `neighbour` and over k not in {i, j} of (d(u_i, u_k) - d(v_j, v_k))^2. With
    every item its own and only neighbour it equals `pair_consistency`.

    Source: in the spirit of PTS3H (formula reconstructed): neighbouring queries find similar results.

    Args:
        student: outputs (B, K), floating.
        teacher: outputs (B, K) of the same items, floating; a constant.
        neighbour: int64 (B,), one drawn neighbour an item, -1 = none (cost B^2); or floating (B, K), the teacher's
            outputs of a neighbour from outside the batch; or bool (B, B), all pairs (i, j) that are neighbours, i = j
            where it counts (cost B^3 in memory too, for small batches).

    Returns:
        The loss, a scalar in float32 or float64; 0 without a neighbour.

    Raises:
        TypeError: outputs not floating, neighbour neither int64 nor bool nor floating.
        ValueError: shapes or devices that do not fit.

    Example:
        >>> import torch
        >>> from fasthash.losses import neighbour_consistency
        >>> student = torch.tensor([[0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]])
        >>> teacher = torch.tensor([[0.8, 0.8], [0.8, -0.8], [0.8, -0.8]])
        >>> near = torch.tensor([[1, 0, 0], [0, 1, 1], [0, 1, 1]]).bool()
        >>> print(f"{neighbour_consistency(student, teacher, near):.7f}")
        0.0314594
    """
    check_same_items("neighbour_consistency", student, teacher)
    batch, bits = student.shape
    # Differences of distances are differences of products over 2 K.
    product = matmul(student, student.T)
    other = off_diagonal(batch, student.device)
    if neighbour.is_floating_point():
        check_same_items("neighbour_consistency", student, neighbour, name="neighbour")
        difference, kept = product - matmul(neighbour.detach(), teacher.detach().T), other
    elif neighbour.dtype == torch.bool:
        check_matrix("neighbour_consistency", "neighbour", neighbour, batch, batch)
        difference = product[:, None, :] - matmul(teacher.detach(), teacher.detach().T)[None, :, :]
        kept = neighbour[:, :, None] & other[:, None, :] & other[None, :, :]
    elif neighbour.dtype == torch.int64:
        if neighbour.shape != (batch,):
            raise ValueError(
                f"neighbour_consistency: int64 neighbour must have shape {(batch,)}, got {tuple(neighbour.shape)}"
            )
        row = neighbour.clamp(min=0)
        difference = product - matmul(teacher.detach()[row], teacher.detach().T)
        kept = (neighbour >= 0)[:, None] & other & other[row]
    else:
        raise TypeError(
            f"neighbour_consistency: neighbour must be torch.int64, torch.bool or floating, got {neighbour.dtype}"
        )
    return masked_mean(difference.square(), kept) / (4 * max(bits, 1) ** 2)


def graph_contrastive(
    u: Tensor, pseudo: Tensor, known: Tensor, v: Tensor | None = None, *, margin: float = 0.75
) -> Tensor:
    """Contrastive loss on the pseudo-similarities of a teacher.

    Mean over the known pairs (without a second set those of i != j) of s D + (1 - s) max(0, margin - sqrt(D))^2,
    D = |u_i - u_j|^2 / (4 K). Random codes lie at sqrt(D) = 0.71, hence the margin. For the likelihood on the same
    pairs, use `pairwise_likelihood(u, pseudo, mask=known)`.

    Source: in the spirit of PTS3H (formula reconstructed), in the form of SNTG, Luo, Zhu, Li, Ren and Zhang, "Smooth
    Neighbors on Teacher Graphs for Semi-supervised Learning", CVPR 2018; scale and margin are ours.

    Args:
        u: student outputs (B, K), floating.
        pseudo: (B, m), bool or 0 and 1: 1 = neighbours on the teacher's graph.
        known: (B, m) bool, the pairs that count.
        v: second set (m, K), or (B, m, K), one for each row; None = u itself without i = j.
        margin: distance beyond which pairs that are not neighbours are left alone, in units of sqrt(D).

    Returns:
        The loss, a scalar in float32 or float64; 0 without a known pair.

    Raises:
        TypeError: u not floating, known not bool.
        ValueError: shapes that do not fit.

    Example:
        >>> import torch
        >>> from fasthash.losses import graph_contrastive
        >>> u = torch.tensor([[0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]])
        >>> pseudo = torch.tensor([[1, 0, 0], [0, 1, 1], [0, 1, 1]])
        >>> print(f"{graph_contrastive(u, pseudo, torch.ones(3, 3).bool()):.5f}")
        0.11489
    """
    second, (batch, others) = second_set("graph_contrastive", u, v)
    check_matrix("graph_contrastive", "pseudo", pseudo, batch, others, boolean=False)
    check_matrix("graph_contrastive", "known", known, batch, others)
    squared = squared_distance(u, second) / max(4 * u.shape[1], 1)
    # The floor keeps the gradient of the root finite where two outputs are identical: there it is 0.
    distance = squared.clamp(min=torch.finfo(squared.dtype).eps).sqrt()
    similar = pseudo.to(squared.dtype)
    terms = similar * squared + (1 - similar) * (margin - distance).clamp(min=0).square()
    return masked_mean(terms, known if v is not None else known & off_diagonal(batch, u.device))
