"""Losses on all pairs of many items, a block of rows at a time: memory grows with the items, not with the pairs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from fasthash.losses._pairs import at_least_float32
from fasthash.losses.similarity import label_similarity


def pairs_in_blocks(
    loss: Callable[..., Tensor],
    u: Tensor,
    labels: Tensor,
    v: Tensor | None = None,
    v_labels: Tensor | None = None,
    *,
    rows: int = 1024,
    **options: float,
) -> Tensor:
    """A loss on all pairs of labelled items, equal to `loss(u, *label_similarity(labels))` but in blocks of rows.

    Each block is computed again in the backward: no matrix of all pairs is ever held, only rows * m values at a time.

    Args:
        loss: a mean over the pairs that count, called as `loss(u, similarity, v, mask=..., **options)`:
            `pairwise_likelihood`, `dsh` or `squared_pairwise`; not `balanced_likelihood`, which is two means.
        u: outputs (n, K), floating.
        labels: class ids (n,), -1 = unlabelled, or multi-hot (n, classes), an all-zero row = unlabelled.
        v: second set (m, K); None = u itself without i = j.
        v_labels: its labels.
        rows: of a block.
        **options: of the loss.

    Returns:
        The loss, a scalar in float32 or float64; 0 without a pair.

    Raises:
        TypeError: as the loss.
        ValueError: as the loss, rows below 1, v without labels or the reverse, or labels of another length.

    Example:
        >>> import torch
        >>> from fasthash.losses import pairs_in_blocks, pairwise_likelihood
        >>> u = torch.tensor([[0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]])
        >>> print(f"{pairs_in_blocks(pairwise_likelihood, u, torch.tensor([0, 0, 1]), rows=2):.5f}")
        0.65408
    """
    if rows < 1:
        raise ValueError(f"pairs_in_blocks: rows must be >= 1, got {rows}")
    if (v is None) != (v_labels is None):
        raise ValueError("pairs_in_blocks: v and v_labels must come together, got one of them")
    second, second_labels = (u, labels) if v is None or v_labels is None else (v, v_labels)
    for name, x, own in (("labels", u, labels), ("v_labels", second, second_labels)):
        if len(own) != len(x):
            raise ValueError(f"pairs_in_blocks: {name} must have {len(x)} rows, got {len(own)}")

    def block(x: Tensor, other: Tensor, start: int) -> tuple[Tensor, Tensor]:
        similarity, known = label_similarity(labels[start : start + rows], second_labels)
        if v is None:
            known[:, start : start + len(x)].fill_diagonal_(False)
        pairs = known.sum()
        return loss(x, similarity, other, mask=known, **options) * pairs, pairs

    # A start that back-propagates, also without a block.
    total, pairs = 0 * at_least_float32(u).sum(), second_labels.new_zeros((), dtype=torch.int64)
    for start in range(0, len(u), rows):
        part, counted = checkpoint(block, u[start : start + rows], second, start, use_reentrant=False)
        total, pairs = total + part, pairs + counted
    return total / pairs.clamp(min=1)
