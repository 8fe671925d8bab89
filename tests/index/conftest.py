"""Indexes of every kind of ids."""

from __future__ import annotations

import numpy as np
import pytest

import fasthash


@pytest.fixture
def codes(rng):
    """300 codes of 12 bits, many of them equal, so that order among equal distances shows."""
    return fasthash.pack(rng.standard_normal((300, 12)) + rng.standard_normal(12))


@pytest.fixture
def filled(codes):
    """An index of those codes with ids in no order."""
    index = fasthash.HammingIndex(12)
    index.add(codes, ids=np.random.default_rng(1).permutation(300) * 7)
    return index
