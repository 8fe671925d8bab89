"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import numpy as np
import pytest
import torch

import fasthash

hypothesis.settings.register_profile("fasthash", deadline=None)  # a deadline is an asserted time
hypothesis.settings.load_profile("fasthash")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(params=fasthash.cpu_levels())
def cpu_level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test once at every CPU level of the machine."""
    fasthash.set_cpu_level(request.param)
    yield request.param
    fasthash.set_cpu_level(fasthash.cpu_levels()[-1])


@pytest.fixture
def torch_threads() -> Iterator[None]:
    """Lets a test set the number of threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
