"""Where distances are measured from, so that |a|^2 + |b|^2 - 2ab keeps its digits."""

from __future__ import annotations

import torch
from torch import Tensor

_BLOCK = 16384  # items that are converted at once


def central_item(x: Tensor) -> Tensor:
    """The item of x (n, d) that lies nearest to their mean, (1, d), in float32 or float64; zeros if there is none.

    To be subtracted from all before products are taken: vectors far from zero have norms so large that the distances
    between them are lost. An item, since differences from it are exact where those of items are, as with whole
    numbers; equal distances stay equal.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    if not len(x):
        return x.new_zeros(1, x.shape[1], dtype=dtype)
    blocks = x.split(_BLOCK)
    mean = torch.stack([block.to(dtype).sum(0) for block in blocks]).sum(0) / len(x)
    away = torch.cat([(block.to(dtype) - mean).square().sum(1) for block in blocks])
    return x.index_select(0, away.argmin()[None]).to(dtype)
