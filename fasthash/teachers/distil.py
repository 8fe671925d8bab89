"""Pairs whose Bayes-optimal label follows from a network's probability and from local bounds of label noise.

Source: DistillHash, Yang, Liu, Deng, Liu and Tao, CVPR 2019, with the inequalities of the authors' release. Theta_ij =
h_i.h_j / 2 of a network that has learnt noisy pair labels, so that sigmoid(Theta) estimates P(noisy label = +1):

    lo_ij = min of Theta over Np(i) x Np(j)     r_neg, the flip rate of negatives, is at most sigmoid(lo)
    hi_ij = max of Theta over Nn(i) x Nn(j)     r_pos, that of positives, at most 1 - sigmoid(hi)
    T_ij  = +1 if sigmoid(Theta) > (1 + r_neg) / 2,  -1 if sigmoid(Theta) < (1 - r_pos) / 2,  else 0 = dropped

In logits, where nothing saturates: +1 iff Theta > log(1 + 2 e^lo), -1 iff -Theta > log(1 + 2 e^-hi). (The first says
1 + e^Theta > 2 (1 + e^lo).) Both sides are compared after a softplus, of lo + ln 2 and of ln 2 - hi.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from fasthash.ops import hamming_distance

_GRID = 2.0**20
_PIECE = 512  # items at once, by the rows of a block
_COLUMNS = 64  # the same with order > 1, where each is k values


def distil_pairs(
    outputs: Tensor,
    neighbours: Tensor,
    positive: tuple[int, int] = (2, 22),
    negative: tuple[int, int] = (0, 20),
    *,
    bits: int | None = None,
    calibration: tuple[float, float] = (1.0, 0.0),
    negative_calibration: tuple[float, float] | None = None,
    order: int = 1,
    rows: int = 128,
) -> Iterator[Tensor]:
    """Distilled labels of all pairs, a block of rows at a time; see the head of this module for the rule.

    The minimum over pairs of neighbours is one over rows and then one over columns: 2 k values a pair in place of k^2.
    Theta is exact: outputs are rounded to multiples of 2^-20, whose products and sums float64 holds, and the result is
    rounded once, to float32. So T is symmetric, and neither block sizes nor the device change it. Packed codes are
    compared by Hamming distance, in whole numbers.

    Args:
        outputs: h (n, K) in [-1, 1], floating; or packed codes, uint8 (n, ceil(bits / 8)).
        neighbours: int64 (n, ranks), as `neighbour_table` gives them.
        positive: first rank and end of the neighbours Np. The default is the authors'.
        negative: first rank and end of the neighbours Nn.
        bits: width of packed codes; None with h.
        calibration: a > 0 and b of a Theta + b, which stands in the place of Theta.
        negative_calibration: the same for what decides about -1; None = `calibration`. A pair of both signs is dropped.
        order: take the `order`-th smallest (largest) of the pairs in place of the minimum (maximum), which are k^2
            values a pair.
        rows: of a block; n * rows values of 4 bytes are held a few times.

    Yields:
        int8 (rows or fewer, n) of +1, -1 and 0, in order.

    Raises:
        TypeError: outputs neither floating nor uint8, or neighbours that are not int64.
        ValueError: shapes that do not fit, ranks or places out of range, a not above 0, an order out of range, bits
            with h or codes without, or rows below 1.

    Example:
        >>> import torch
        >>> from fasthash import pack
        >>> from fasthash.teachers import distil_pairs
        >>> codes = pack(torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1], [1, 1, 0, 0]]))
        >>> table = torch.tensor([[0, 1, 4], [1, 0, 4], [2, 3, 4], [3, 2, 0], [4, 1, 0]])
        >>> torch.cat(list(distil_pairs(codes, table, (1, 3), (0, 2), bits=4))).tolist()
        [[1, 0, -1, 0, 0], [0, 1, 0, -1, 0], [-1, 0, 1, 1, 0], [0, -1, 1, 1, 0], [0, 0, 0, 0, 1]]
    """
    both = (calibration, calibration if negative_calibration is None else negative_calibration)
    _check(outputs, neighbours, positive, negative, bits, both, order, rows)
    rule = _of_codes(outputs, bits, both) if bits else _of_outputs(outputs, both)
    return _blocks(rule, neighbours, positive, negative, order, rows)


def _blocks(
    rule: _Rule, neighbours: Tensor, positive: tuple[int, int], negative: tuple[int, int], order: int, rows: int
) -> Iterator[Tensor]:
    places = torch.arange(len(neighbours), device=neighbours.device)
    for block in places.split(rows):
        if order == 1:
            labels = _separated(rule, neighbours, positive, negative, block)
        else:
            last = (negative[1] - negative[0]) ** 2 + 1 - order
            low = rule.settle(_ordered(rule, neighbours[:, slice(*positive)], block, order), 0)
            high = rule.settle(_ordered(rule, neighbours[:, slice(*negative)], block, last), 1)
            labels = rule.decide(rule.similar(places, block), low, high)
        yield labels.T.contiguous()


def _separated(
    rule: _Rule, neighbours: Tensor, positive: tuple[int, int], negative: tuple[int, int], block: Tensor
) -> Tensor:
    """Labels (n, rows) of a block of rows, by extremes over its rows' neighbours, then over those of all items.

    Blocks lie transposed, since rows of memory are gathered many times faster than columns, and are worked on in pieces
    that stay in a core's cache.
    """
    pieces = torch.arange(len(neighbours), device=neighbours.device).split(_PIECE)
    lows, highs = [], []
    for items in pieces:
        low = high = None
        for rank in range(min(positive[0], negative[0]), max(positive[1], negative[1])):
            values = rule.similar(items, neighbours[block, rank])
            if positive[0] <= rank < positive[1]:
                low = values.clone() if low is None else torch.minimum(low, values, out=low)
            if negative[0] <= rank < negative[1]:
                high = values if high is None else torch.maximum(high, values, out=high)
        assert low is not None
        assert high is not None
        lows.append(rule.settle(low, 0))
        highs.append(rule.settle(high, 1))
    of_rows, labels = (torch.cat(lows), torch.cat(highs)), []
    for items in pieces:
        low = _gathered(of_rows[0], neighbours[items, slice(*positive)], torch.minimum)
        high = _gathered(of_rows[1], neighbours[items, slice(*negative)], torch.maximum)
        labels.append(rule.decide(rule.similar(items, block), low, high))
    return torch.cat(labels)


def _gathered(values: Tensor, neighbours: Tensor, pick: Callable[..., Tensor]) -> Tensor:
    """The extreme (items, rows) of values (n, rows) over the neighbours (items, k) of each item."""
    found = values[neighbours[:, 0]]
    for rank in range(1, neighbours.shape[1]):
        pick(found, values[neighbours[:, rank]], out=found)
    return found


def _ordered(rule: _Rule, neighbours: Tensor, block: Tensor, order: int) -> Tensor:
    """(n, rows): the `order`-th smallest over pairs of neighbours, which does not separate into rows and columns."""
    k, parts = neighbours.shape[1], []
    for near in neighbours.split(_COLUMNS):
        pairs = rule.similar(near.flatten(), neighbours[block].flatten()).view(len(near), k, len(block), k)
        parts.append(pairs.transpose(1, 2).flatten(2).kthvalue(order).values)
    return torch.cat(parts)


class _Rule(NamedTuple):
    """How pairs are compared.

    Attributes:
        similar: places (n,) and (m,) -> a matrix (n, m) that grows with Theta, exact.
        settle: such a matrix, and 0 or 1 for +1 or -1 -> what it is compared by; the order stays, so that extremes may
            come before.
        decide: of pairs as `similar` gives them, of settled extremes low and high -> int8 labels.
    """

    similar: Callable[[Tensor, Tensor], Tensor]
    settle: Callable[[Tensor, int], Tensor]
    decide: Callable[[Tensor, Tensor, Tensor], Tensor]


def _of_outputs(outputs: Tensor, calibrations: tuple[tuple[float, float], tuple[float, float]]) -> _Rule:
    whole = (outputs.double() * _GRID).round()

    def similar(items: Tensor, rows: Tensor) -> Tensor:
        with torch.autocast(outputs.device.type, enabled=False):
            return whole[items] @ whole[rows].T

    def settle(products: Tensor, side: int) -> Tensor:
        slope, offset = calibrations[side]
        return products.mul(slope / (2 * _GRID * _GRID)).add_(offset).float()

    def decide(products: Tensor, low: Tensor, high: Tensor) -> Tensor:
        kept = (settle(products, 0) > softplus(low + math.log(2))).to(torch.int8)
        return kept.sub_((-settle(products, 1) > softplus(math.log(2) - high)).to(torch.int8))

    return _Rule(similar, settle, decide)


def _of_codes(codes: Tensor, bits: int, calibrations: tuple[tuple[float, float], tuple[float, float]]) -> _Rule:
    largest, smallest = (distance_tables(bits, c)[side].to(codes.device) for side, c in enumerate(calibrations))

    def similar(items: Tensor, rows: Tensor) -> Tensor:
        return -hamming_distance(codes[items], codes[rows])

    def decide(products: Tensor, low: Tensor, high: Tensor) -> Tensor:
        kept = (-products <= largest[-low]).to(torch.int8)
        return kept.sub_((-products >= smallest[-high]).to(torch.int8))

    return _Rule(similar, lambda products, side: products, decide)


def distance_tables(bits: int, calibration: tuple[float, float] = (1.0, 0.0)) -> tuple[Tensor, Tensor]:
    """The rule on codes of -1 and +1, where Theta = bits / 2 - d: T = +1 iff d <= P[dmax], -1 iff d >= Q[dmin].

    dmax and dmin are the largest and smallest distance over the pairs of neighbours.

    Args:
        bits: of the codes.
        calibration: a > 0 and b of a Theta + b.

    Returns:
        P and Q, int32 (bits + 1,); P is -1 and Q is bits + 1 where no distance will do.

    Example:
        >>> from fasthash.teachers.distil import distance_tables
        >>> [table.tolist() for table in distance_tables(4)]
        [[-1, 0, 0, 1, 1], [3, 3, 4, 4, 5]]
    """
    slope, offset = calibration
    theta = slope * (bits / 2 - torch.arange(bits + 1, dtype=torch.float64)) + offset
    # By the distance of a pair, then by that of the neighbours.
    kept = theta[:, None] > softplus(theta + math.log(2))
    cut = -theta[:, None] > softplus(math.log(2) - theta)
    return (kept.sum(0) - 1).int(), (bits + 1 - cut.sum(0)).int()


def _check(
    outputs: Tensor,
    neighbours: Tensor,
    positive: tuple[int, int],
    negative: tuple[int, int],
    bits: int | None,
    calibrations: tuple[tuple[float, float], tuple[float, float]],
    order: int,
    rows: int,
) -> None:
    if not outputs.is_floating_point() and outputs.dtype != torch.uint8:
        raise TypeError(f"distil_pairs: outputs must be floating, or uint8 codes, got {outputs.dtype}")
    if outputs.ndim != 2:
        raise ValueError(f"distil_pairs: outputs must have shape (items, bits), got {tuple(outputs.shape)}")
    if (bits is None) != outputs.is_floating_point():
        raise ValueError(f"distil_pairs: bits must be given with packed codes and with them alone, got {bits}")
    n = len(outputs)
    if neighbours.dtype != torch.int64:
        raise TypeError(f"distil_pairs: neighbours must be torch.int64, got {neighbours.dtype}")
    if neighbours.ndim != 2 or len(neighbours) != n:
        raise ValueError(f"distil_pairs: neighbours must have shape ({n}, ranks), got {tuple(neighbours.shape)}")
    if neighbours.numel() and not 0 <= int(neighbours.min()) <= int(neighbours.max()) < n:
        raise ValueError(
            f"distil_pairs: neighbours must name places from 0 to {n - 1}, got {int(neighbours.min())} to "
            f"{int(neighbours.max())}"
        )
    for name, (first, end) in (("positive", positive), ("negative", negative)):
        if not 0 <= first < end <= neighbours.shape[1]:
            raise ValueError(
                f"distil_pairs: {name} must lie within the {neighbours.shape[1]} ranks of neighbours, "
                f"got {(first, end)}"
            )
    most = min(end - first for first, end in (positive, negative)) ** 2
    if not 1 <= order <= most:
        raise ValueError(f"distil_pairs: order must lie in [1, {most}], got {order}")
    for name, (slope, _) in zip(("calibration", "negative_calibration"), calibrations, strict=True):
        if not slope > 0:
            raise ValueError(f"distil_pairs: {name} must have a slope > 0, got {slope}")
    if rows < 1:
        raise ValueError(f"distil_pairs: rows must be >= 1, got {rows}")
