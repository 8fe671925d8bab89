"""Similarities of some items to all others as an operator, from sums over sets of labels in place of pairs.

With class ids or few distinct label sets, S is low in rank: a product with it costs what the sets cost, and the m x n
matrix is never formed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fasthash.losses.similarity import check_labels
from fasthash.ops import label_overlap, pack

PAIRS = 1 << 22  # of label sets, compared at once


@dataclass(frozen=True)
class LabelSets:
    """Items grouped by their labels: n items, D distinct label sets. Sums over items come in float64.

    Attributes:
        group: int64 (n,), the set of each item.
        counts: int64 (D,), the items of each set.
        members: the sets: class ids int64 (D,), -1 = none; or packed multi-hot rows, uint8 (D, bytes).

    Example:
        >>> import torch
        >>> from fasthash.losses import LabelSets
        >>> sets = LabelSets.of(torch.tensor([[1, 0, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0]]))
        >>> sets.group.tolist(), sets.counts.tolist()
        ([1, 2, 0, 1], [1, 2, 1])
        >>> sets.similar(sets.counts[:, None])[sets.group, 0].tolist()
        [3.0, 3.0, 1.0, 3.0]
    """

    group: Tensor
    counts: Tensor
    members: Tensor

    @classmethod
    def of(cls, labels: Tensor) -> LabelSets:
        """The sets of these labels: class ids (n,), -1 = none; or multi-hot (n, classes).

        Raises:
            TypeError: class ids that are not integers.
            ValueError: labels of another shape.
        """
        check_labels("LabelSets.of", "labels", labels)
        rows = labels.clamp(min=-1) if labels.ndim == 1 else pack(labels > 0)
        members, group, counts = rows.unique(dim=0, return_inverse=True, return_counts=True)
        return cls(group, counts, members)

    def totals(self, values: Tensor, index: Tensor | None = None) -> Tensor:
        """Sums of the values (m, k) of items, all of them or those at these places (m,), over each set: (D, k)."""
        group = self.group if index is None else self.group[index]
        sums = torch.zeros(len(self.counts), values.shape[1], dtype=torch.float64, device=values.device)
        for place, part in zip(group.split(1 << 16), values.split(1 << 16), strict=True):
            sums.index_add_(0, place, part.double())
        return sums

    def similar(self, values: Tensor, *, rows: Tensor | None = None, columns: Tensor | None = None) -> Tensor:
        """For each set the sum of the values (D, k) of the sets that share a label with it: (D, k).

        Args:
            values: of the sets, or of those that `columns` names.
            rows: sets that are asked for, int64; None = all.
            columns: sets that have values, int64; None = all.
        """
        wanted = self.members if rows is None else self.members[rows]
        others = self.members if columns is None else self.members[columns]
        values = values.double()
        if wanted.ndim == 1 and rows is columns is None:
            return values * (wanted >= 0)[:, None]  # a class shares its label with itself alone
        parts = []
        for block in wanted.split(max(PAIRS // max(len(others), 1), 1)):
            if block.ndim == 1:
                shared = (block[:, None] == others[None, :]) & (block >= 0)[:, None]
            else:
                shared = label_overlap(block, others) > 0
            parts.append(shared.double() @ values)
        return torch.cat(parts) if parts else values[:0]


@dataclass(frozen=True)
class SimilarityBlock:
    """S, m x n: 1 where one of m items shares a label with one of all n, -r elsewhere; an operator, never a matrix.

    r = similar pairs / dissimilar pairs of the whole block, so that S sums to 0. Source: the authors' release of ADSH,
    Jiang and Li, "Asymmetric Deep Supervised Hashing", AAAI 2018.

    Attributes:
        sets: labels of all items.
        index: int64 (m,), places of the m items among them.
        ratio: r, float64 ().

    Example:
        >>> import torch
        >>> from fasthash.losses import LabelSets, SimilarityBlock
        >>> block = SimilarityBlock.of(LabelSets.of(torch.tensor([0, 0, 1])), torch.tensor([0]))
        >>> float(block.ratio), block.times(torch.tensor([[1, 1], [1, -1], [-1, -1]])).tolist()
        (2.0, [[4.0, 2.0]])
    """

    sets: LabelSets
    index: Tensor
    ratio: Tensor

    @classmethod
    def of(cls, sets: LabelSets, index: Tensor) -> SimilarityBlock:
        """The block of the items at these places.

        Raises:
            ValueError: all pairs are similar, or none is.
        """
        similar = _similar_counts(sets, index).sum()
        dissimilar = len(index) * len(sets.group) - similar
        if not similar or not dissimilar:
            raise ValueError(
                "SimilarityBlock: labels must leave similar and dissimilar pairs, "
                f"got {int(similar)} and {int(dissimilar)}"
            )
        return cls(sets, index, similar / dissimilar)

    def times(self, v: Tensor) -> Tensor:
        """S V for V (n, k): float64 (m, k)."""
        sums = self.sets.totals(v)
        present, place = self.sets.group[self.index].unique(return_inverse=True)
        near: Tensor = self.sets.similar(sums, rows=present)[place]
        return (1 + self.ratio) * near - self.ratio * sums.sum(0)

    def transposed_times(self, u: Tensor) -> Tensor:
        """S' U for U (m, k): float64 (D, k), a row for each label set; that of item j is row `sets.group[j]`."""
        sums = self.sets.totals(u, self.index)
        present = self.sets.group[self.index].unique()
        near = self.sets.similar(sums[present], columns=present)
        return (1 + self.ratio) * near - self.ratio * sums.sum(0)

    def squared_norms(self) -> Tensor:
        """The sum of s_ij^2 over j: float64 (m,)."""
        similar = _similar_counts(self.sets, self.index)
        return similar + (len(self.sets.group) - similar) * self.ratio.square()


def _similar_counts(sets: LabelSets, index: Tensor) -> Tensor:
    """How many of all items share a label with each of these: float64 (m,)."""
    present, place = sets.group[index].unique(return_inverse=True)
    counts: Tensor = sets.similar(sets.counts[:, None], rows=present)[place, 0]
    return counts
