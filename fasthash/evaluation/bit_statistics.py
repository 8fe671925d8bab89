"""What the bits of a set of codes look like: how often each is set, how many codes are different."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fasthash.evaluation.checks import Checked, row_blocks, to_numpy
from fasthash.evaluation.inputs import row_words
from fasthash.evaluation.merge import row_hashes

_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio, so that near hashes fall to different shares
_HASHES = 1 << 20  # hashes compared at a time, so that memory does not grow with the database: 8 MiB


@dataclass(frozen=True, eq=False)
class BitStatistics:
    """Statistics of the bits of n codes; made by `bit_statistics`.

    Attributes:
        codes: n.
        mean: (bits,) float64, share of the codes in which each bit is set; NaN without codes.
        distinct: number of different codes.
        largest_share: share of the most frequent code; NaN without codes.
    """

    codes: int
    mean: NDArray[np.float64]
    distinct: int
    largest_share: float

    @property
    def constant(self) -> NDArray[np.int64]:
        """Positions of the bits that are equal in all codes."""
        return np.flatnonzero((self.mean == 0) | (self.mean == 1))

    @property
    def duplicate_rate(self) -> float:
        """Share of the codes that repeat another one: 1 - distinct / codes."""
        return 1 - self.distinct / self.codes if self.codes else float("nan")


def bit_statistics(codes: Checked, bits: int) -> BitStatistics:
    """Statistics of packed codes (n, bytes), uint8, whose first ``bits`` bits count.

    Codes of more than 8 bytes are compared by 64-bit hashes.

    Example:
        >>> statistics = bit_statistics(np.array([[0b10000000], [0b11000000], [0b11000000]], dtype=np.uint8), 2)
        >>> statistics.mean.round(2).tolist(), statistics.constant.tolist(), statistics.distinct
        ([1.0, 0.67], [0], 2)
    """
    values = np.zeros((codes.shape[1], 256), dtype=np.int64)  # how often each byte has each value
    for block in row_blocks(codes):
        for times, column in zip(values, to_numpy(block).T, strict=True):
            times += np.bincount(column, minlength=256)
    bits_of_value = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    total = (values @ bits_of_value).ravel()[:bits]
    distinct, largest = _distinct(codes)
    count = len(codes)
    mean = total / count if count else np.full(bits, np.nan)
    return BitStatistics(count, mean, distinct, largest / count if count else float("nan"))


def _distinct(codes: Checked) -> tuple[int, int]:
    """Different codes, and how often the most frequent one occurs; looked at share by share of the hashes."""
    shares = -(-len(codes) // _HASHES)
    distinct = largest = 0
    for share in range(shares):
        hashes = []
        for block in row_blocks(codes):
            own = row_hashes(row_words(to_numpy(block)))
            hashes.append(own if shares == 1 else own[(own * _SPREAD >> np.uint64(32)) % np.uint64(shares) == share])
        counts = np.unique(np.concatenate(hashes), return_counts=True)[1]
        distinct += len(counts)
        largest = max(largest, int(counts.max(initial=0)))
    return distinct, largest
