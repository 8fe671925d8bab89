"""Handwritten digits that ship with scikit-learn: real data without a download."""

from __future__ import annotations

import torch
from torch import Tensor


def load_digits() -> tuple[Tensor, Tensor]:
    """The 1,797 handwritten digits of scikit-learn (UCI "Optical Recognition of Handwritten Digits", its test part).

    Returns:
        images, float32 (1797, 1, 8, 8) in [0, 1], and labels, int64 (1797,), 0 to 9.

    Raises:
        ImportError: scikit-learn is missing.

    Example:
        >>> from fasthash.data import load_digits
        >>> images, labels = load_digits()
        >>> tuple(images.shape), int(labels.max())
        ((1797, 1, 8, 8), 9)
    """
    try:
        from sklearn.datasets import load_digits as read
    except ImportError as error:
        raise ImportError("load_digits: needs scikit-learn; pip install 'fasthash[train]'") from error
    digits = read()
    # The files hold counts of ink from 0 to 16.
    images = torch.from_numpy(digits.images).to(torch.float32)[:, None] / 16
    return images, torch.from_numpy(digits.target).to(torch.int64)
