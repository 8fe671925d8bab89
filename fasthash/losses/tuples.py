"""Which tuples a loss is computed on: drawn here, without gradient, apart from the values.

A tuple is a row of places in the batch, int64; a row of -1 is no tuple, so that shapes never depend on what was drawn.
All numbers come from the generator that is passed in, on the device of the masks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fasthash.losses._pairs import check_matrix
from fasthash.losses.similarity import label_similarity


def draw_columns(allowed: Tensor, *, draws: int | None = None, generator: torch.Generator | None = None) -> Tensor:
    """Columns of each row, uniform over those that are allowed, with replacement.

    Args:
        allowed: (n, m) bool.
        draws: how many a row; None = one, without a dimension for it.
        generator: where the numbers come from.

    Returns:
        int64 (n, draws), or (n,) for None; -1 in rows that allow nothing.

    Raises:
        TypeError: allowed not bool.
        ValueError: allowed not a matrix, draws below 1.

    Example:
        >>> import torch
        >>> from fasthash.losses import draw_columns
        >>> draw_columns(torch.tensor([[0, 1, 0], [0, 0, 1], [0, 0, 0]]).bool()).tolist()
        [1, 2, -1]
    """
    if allowed.ndim != 2:
        raise ValueError(f"draw_columns: allowed must have shape (n, m), got {tuple(allowed.shape)}")
    if allowed.dtype != torch.bool:
        raise TypeError(f"draw_columns: allowed must be torch.bool, got {allowed.dtype}")
    if draws is not None and draws < 1:
        raise ValueError(f"draw_columns: draws must be >= 1, got {draws}")
    # The r-th allowed column is the first at which the running count has reached r.
    running = allowed.cumsum(1, dtype=torch.int32)
    count = running[:, -1:] if allowed.shape[1] else running.new_zeros(len(allowed), 1)
    numbers = torch.rand((len(allowed), draws or 1), generator=generator, device=allowed.device)
    # A number just below 1 times the count may round up to it.
    rank = torch.minimum((numbers * count).to(torch.int32), count - 1) + 1
    columns = torch.searchsorted(running, rank).masked_fill(count == 0, -1)
    return columns if draws is not None else columns[:, 0]


def draw_triplets(
    similarity: Tensor, known: Tensor, *, draws: int = 10, generator: torch.Generator | None = None
) -> Tensor:
    """One triplet (anchor, positive, negative) of each item, by rejection.

    The positive is uniform over the items that share a label with the anchor, the anchor among them; the negative over
    those that share none; accepted when the two share none either, at most `draws` times.

    Source: the authors' release of SSDH (Zhang and Peng, TCSVT 2017).

    Args:
        similarity: (n, n) bool, pairs that share a label, as `label_similarity` gives it.
        known: (n, n) bool, pairs with two labels.
        draws: trials an anchor.
        generator: where the numbers come from.

    Returns:
        int64 (n, 3); -1 where an anchor found no triplet.

    Raises:
        TypeError: masks not bool.
        ValueError: masks of other shapes, draws below 1.

    Example:
        >>> import torch
        >>> from fasthash.losses import draw_triplets, label_similarity
        >>> labels = torch.tensor([5, 7, -1])
        >>> draw_triplets(*label_similarity(labels)).tolist()
        [[0, 0, 1], [1, 1, 0], [-1, -1, -1]]
    """
    items = similarity.shape[0]
    check_matrix("draw_triplets", "similarity", similarity, items, items)
    check_matrix("draw_triplets", "known", known, items, items)
    both = torch.cat([similarity, known & ~similarity])
    drawn = draw_columns(both, draws=draws, generator=generator).view(2, items, draws)
    positive, negative = drawn
    # A place of -1 reads the last row, which the first condition makes no matter.
    accepted = ((positive | negative) >= 0) & ~similarity[positive, negative]
    # Weights that fall make the first accepted draw the largest: argmax names no order among equals.
    weights = torch.arange(draws, 0, -1, device=accepted.device)
    first = (accepted * weights).argmax(1, keepdim=True)
    anchors = torch.arange(items, device=similarity.device)[None, :, None]
    triplets = torch.cat([anchors, drawn.gather(2, first.expand(2, items, 1))])[:, :, 0].T
    return triplets.masked_fill(~accepted.any(1, keepdim=True), -1)


def draw_by_label(
    labels: Tensor,
    pool: Tensor,
    *,
    similar: bool,
    draws: int = 1,
    rows: int = 1024,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Items of a pool that share a label with each query, or that share none, uniform, with replacement.

    Items of equal labels are counted together: memory is that of `rows` times the different labels of the pool, never
    of queries times pool.

    Args:
        labels: of the queries: class ids (n,), -1 = unlabelled, or multi-hot (n, classes), all-zero rows = unlabelled.
        pool: labels of the pool, (m,) or (m, classes), of the same kind.
        similar: True = share a label, False = both are labelled and share none.
        draws: how many a query.
        rows: queries at a time.
        generator: where the numbers come from.

    Returns:
        int64 (n, draws), places in the pool; -1 in rows that have none.

    Raises:
        TypeError, ValueError: as `label_similarity`; draws below 1.

    Example:
        >>> import torch
        >>> from fasthash.losses import draw_by_label
        >>> draw_by_label(torch.tensor([5, 7, -1]), torch.tensor([7, -1, 5]), similar=True, draws=2).tolist()
        [[2, 2], [0, 0], [-1, -1]]
    """
    if draws < 1:
        raise ValueError(f"draw_by_label: draws must be >= 1, got {draws}")
    kinds, kind_of, sizes = pool.unique(dim=0, return_inverse=True, return_counts=True)
    by_kind = kind_of.argsort(stable=True)
    first = sizes.cumsum(0) - sizes
    found = []
    for block in labels.split(rows):
        shared, known = label_similarity(block, kinds)
        running = ((shared if similar else known & ~shared) * sizes).cumsum(1)
        total = running[:, -1:] if len(kinds) else running.new_zeros(len(block), 1)
        numbers = torch.rand((len(block), draws), generator=generator, device=labels.device, dtype=torch.float64)
        # The r-th allowed item, from 1: of which kind it is, and which of that kind.
        rank = torch.minimum((numbers * total).to(torch.int64), total - 1) + 1
        kind = torch.searchsorted(running, rank).clamp(max=max(len(kinds) - 1, 0))
        if not len(kinds):
            found.append(torch.full_like(rank, -1))
            continue
        within = rank - 1 - (running.gather(1, kind) - sizes[kind])
        place = by_kind[(first[kind] + within).clamp(0, len(pool) - 1)]
        found.append(place.masked_fill(total == 0, -1))
    return torch.cat(found) if found else torch.empty((0, draws), dtype=torch.int64, device=labels.device)


def draw_across(
    labels: Tensor,
    queries: Tensor,
    pools: Sequence[Tensor],
    *,
    draws: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Triplets across modalities: of each query and each other modality one item with a common label, one without.

    The query itself is among its positives where the other modality has it. A modality that has no positive or no
    negative for a query gives it neither.

    Source: the triplets of SKDCH, Su, Gu, Ren, Fu and Zhao, TMM 2021, in the form of the authors' release; more than
    two modalities are reconstructed.

    Args:
        labels: of all items, class ids (n,) or multi-hot (n, classes).
        queries: int64 (q,), places of items that have the modality that asks.
        pools: int64 (m,), for each other modality the places of the items that have it and may be drawn.
        draws: triplets a query.
        generator: where the numbers come from.

    Returns:
        int64 (q * draws, 1 + 2 * len(pools)): query, positives by modality, negatives by modality; -1 = none.

    Raises:
        TypeError, ValueError: as `draw_by_label`.

    Example:
        >>> import torch
        >>> from fasthash.losses import draw_across
        >>> draw_across(torch.tensor([0, 1, 1]), torch.tensor([0, 2]), [torch.tensor([0, 1])]).tolist()
        [[0, 0, 1], [2, 1, 0]]
    """
    drawn = torch.empty((2, len(pools), len(queries), draws), dtype=torch.int64, device=labels.device)
    for m, pool in enumerate(pools):
        for side, similar in enumerate((True, False)):
            places = draw_by_label(labels[queries], labels[pool], similar=similar, draws=draws, generator=generator)
            drawn[side, m] = pool[places.clamp(min=0)].masked_fill_(places < 0, -1) if len(pool) else -1
    drawn.masked_fill_((drawn < 0).any(0), -1)
    return torch.cat([queries.repeat_interleave(draws)[:, None], drawn.flatten(2).flatten(0, 1).T], 1)


def draw_pairs(near: Tensor, far: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """One near and one far item of each item's lists: (anchor, near, far).

    Source: the authors' release of SSDH (Zhang and Peng, TCSVT 2017).

    Args:
        near: int64 (n, k), places; -1 = none.
        far: int64 (n, l), places; -1 = none.
        generator: where the numbers come from.

    Returns:
        int64 (n, 3); -1 where a -1 was drawn.

    Raises:
        ValueError: lists of other shapes, or without a column.

    Example:
        >>> import torch
        >>> from fasthash.losses import draw_pairs
        >>> draw_pairs(torch.tensor([[0], [1]]), torch.tensor([[1], [-1]])).tolist()
        [[0, 0, 1], [-1, -1, -1]]
    """
    if near.ndim != 2 or far.ndim != 2 or len(near) != len(far) or not (near.shape[1] and far.shape[1]):
        raise ValueError(
            f"draw_pairs: near and far must have shapes (n, k) and (n, l), got {tuple(near.shape)}, {tuple(far.shape)}"
        )
    columns = [
        torch.randint(side.shape[1], (len(near), 1), generator=generator, device=near.device) for side in (near, far)
    ]
    anchors = torch.arange(len(near), device=near.device)[:, None]
    pairs = torch.cat([anchors, near.gather(1, columns[0]), far.gather(1, columns[1])], 1)
    return pairs.masked_fill_((pairs < 0).any(1, keepdim=True), -1)
