"""Cells, and equal results: those of torch and of the naive kernel are, and wrong ones are refused."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import gpu
import pytest
import torch
from gpu_fakes import cell_of
from on_gpu.cells import GROUPS, cells, copies, inputs
from on_gpu.contestants import OPS, contestants
from on_gpu.loops import Library
from on_gpu.paths import chosen_path
from on_gpu.running import against_cpu, check, checked_rows

import fasthash


def test_cells_are_there_once_and_can_be_chosen() -> None:
    none = gpu._sizes(gpu.parse([]))
    found = cells(GROUPS, (), none)
    sizes = [replace(cell, group="") for cell in found]
    assert len(set(sizes)) == len(sizes)
    assert {cell.op for cell in found} == set(OPS)
    assert [cell.group for cell in found[:1]] == ["bar"]
    options = gpu.parse(["--quick", "--ops", "hamming_range", "--bits", "64", "128", "--codes", "1000"])
    chosen = cells(options.groups, tuple(options.ops), gpu._sizes(options))
    assert [(cell.bits, cell.codes) for cell in chosen] == [(64, 1000), (128, 1000)]


def test_databases_take_turns_where_the_cache_would_hold_one() -> None:
    cache = 50 << 20
    assert copies(cell_of("hamming_topk", queries=1, codes=1_000_000), cache) == 27  # 8 MB each, four caches
    assert copies(cell_of("hamming_topk", queries=1, codes=100_000_000), cache) == 1
    assert copies(cell_of("hamming_topk", queries=64, codes=1_000_000), cache) == 1
    first, second = inputs(cell_of("hamming_topk", queries=1), "cpu", 2)
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])


@pytest.mark.parametrize("bits", [64, 1024])
@pytest.mark.parametrize("op", OPS)
def test_peers_give_equal_results(emulated: Library, op: str, bits: int) -> None:
    cell = cell_of(op, bits, data="float16" if op == "pack" else "random", k=20)
    ((*arrays,),) = inputs(cell, "cpu")
    reference = OPS[op](cell, tuple(arrays))
    against_cpu(cell, tuple(arrays), reference)
    names = []
    for contestant in contestants(op, emulated):
        if not contestant.missing(cell) and contestant.name != "faiss":
            check(cell, tuple(arrays), reference, contestant.start(cell, tuple(arrays))(), contestant)
            names.append(contestant.name)
    assert "fasthash" in names
    assert any(name.startswith("torch") for name in names)
    assert ("naive" in names) == (op in ("hamming_topk", "hamming_distance"))


@pytest.mark.parametrize(
    "op", ["hamming_topk", "hamming_range", "relevance_histogram", "rescore", "topk_rescored", "unpack"]
)
def test_a_wrong_result_is_refused(op: str) -> None:
    cell = cell_of(op)
    (arrays,) = inputs(cell, "cpu")
    right = OPS[op](cell, arrays)
    parts = right if isinstance(right, tuple) else (right,)
    peer = next(c for c in contestants(op, None) if c.name.startswith("torch"))
    own = contestants(op, None)[0]
    for place in range(len(parts)):
        wrong = [part.clone() for part in parts]
        wrong[place].view(-1)[0] += 1
        for contestant in (own, peer):
            with pytest.raises(AssertionError):
                check(cell, arrays, right, tuple(wrong) if len(wrong) > 1 else wrong[0], contestant)
        with pytest.raises(AssertionError, match="on the CPU"):
            against_cpu(cell, arrays, tuple(wrong) if len(wrong) > 1 else wrong[0])


def test_rows_that_meet_the_cpu_are_spread_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for rows, expected in ((1, [36]), (2, [0, 36]), (4, [0, 12, 24, 36]), (37, [*range(37)]), (99, [*range(37)])):
        monkeypatch.setattr("on_gpu.running.CPU_BIT_PAIRS", rows * 501 * 64)
        assert checked_rows(cell_of("hamming_topk")).tolist() == expected
    monkeypatch.setattr("on_gpu.running.CPU_ROWS", 3)
    assert checked_rows(cell_of("unpack")).tolist() == [0, 250, 500]


@pytest.mark.parametrize("op", OPS)
def test_a_wrong_last_row_is_refused(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("on_gpu.running.CPU_BIT_PAIRS", 4 * 501 * 64)
    monkeypatch.setattr("on_gpu.running.CPU_ROWS", 4)
    cell = cell_of(op, data="float32" if op == "pack" else "random")
    (arrays,) = inputs(cell, "cpu")
    right = OPS[op](cell, arrays)
    against_cpu(cell, arrays, right)
    parts = right if isinstance(right, tuple) else (right,)
    for place in range(len(parts)):
        wrong = [part.clone() for part in parts]
        wrong[place].view(-1)[-1] += 1 if place or op != "hamming_range" else -1  # a result less
        with pytest.raises(AssertionError, match="on the CPU"):
            against_cpu(cell, arrays, tuple(wrong) if len(wrong) > 1 else wrong[0])


def test_paths_are_set_before_each_call_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def set_path(name: str) -> None:
        if name == "counting":
            raise ValueError("no such path")
        seen.append(name)

    native = SimpleNamespace(set_path=set_path, choose_path=lambda *sizes: f"chosen for {sizes}")
    monkeypatch.setattr(fasthash._native._C, "cuda", native, raising=False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (10, 0))
    cell = cell_of("hamming_topk")
    (arrays,) = inputs(cell, "cpu")
    by_name = {contestant.name: contestant for contestant in contestants("hamming_topk", None)}
    assert by_name["fasthash counting"].missing(cell) == "no such path"
    assert by_name["fasthash tensor"].missing(cell) == "no binary products on this GPU"
    assert by_name["fasthash popcount"].missing(cell) == ""
    assert seen[-1] == "auto"
    native.topk_path = lambda *sizes: "counting"
    assert by_name["fasthash popcount"].missing(cell) == "these sizes go by counting"
    calls = [by_name[name].start(cell, arrays) for name in ("fasthash popcount", "fasthash")]
    for call in (*calls, *calls):
        call()
    assert seen[-4:] == ["popcount", "auto"] * 2
    assert chosen_path(cell, 9) == "chosen for (9, 37, 501, 8, 5)"
    assert chosen_path(cell_of("hamming_distance"), 9) is None


def test_only_peers_may_place_ties_as_they_like() -> None:
    cell = cell_of("hamming_topk", 64, queries=1, codes=300, k=2)
    query = torch.zeros(1, 8, dtype=torch.uint8)
    database = torch.full((300, 8), 255, dtype=torch.uint8)
    arrays = (query, database)
    right = fasthash.hamming_topk(query, database, 2)
    other = (right[0], right[1].flip(1))
    own, peer = (
        next(c for c in contestants("hamming_topk", None) if c.name == name) for name in ("fasthash", "torch fp16")
    )
    check(cell, arrays, right, other, peer)
    with pytest.raises(AssertionError):
        check(cell, arrays, right, other, own)
    with pytest.raises(AssertionError, match="an index twice"):
        check(cell, arrays, right, (right[0], torch.zeros_like(right[1])), peer)
