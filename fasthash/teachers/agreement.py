"""How well signs of pairs go with noisy labels around them: what can be said of their purity without a label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from fasthash.teachers.accuracy import ratio
from fasthash.teachers.noisy_pairs import noisy_signs


@dataclass(frozen=True)
class PairAgreement:
    """Shares of pairs i != j, each in [0, 1]; NaN where a share is of nothing.

    Attributes:
        near: of all pairs, those called similar.
        near_agreement: of the pairs of neighbours of those, the ones whose noisy label is +1.
        far: of all pairs, those called dissimilar.
        far_agreement: of the pairs of neighbours of those, the ones whose noisy label is -1.
    """

    near: float
    near_agreement: float
    far: float
    far_agreement: float


def neighbour_agreement(
    signs: Mapping[str, Iterable[Tensor]],
    features: Tensor,
    neighbours: Tensor,
    threshold: float | Tensor,
    *,
    rows: int = 128,
) -> dict[str, PairAgreement]:
    """The noisy labels of N(i) x N(j), for the pairs (i, j) that are called similar, and for those called dissimilar.

    Source: ours. Near items are mostly of one class, so that pairs of neighbours mostly have the true sign of their
    pair, and noise of their own. Of two sets of pairs of one sign, the one whose neighbours agree more is then likely
    to be the purer one. It is a guess: neighbours that err together are counted as right. A pair of neighbours that is
    one item twice counts as dissimilar.

    Args:
        signs: by name, blocks (rows, n) of +1, -1 and 0, in order, as `distil_pairs` gives them.
        features: (n, d), rows of length 1.
        neighbours: int64 (n, k), of each item the others that are near, in any order.
        threshold: of the noisy labels, a cosine distance.
        rows: of a block; the last one may have fewer.

    Raises:
        ValueError: blocks of other shapes, or more or fewer of them.

    Example:
        >>> import torch
        >>> from fasthash.teachers import neighbour_agreement
        >>> features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
        >>> signs = torch.tensor([[1, 1, -1, -1], [1, 1, 0, -1], [-1, 0, 1, 1], [-1, -1, 1, 1]])
        >>> neighbours = torch.tensor([[1], [0], [3], [2]])
        >>> neighbour_agreement({"T": [signs]}, features, neighbours, 0.5)["T"]
        PairAgreement(near=0.3333333333333333, near_agreement=1.0, far=0.5, far_agreement=0.3333333333333333)
    """
    n, k = neighbours.shape
    counts = {name: torch.zeros(4, dtype=torch.int64) for name in signs}
    places = torch.arange(n, device=neighbours.device).split(rows)
    of_blocks = {name: iter(blocks) for name, blocks in signs.items()}
    for block in [*places, None]:
        shape = None if block is None else (len(block), n)
        here = {name: next(blocks, None) for name, blocks in of_blocks.items()}
        for name, labels in here.items():
            got = None if labels is None else tuple(labels.shape)
            if got != shape:
                raise ValueError(f"neighbour_agreement: signs[{name!r}] must have a block {shape}, got {got}")
        if block is not None:
            votes = _votes(features, neighbours, threshold, block)
            for name, labels in here.items():
                counts[name] += _counted(cast(Tensor, labels), votes, block)
    return {name: _shares(count.tolist(), n * (n - 1), k * k) for name, count in counts.items()}


def _shares(counts: list[int], pairs: int, votes: int) -> PairAgreement:
    """From what `_counted` gives, of so many pairs with so many pairs of neighbours each."""
    near, of_near, far, of_far = counts
    return PairAgreement(
        near=ratio(near, pairs),
        near_agreement=ratio(of_near, votes * near),
        far=ratio(far, pairs),
        far_agreement=ratio(votes * far - of_far, votes * far),
    )


def _counted(signs: Tensor, votes: Tensor, block: Tensor) -> Tensor:
    """Near pairs, votes of these, far pairs, votes of these: int64 (4,)."""
    near, far = signs > 0, signs < 0
    for mask in (near, far):
        mask[torch.arange(len(block)), block] = False
    return torch.stack([near.sum(), votes[near].sum(), far.sum(), votes[far].sum()]).cpu()


def _votes(features: Tensor, neighbours: Tensor, threshold: float | Tensor, block: Tensor) -> Tensor:
    """Similar pairs in N(i) x N(j), int32 (rows, n)."""
    of_rows = torch.zeros(len(features), len(block), dtype=torch.int32, device=features.device)
    for near in neighbours[block].T:
        similar = noisy_signs(features, features[near], threshold) > 0
        similar[near, torch.arange(len(near), device=near.device)] = False
        of_rows += similar
    votes = torch.zeros_like(of_rows)
    for near in neighbours.T:
        votes += of_rows[near]
    return votes.T
