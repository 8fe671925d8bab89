"""The CUDA half of fasthash.ops, end to end: the ops on CPU tensors, with emulated kernels in place of a GPU's."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import large_cases
import numpy as np
import pytest
from emulated_ops import emulated_kernels
from op_cases import BYTES, CODES, OPS, Op, assert_equal


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_equals_the_reference(op: Op, emulated: ModuleType, seed: int) -> None:
    """Sizes as on the CPU; each seed takes its share of them."""
    emulated.set_seed(seed)
    rng = np.random.default_rng(seed)
    sizes = [(bytes_, m) for bytes_ in BYTES for m in CODES]
    with emulated_kernels(emulated):
        for bytes_, m in sizes[seed::3]:
            for args, kwargs in op.inputs(rng, 3, m, bytes_):
                assert_equal(op(*args, **kwargs), op.expected(*args, **kwargs), (bytes_, m, kwargs))


WORK = 20_000  # of a case: larger ones of the list are left to the CPU and to a GPU


def work(args: tuple[Any, ...]) -> int:
    """Pairs of rows, of up to 128 elements at a time; or words to pack."""
    first, second = args[0], args[1] if len(args) > 1 else None
    if hasattr(second, "shape"):
        return first.shape[0] * second.shape[0] * -(-second.shape[-1] // 128)
    return int(np.prod(first.shape)) // 32


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_equals_the_reference_on_large_cases(op: Op, emulated: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of large cases with 1,100 codes instead of 70,003, as far as they are affordable then."""
    monkeypatch.setattr(large_cases, "CODES", 1_100)
    emulated.set_seed(4)
    done = 0
    for case, kind, args, kwargs in large_cases.large_cases([op]):
        if work(args) > WORK:
            continue
        with emulated_kernels(emulated):
            got = case(*args, **kwargs)
        assert_equal(got, case(*args, **kwargs), (kind, [getattr(x, "shape", x) for x in args], kwargs))
        done += 1
    assert done > 0
