"""Cells whose codes are not random: their data, their peers, and the share of queries that one scan answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import gpu
import pytest
import torch
from emulated_ops import emulated_kernels, load_emulated
from gpu_fakes import CEILINGS, MACHINE, Cpu, cell_of
from on_gpu import report, with_torch
from on_gpu.cells import EXCLUDED, MASKED, cells, inputs
from on_gpu.contestants import _of_torch, contestants
from on_gpu.paths import FLAGS, answered
from on_gpu.roofline import bound
from on_gpu.running import Runner, check
from on_gpu.timing import Timing
from running import Budget

import fasthash

DATA = ("random", "ten codes", "noisy copies", "nearest last", MASKED, EXCLUDED)


def test_data_are_what_they_are_called() -> None:
    def made(data: str) -> tuple[Any, ...]:
        (arrays,) = inputs(cell_of("hamming_topk", 256, 40, 1500, 10, data), "cpu")
        return tuple(arrays)

    assert len(made("ten codes")[1].unique(dim=0)) == 10
    assert (fasthash.hamming_topk(*made("ten codes"), 10)[0][::2] == 0).all()
    nearest = fasthash.hamming_topk(*made("noisy copies"), 1)[0].double()  # two copies differ in 30 of 256 bits
    assert 20 < nearest.median() < 40
    queries, database = made("nearest last")
    by_place = fasthash.hamming_distance(queries, database).double().view(40, 3, 500).mean(2)
    assert (by_place.diff(dim=1) < 0).all()
    *_, mask, exclude = made(MASKED)
    assert (int(mask.sum()), exclude) == (150, None)
    queries, database, mask, exclude = made(EXCLUDED)
    assert mask is None
    assert torch.equal(database[exclude], queries)
    few = inputs(cell_of("hamming_topk", 64, 1, 20, 5, MASKED), "cpu", 2)
    assert all(int(mask.sum()) == 5 for _, _, mask, _ in few)  # never fewer than are wanted


def test_every_such_cell_gives_equal_results_and_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    options = gpu.parse(["--groups", "data", "--codes", "500", "--queries", "1", "40", "--bits", "72", "--k", "10"])
    results: dict[str, Any] = {"rows": [], "machine": {**MACHINE, "ceilings": CEILINGS}}
    monkeypatch.setattr("on_gpu.running.answered", lambda cell, x, path: 0.98765)
    gpu.run(options, results, Runner(Cpu(), Budget(5), 1, ["torch"], None))
    assert results["wrong"] == []
    assert {row["data"] for row in results["rows"]} == set(DATA[1:])
    assert all("median" in row["contestants"]["torch int8"] for row in results["rows"])
    assert report.tables(results)["top-k"].count("one scan 98.765%") == 10
    by_default = cells(gpu.parse([]).groups, (), gpu._sizes(gpu.parse([])))
    assert {cell.data for cell in by_default if cell.op == "hamming_topk"} == set(DATA)


def test_who_cannot_filter_says_so_and_codes_that_are_left_out_are_refused() -> None:
    for data in (MASKED, EXCLUDED):
        cell = cell_of("hamming_topk", k=20, data=data)
        (arrays,) = inputs(cell, "cpu")
        right, unfiltered = (fasthash.hamming_topk(*arrays[:2], 20, **kinds) for kinds in (_named(arrays), {}))
        peers = {contestant.name: contestant for contestant in contestants("hamming_topk", None)}
        assert "mask" in peers["faiss"].missing(cell) or "faiss" in peers["faiss"].missing(cell)
        check(cell, arrays, right, right, peers["torch fp16"])
        with pytest.raises(AssertionError, match="not allowed" if data == MASKED else "excluded"):
            check(cell, arrays, unfiltered, unfiltered, peers["torch fp16"])


def _named(arrays: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(("mask", "exclude"), arrays[2:], strict=True))


def test_the_bound_counts_only_codes_that_are_allowed() -> None:
    cell = cell_of("hamming_topk", 256, queries=3, codes=100, k=5, data=MASKED)
    memory = (13 * 32 + 100) / 8 + 3 * 5 * 12 / 4
    assert bound(cell, CEILINGS, "popcount").seconds == {"memory": memory, "popcount": 30 * 8 / 2, "compare": 15}
    excluded = bound(replace(cell, data=EXCLUDED), CEILINGS, "popcount").seconds
    assert excluded["memory"] == (103 * 32 + 24) / 8 + 3 * 5 * 12 / 4
    assert excluded["popcount"] == 300 * 8 / 2


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The emulation in the GPU's place."""
    module = load_emulated()
    monkeypatch.setattr(fasthash._native._C, "cuda", module, raising=False)
    with emulated_kernels(module):
        yield module


@pytest.mark.parametrize("path", ["popcount", "tensor"])
@pytest.mark.parametrize("data", DATA)
def test_one_scan_answers_all_queries(kernels: ModuleType, data: str, path: str) -> None:
    """Of more than one call."""
    cell = cell_of("hamming_topk", 64, FLAGS + 3, 1500, 10, data)
    (arrays,) = inputs(cell, "cpu")
    assert answered(cell, arrays, path) == 1
    assert kernels.path() == "auto"


def test_queries_that_are_searched_again_are_counted(kernels: ModuleType) -> None:
    """Rows that a sample takes are the only near ones, for half of the queries: their bound is too low."""
    cell = cell_of("hamming_topk", 128, 4, 1536, 30)
    queries = torch.tensor([[0], [0], [255], [0]], dtype=torch.uint8).expand(4, 16).contiguous()
    queries[3] = torch.arange(16)
    database = torch.full((1536, 16), 255, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    shares = []
    for step in (8, 12, 24):
        database[::step] = torch.randint(0, 2, (1536 // step, 16), generator=generator, dtype=torch.uint8)
        shares.append(answered(cell, (queries, database), "popcount"))
        database[::step] = 255
    assert any(share is not None and 0 < share < 1 for share in shares), shares
    assert answered(cell, (queries, database), "counting") is None
    assert answered(cell_of("hamming_distance"), (queries, database), "popcount") is None


def test_a_call_that_looks_at_flags_is_no_larger_than_a_group(kernels: ModuleType) -> None:
    """A group that is larger takes more room."""
    kernels.set_path("popcount")
    before, after = (kernels.topk_answered(queries, 1500, 8, 10) for queries in (FLAGS - 1, FLAGS))
    kernels.set_path("auto")
    assert 0 <= before < after


@pytest.mark.parametrize(("seconds", "factor"), [((2.0, 1.0), 4), ((1.0, 2.0), 1)])
def test_the_faster_blocks_are_taken_where_memory_allows(
    seconds: tuple[float, float], factor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = cell_of("hamming_topk")
    arrays = inputs(cell, "cpu")
    reference = fasthash.hamming_topk(*arrays[0], cell.k)
    most = 4 * 2 * cell.codes  # four queries
    peer = _of_torch("torch fp16", with_torch.top_k, replace(with_torch.FP16, most=most))
    assert peer.larger is not None
    own = [peer.start(cell, arrays[0])]
    device = Cpu()
    times = iter(seconds)
    monkeypatch.setattr(device, "seconds_of", lambda *rest: Timing(next(times)))
    runner = Runner(device, Budget(5), 1, None, None)
    runner.estimates.note(peer, cell, 1e-3)
    found, block = runner._faster(peer, peer.larger, cell, arrays, reference, own)
    assert block == factor * most
    assert (found is own) == (factor == 1)
    check(cell, arrays[0], reference, found[0](), peer)
    monkeypatch.setattr(device, "free", lambda: 0)
    assert runner._faster(peer, peer.larger, cell, arrays, reference, own) == (own, most)
    whole = _of_torch("torch fp16", with_torch.top_k)  # blocks of all queries either way
    assert whole.larger is not None
    assert runner._faster(whole, whole.larger, cell, arrays, reference, own) == (own, with_torch.MOST_MATRIX)
