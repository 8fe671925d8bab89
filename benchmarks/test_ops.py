"""Every op of calls.py under pytest-benchmark.

pytest benchmarks [-k topk] [--benchmark-compare]
"""

from __future__ import annotations

from typing import Any

import pytest
from calls import CALLS, Inputs, op_of
from op_cases import assert_equal

import fasthash
from fasthash.ops import reference

CODES, QUERIES = 100_000, 64


@pytest.fixture(scope="module", params=[64, 256], ids="{} bits".format)
def inputs(request: pytest.FixtureRequest) -> Inputs:
    return Inputs(CODES, QUERIES, request.param)


@pytest.mark.parametrize("call", CALLS)
def test_op(benchmark: Any, inputs: Inputs, call: str) -> None:
    op = getattr(fasthash, op_of(call))
    few = CALLS[call](Inputs(1500, 3, inputs.bits))
    assert_equal(op(*few), getattr(reference, op_of(call))(*few), call)
    arguments = CALLS[call](inputs)
    benchmark(op, *arguments)
