"""The paths of fasthash on a GPU: which one a call takes, and whether its one scan was enough."""

from __future__ import annotations

from typing import Any

import torch
from cells import Cell
from on_gpu.with_torch import Inputs, filtered

import fasthash
from fasthash.ops._library import call as call_kernel
from fasthash.ops._library import table

# What FASTHASH_CUDA_PATH and set_cuda_path offer beside "auto", for the ops that heed it.
PATHS = {"hamming_topk": ("counting", "popcount", "tensor"), "hamming_distance": ("popcount", "tensor")}
FLAGS = 128  # queries of a call that looks at what one scan answered: no group is smaller


def native() -> Any:
    """The CUDA part of the compiled module, where it lets a path be chosen."""
    cuda = getattr(fasthash._native._C, "cuda", None)
    return cuda if hasattr(cuda, "set_path") else None


def taken_path(kernels: Any, cell: Cell) -> str | None:
    """Where a top-k or a matrix would go now; None where the build does not say."""
    if cell.op == "hamming_topk" and hasattr(kernels, "topk_path"):
        return str(kernels.topk_path(cell.queries, cell.codes, cell.bytes, cell.k))
    if cell.op == "hamming_distance" and hasattr(kernels, "matrix_path"):
        return str(kernels.matrix_path(cell.queries, cell.codes, cell.bytes))
    return None


def chosen_path(cell: Cell, capability: int) -> str | None:
    """What "auto" stands for in a top-k; None where the build does not say."""
    kernels = native()
    if cell.op != "hamming_topk" or not hasattr(kernels, "choose_path"):
        return None
    return str(kernels.choose_path(capability, cell.queries, cell.codes, cell.bytes, cell.k))


def answered(cell: Cell, x: Inputs, path: str) -> float | None:
    """The share of queries that one scan answers in a top-k on a path; None where it has no second one to go by.

    The op keeps its workspace to itself, so the kernel is called here with one, for few queries at a time: the flags
    that it leaves are of its last group of queries.
    """
    kernels = native()
    if cell.op != "hamming_topk" or not hasattr(kernels, "topk_answered"):
        return None
    queries, database, mask, exclude = filtered(x)
    kernels.set_path(path)
    try:
        kernels.set_path(kernels.topk_path(cell.queries, cell.codes, cell.bytes, cell.k))  # also for the last few
        flags = []
        for first in range(0, cell.queries, FLAGS):
            rows = queries[first : first + FLAGS]
            sizes = (len(rows), cell.codes, cell.bytes, cell.k)
            begin, size = kernels.topk_answered(*sizes), kernels.topk_workspace(*sizes)
            if begin < 0:
                return None
            workspace = torch.full((size,), 255, dtype=torch.uint8, device=rows.device)
            own = None if exclude is None else exclude[first : first + FLAGS]
            out = (rows.new_empty((len(rows), cell.k), dtype=kind) for kind in (torch.int32, torch.int64))
            sides = (*table(rows), *table(database), cell.k)
            call_kernel("hamming_topk", rows, sides, mask, own, *out, workspace, size)
            flags.append(workspace[begin : begin + 4 * len(rows)].view(torch.int32))
    finally:
        kernels.set_path("auto")
    found = torch.cat(flags)
    assert ((found == 0) | (found == 1)).all(), f"answered: {cell}: flags are 0 or 1"
    return float(found.double().mean())
