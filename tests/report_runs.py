"""What run folders made by hand hold: codes, labels and a report."""

from __future__ import annotations

import numpy as np
import torch

from fasthash import evaluation, pack
from fasthash.data import Split

BITS, CLASSES, ITEMS, QUERIES = 16, 3, 66, 6
LABELS = np.arange(ITEMS) % CLASSES
SPLIT = Split(
    "by hand",
    0,
    queries=np.arange(QUERIES),
    validation=[],
    database=np.arange(QUERIES, ITEMS),
    labelled=np.arange(QUERIES, 2 * QUERIES),
    unlabelled=np.arange(2 * QUERIES, ITEMS),
)


def codes(seed, noise=0.25):
    """Packed codes of all items: a pattern of each class, each bit turned over with this probability."""
    generator = np.random.default_rng(seed)
    patterns = np.random.default_rng(9).random((CLASSES, BITS)) < 0.5
    return torch.from_numpy(pack(patterns[LABELS] ^ (generator.random((ITEMS, BITS)) < noise)))


def measure(rows):
    sides = (rows[SPLIT.queries], rows[SPLIT.database], LABELS[SPLIT.queries], LABELS[SPLIT.database])
    tensors = (*sides[:2], *(torch.from_numpy(side) for side in sides[2:]))
    return evaluation.evaluate(*tensors, bits=BITS, k=(5, 10))
