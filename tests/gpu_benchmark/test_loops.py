"""The loops of ceilings.cu compute what NumPy computes, and consist of the instructions that they are called."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import gpu_ceilings
import numpy as np
import pytest
import torch
from gpu_fakes import cell_of, one_second
from on_gpu import loops, sass
from on_gpu.cells import inputs
from on_gpu.loops import Library

import fasthash

needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
needs_disassembler = pytest.mark.skipif(sass.cuobjdump() is None, reason="cuobjdump and nvdisasm are not installed")


@pytest.mark.parametrize("name", loops.loop_names((8, 0)))
def test_loops_compute_what_numpy_computes(emulated: Library, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_ceilings, "TRIAL", 1)
    monkeypatch.setattr(gpu_ceilings, "REPEATS", 1)
    measured = gpu_ceilings.measure_loop(emulated, name, 2, "cpu", one_second)
    # One round of two blocks: 64 instructions of 256 threads each, or 64 products of eight warps.
    assert measured["per_second"] == 2 * 64 * (8 * 16 * 8 * int(name[4:]) if name.startswith("b1") else 256)


def test_a_loop_with_another_result_is_no_ceiling(emulated: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(loops.STEPS, "popcount", loops.STEPS["pair"])
    with pytest.raises(AssertionError, match="popcount: a block's result"):
        gpu_ceilings.measure_loop(emulated, "popcount", 2, "cpu", one_second)


def test_bandwidth_moves_all_bytes(emulated: Library) -> None:
    measured = gpu_ceilings.bandwidth(emulated, 2, 1 << 16, "cpu", one_second)
    assert {name: entry["per_second"] for name, entry in measured.items()} == {
        "copy": 2 << 16,
        "write": 1 << 16,
        "read": 1 << 16,
    }


@pytest.mark.parametrize("with_nvcc", [True, False])
def test_all_that_is_measured(emulated: Library, with_nvcc: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU of one multiprocessor with a quarter of a megabyte of memory."""
    properties = SimpleNamespace(
        multi_processor_count=1, max_threads_per_multi_processor=512, total_memory=1 << 18, major=7, minor=5
    )
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(gpu_ceilings, "TRIAL", 1)
    monkeypatch.setattr(gpu_ceilings, "REPEATS", 2)
    monkeypatch.setitem(loops.STEPS, "logic", loops.STEPS["add"])
    measured = gpu_ceilings.measure(emulated if with_nvcc else None, "cpu", one_second)
    text = gpu_ceilings.show(measured)
    assert set(measured["bytes_per_second"]) == {"copy", "write"} | ({"read"} if with_nvcc else set())
    assert "| copy " in text
    if with_nvcc:
        assert set(measured["rates"]) == set(loops.loop_names((7, 5))) - {"logic"}
        assert "No ceiling: logic: a block's result" in text
        assert measured["launch_seconds"]["median"] == 1
    else:
        assert measured["rates"] == {}


@pytest.mark.parametrize("bits", [24, 64])
def test_the_naive_kernel(emulated: Library, bits: int) -> None:
    cell = cell_of("hamming_distance", bits)
    ((queries, database),) = inputs(cell, "cpu")
    out = torch.empty(cell.queries, cell.codes, dtype=torch.int32)
    emulated.call("naive_distance", queries, cell.queries, database, cell.codes, cell.bytes, out)
    assert torch.equal(out, fasthash.hamming_distance(queries, database))


@pytest.mark.parametrize("depth", [128, 256])
def test_products_of_fragments_are_products_of_matrices(depth: int) -> None:
    """With a the identity (row i has bit i of each word alone), c counts the set bits of b at those places."""
    seeds = np.zeros((20, 256), np.uint32)
    lanes = np.arange(256) % 32
    for register in range(depth // 64):
        seeds[register] = 1 << (lanes // 4 + 8 * (register % 2))  # row l / 4, or 8 further on
    seeds[4:] = np.random.default_rng(0).integers(0, 1 << 32, (16, 256), dtype=np.uint32)
    c = loops._products(seeds, depth)
    words = seeds[4:].reshape(8, 2, 8, 8, 4)[:, : depth // 128]  # chain, register, warp, column, word
    bits = (words[..., None] >> np.arange(16)) & 1
    counts = bits.sum(axis=(1, 4))  # chain, warp, column, row
    for chain, register, thread in ((0, 0, 0), (3, 1, 77), (7, 2, 255), (5, 3, 130)):
        row = thread % 32 // 4 + 8 * (register // 2)
        column = 2 * (thread % 4) + register % 2
        assert c[4 * chain + register, thread] == counts[chain, thread // 32, column, row]


@pytest.mark.parametrize(("name", "columns"), loops.GROUPED.items())
def test_products_of_a_warpgroup_are_those_of_its_warps(name: str, columns: int) -> None:
    """With one number everywhere in b, the layout of b does not matter, nor the column."""
    seeds = loops.seeds_of(name)
    found = loops._group_products(seeds, columns)
    seeds[4:] = seeds[4, 0]
    assert found.shape == (columns // 2, loops.THREADS)  # a warp has 16 rows, of 4 numbers a thread for 8 columns
    np.testing.assert_array_equal(found, np.tile(loops._products(seeds, 256), (columns // 64, 1)))
    assert loops.expected(name, seeds, 2).size == found.size


@needs_nvcc
@needs_disassembler
@pytest.mark.parametrize("capability", [(8, 0), (9, 0)])
def test_loops_are_the_instructions_that_they_are_called(capability: tuple[int, int], tmp_path: Path) -> None:
    cubin = tmp_path / "ceilings.cubin"
    includes = [f"-I{loops.SOURCES / name}" for name in ("include", "cuda")]
    command = ["nvcc", *loops.nvcc_options(capability), "-cubin", *includes]
    subprocess.run([*command, str(loops.HERE / "ceilings.cu"), "-o", str(cubin)], check=True)
    compiled = {name: found for name, found in loops.inner_loops(cubin).items() if found}
    assert set(compiled) == {loops.loop_of(name) for name in loops.loop_names(capability)}
    for name, found in compiled.items():
        assert not loops.misses(name, found), name
        assert not {"LDG", "STG", "LDL", "STL", "LDS"} & set(found), f"{name} touches memory: {found}"
    # What else is in a loop of popcounts takes a quarter of their time at most: those rates are four times as high.
    for name in ("popcount", "pair"):
        assert compiled[name]["POPC"] == 64
        assert compiled[name].total() <= 4 * 64


def test_loops_of_machine_code() -> None:
    text = """
        Function : _Z5outerv
        /*0000*/                   MOV R1, c[0x0][0x28] ;
        /*0010*/                   POPC R2, R2 ;
        /*0020*/                   IMAD.IADD R3, R2, 0x1, R3 ;
        /*0030*/               @P0 BRA 0x10 ;
        /*0040*/                   EXIT ;
        /*0050*/                   BRA 0x50;
"""
    assert sass.loops(text) == {"_Z5outerv": {"POPC": 1, "IMAD.IADD": 1, "BRA": 1}}
