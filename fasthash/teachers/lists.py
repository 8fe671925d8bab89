"""Near and far items of each item of a batch, by real vectors or by packed codes: SSDH's online graph.

Source: SSDH, Zhang and Peng, "SSDH: Semi-supervised Deep Hashing for Large Scale Image Retrieval", TCSVT 2017, in the
form of the authors' release: the k nearest items (rank 0 is the item itself), and a window of ranks near the far end
that leaves out the very farthest.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from fasthash.ops import hamming_topk, pack
from fasthash.teachers._origin import central_item


def near_count(items: int, k: int = 8) -> int:
    """Length of the near list: min(k, items // 3), at least 1. Source: the authors' release of SSDH."""
    return max(1, min(k, items // 3))


def far_window(items: int, bits: int, window: tuple[int, int] | None = None) -> tuple[int, int]:
    """Start and length of the window of far ranks, within `items` ranks.

    Source: the authors' release of SSDH for 128 items (120 and 4 at 12 bits, else 114 and 10); for other numbers of
    items its second window is scaled, start round(114 n / 128), length max(1, round(10 n / 128)): reconstructed.

    Args:
        items: of the batch.
        bits: of the codes.
        window: start and length in place of the rule; cut off at the last rank.

    Returns:
        Start, from 0, and length.

    Example:
        >>> from fasthash.teachers import far_window
        >>> far_window(128, 12), far_window(128, 48), far_window(256, 48)
        ((120, 4), (114, 10), (228, 20))
    """
    if window is None:
        released = items == 128 and bits == 12
        window = (120, 4) if released else (round(114 * items / 128), max(1, round(10 * items / 128)))
    start = max(0, min(window[0], items - 1))
    return start, max(1, min(window[1], items - start))


def near_far_lists(
    features: Tensor, k: int, window: tuple[int, int], *, exclude_self: bool = False
) -> tuple[Tensor, Tensor]:
    """Near and far lists by squared Euclidean distance, then by lower index; rank 0 is the item itself.

    Distances are computed in float32, of float64 vectors in float64, and compared as float32.

    Args:
        features: (n, d), floating; no gradient flows.
        k: length of the near list.
        window: start and length of the far window, ranks counted with the item itself; as `far_window` gives it.
        exclude_self: leave the item out of its own near list.

    Returns:
        near int64 (n, k) and far int64 (n, length), places in the batch by rank; -1 where there are too few items.

    Raises:
        TypeError: features not floating.
        ValueError: features not (n, d), k below 1, or a window outside the ranks.

    Example:
        >>> import torch
        >>> from fasthash.teachers import near_far_lists
        >>> near, far = near_far_lists(torch.tensor([[0.0], [1.0], [3.0]]), 2, window=(2, 1))
        >>> near.tolist(), far.tolist()
        ([[0, 1], [1, 0], [2, 1]], [[2], [2], [0]])
    """
    if not features.is_floating_point():
        raise TypeError(f"near_far_lists: features must be a floating tensor, got {features.dtype}")
    if features.ndim != 2:
        raise ValueError(f"near_far_lists: features must have shape (n, d), got {tuple(features.shape)}")
    n = len(features)
    _check_lists("near_far_lists", n, k, window)
    with torch.no_grad(), torch.autocast(features.device.type, enabled=False):
        origin = central_item(features.detach())
        x = features.detach().to(origin.dtype) - origin
        norms = x.square().sum(1)
        distance = torch.addmm(norms[None, :], x, x.T, alpha=-2).add_(norms[:, None]).clamp_(min=0).float()
        # Bits of floats from 0 on ascend with the floats: with the place below them, one key orders both. The item
        # itself stands before all, whatever its distance is rounded to.
        places = torch.arange(n, device=x.device)
        keys = distance.view(torch.int32).to(torch.int64).bitwise_left_shift_(32).bitwise_or_(places)
        keys.diagonal().sub_(1 << 62)
        # NumPy's sort of keys is vectorised, unlike torch's: a tenth of the time of two torch.topk.
        order = torch.from_numpy(np.sort(keys.numpy(), axis=1)) if keys.device.type == "cpu" else keys.sort(1).values
        near = order[:, int(exclude_self) : k + exclude_self].bitwise_and(0xFFFFFFFF)
        far = order[:, window[0] : sum(window)].bitwise_and(0xFFFFFFFF)
    return pad(near, (0, k - near.shape[1]), value=-1), far


def near_far_lists_of_codes(
    z: Tensor, k: int, window: tuple[int, int], *, exclude_self: bool = False
) -> tuple[Tensor, Tensor]:
    """Near and far lists by Hamming distance of the codes of z, then by lower index.

    The far list comes from the complement codes, since d(not a, b) = bits - d(a, b): rank r of n from the near end is
    place n - 1 - r from the far end. Short codes tie often, and ties go to the lower index: shuffle batches.

    Source: reconstructed after SSDH, whose release has a graph of real outputs.

    Args:
        z: (n, bits), what `fasthash.pack` makes codes of.
        k: length of the near list.
        window: start and length of the far window.
        exclude_self: leave the item out of its own near list, by its index.

    Returns:
        As `near_far_lists`.

    Raises:
        TypeError, ValueError: as `near_far_lists` and `fasthash.pack`.

    Example:
        >>> import torch
        >>> from fasthash.teachers import near_far_lists_of_codes
        >>> z = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
        >>> near, far = near_far_lists_of_codes(z, 1, window=(2, 1))
        >>> near.tolist(), far.tolist()
        ([[0], [1], [2]], [[2], [0], [0]])
    """
    n = len(z)
    _check_lists("near_far_lists_of_codes", n, k, window)
    z = z.detach()
    codes = pack(z)
    itself = torch.arange(n, device=z.device) if exclude_self else None
    _, near = hamming_topk(codes, codes, k, exclude=itself)
    # The complement is packed, not inverted byte by byte: spare bits must stay 0.
    _, farthest = hamming_topk(pack(z <= 0), codes, n - window[0])
    return near, farthest[:, n - sum(window) :].flip(1)


def _check_lists(function: str, n: int, k: int, window: tuple[int, int]) -> None:
    if k < 1:
        raise ValueError(f"{function}: k must be >= 1, got {k}")
    start, length = window
    if not (start >= 0 and length >= 1 and start + length <= n):
        raise ValueError(f"{function}: window must lie within the {n} ranks of the batch, got {window}")
