"""Streams, graphs, waiting, devices and memory: what only a GPU can show."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
import torch
from op_cases import OPS, Op, as_tuple, assert_equal, codes

import fasthash

KNOWN_SHAPE = [op for op in OPS if op.name != "hamming_range"]
SLEEP = 50_000_000  # clocks; some 30 ms


def tensors_of(gpu: Any, op: Op, seed: int) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """A few inputs of an op, on the GPU; for other seeds others of the same shapes."""
    every = list(op.inputs(np.random.default_rng(seed), 5, 2_000, 8))
    picked = every[:: max(len(every) // 3, 1)]
    return [(tuple(map(gpu.put, args)), {name: gpu.put(x) for name, x in kwargs.items()}) for args, kwargs in picked]


def on_cpu(x: Any) -> Any:
    return x.cpu() if isinstance(x, torch.Tensor) else x


def expected(op: Op, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    return as_tuple(op(*map(on_cpu, args), **{name: on_cpu(x) for name, x in kwargs.items()}))


def copy_into(old: Any, new: Any) -> None:
    for one, other in zip(old[0], new[0], strict=True):
        if isinstance(one, torch.Tensor):
            one.copy_(other)
    for name, one in old[1].items():
        if isinstance(one, torch.Tensor):
            one.copy_(new[1][name])


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_runs_on_the_current_stream(gpu: Any, op: Op) -> None:
    """The inputs come late, and on that stream alone: an op on another one would read what was there before."""
    for old, new in zip(tensors_of(gpu, op, 0), tensors_of(gpu, op, 1), strict=True):
        side = torch.cuda.Stream()
        torch.cuda.synchronize()
        with torch.cuda.stream(side):
            torch.cuda._sleep(SLEEP)
            copy_into(old, new)
            got = as_tuple(op(*old[0], **old[1]))
        side.synchronize()
        assert_equal(tuple(x.cpu() for x in got), expected(op, *new))


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_a_busy_default_stream_does_no_harm(gpu: Any, op: Op) -> None:
    for args, kwargs in tensors_of(gpu, op, 0):
        side = torch.cuda.Stream()
        torch.cuda.synchronize()
        torch.cuda._sleep(SLEEP)
        with torch.cuda.stream(side):
            got = as_tuple(op(*args, **kwargs))
        side.synchronize()
        assert_equal(tuple(x.cpu() for x in got), expected(op, args, kwargs))


@pytest.mark.parametrize("op", KNOWN_SHAPE, ids=lambda op: op.name)
def test_does_not_wait(gpu: Any, op: Op) -> None:
    for args, kwargs in tensors_of(gpu, op, 0):
        torch.cuda.set_sync_debug_mode("error")
        try:
            got = as_tuple(op(*args, **kwargs))
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert_equal(tuple(x.cpu() for x in got), expected(op, args, kwargs))


@pytest.mark.parametrize("op", KNOWN_SHAPE, ids=lambda op: op.name)
def test_is_captured_in_a_graph(gpu: Any, op: Op) -> None:
    later = [tensors_of(gpu, op, seed) for seed in (1, 2)]
    for i, static in enumerate(tensors_of(gpu, op, 0)):
        warm_up = torch.cuda.Stream()
        warm_up.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(warm_up):
            op(*static[0], **static[1])
        torch.cuda.current_stream().wait_stream(warm_up)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            got = as_tuple(op(*static[0], **static[1]))
        for inputs in later:
            copy_into(static, inputs[i])
            graph.replay()
            torch.cuda.synchronize()
            assert_equal(tuple(x.cpu() for x in got), expected(op, *inputs[i]))


def test_range_search_cannot_be_captured(gpu: Any) -> None:
    """Its size is in the data, for which it waits; hamming_range_padded takes its place."""
    table = gpu.put(codes(np.random.default_rng(0), 50, 8))
    fasthash.hamming_range(table, table, 20)
    with pytest.raises(RuntimeError), torch.cuda.graph(torch.cuda.CUDAGraph()):
        fasthash.hamming_range(table, table, 20)
    torch.cuda.synchronize()
    same = table.cpu()
    assert_equal(
        tuple(x.cpu() for x in fasthash.hamming_range(table, table, 20)), fasthash.hamming_range(same, same, 20)
    )


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_runs_on_the_device_of_its_tensors(gpu: Any, op: Op) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    move = lambda x: x.to("cuda:1") if isinstance(x, torch.Tensor) else x  # noqa: E731
    for args, kwargs in tensors_of(gpu, op, 0):
        got = as_tuple(op(*map(move, args), **{name: move(x) for name, x in kwargs.items()}))
        assert torch.cuda.current_device() == 0
        assert all(x.get_device() == 1 for x in got)
        assert_equal(tuple(x.cpu() for x in got), expected(op, args, kwargs))


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_memory_goes_back(gpu: Any, op: Op) -> None:
    for args, kwargs in tensors_of(gpu, op, 0):
        gc.collect()
        before = torch.cuda.memory_allocated()
        got = op(*args, **kwargs)
        torch.cuda.synchronize()
        del got
        gc.collect()
        assert torch.cuda.memory_allocated() == before


def test_memory_of_a_search_does_not_grow_with_queries_times_codes(gpu: Any) -> None:
    rng = np.random.default_rng(0)
    queries, database = gpu.put(codes(rng, 2_000, 8)), gpu.put(codes(rng, 1_000_000, 8))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    fasthash.hamming_topk(queries, database, 100)
    torch.cuda.synchronize()
    # All distances, one byte each, would be 2 GB.
    assert torch.cuda.max_memory_allocated() - before < 1 << 30
