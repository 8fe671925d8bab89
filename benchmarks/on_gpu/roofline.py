"""The least time that a cell can take on a GPU whose ceilings were measured, and what sets it.

Each resource is counted by what the op cannot do without, and divided by its own rate; the largest quotient binds:

    memory      inputs read once over the rate of reading, results written once over that of writing; both add up, for
                they share the bus. Rows that lie anywhere are read in sectors of 32 bytes.
    popcount    a population count for each 32-bit word of a pair (path popcount). Carry-save addition, which counts
                three words with two, may pass this.
    b1          bit products of the tensor cores, in depths of 256 (128 for codes up to that) (path tensor)
    compare     where the op selects: one for each pair, or one maximum, or for every two pairs a maximum of three (the
                third is what was the largest so far), whichever is fastest
    histogram   one count in shared memory for each pair, where the op counts
    float add   one for each bit of a candidate, where the op scores codes

A search of two passes meets each pair twice; the bound counts it once. Codes that a mask leaves out count for nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from cells import Cell
from on_gpu.cells import COUNTS, EXCLUDED, MASKED, allowed_codes, searches
from on_gpu.contestants import result_bytes
from on_gpu.with_torch import OVERSAMPLE

SECTOR = 32
SELECTS = ("hamming_topk", "hamming_range", "topk_rescored")
COUNTED = ("hamming_histogram", *COUNTS)
ELEMENTS = {"float32": 4, "float16": 2, "bfloat16": 2}


class Bound(NamedTuple):
    """Seconds at least, by resource."""

    path: str
    seconds: dict[str, float]

    @property
    def binding(self) -> str:
        """The resource that takes longest."""
        return max(self.seconds, key=lambda name: self.seconds[name])

    @property
    def least(self) -> float:
        """Seconds of that."""
        return self.seconds[self.binding]


def bytes_read(cell: Cell) -> int:
    """Each input once."""
    if cell.op == "pack":
        return cell.codes * cell.bits * ELEMENTS[cell.data]
    if cell.op == "unpack":
        return cell.codes * cell.bytes
    if cell.op == "rescore":
        return cell.queries * (4 * cell.bits + cell.k * (8 + -(-cell.bytes // SECTOR) * SECTOR))
    labels = 8 * (cell.queries + cell.codes) if cell.op in COUNTS else 0
    filters = {MASKED: cell.codes, EXCLUDED: 8 * cell.queries}.get(cell.data, 0)
    return (cell.queries + allowed_codes(cell)) * cell.bytes + labels + filters


def bound(cell: Cell, ceilings: dict[str, Any], path: str) -> Bound:
    """Of one path: popcount or tensor. Resources whose rate was not measured are left out."""
    if cell.op == "topk_rescored":
        return _of_two_stages(cell, ceilings, path)
    rates = {name: entry["per_second"] for name, entry in ceilings["rates"].items()}
    bandwidth = {name: entry["per_second"] for name, entry in ceilings["bytes_per_second"].items()}
    reading = bandwidth.get("read", bandwidth["copy"])
    seconds = {"memory": bytes_read(cell) / reading + result_bytes(cell) / bandwidth["write"]}

    def add(resource: str, operations: float, rate: str) -> None:
        if rate in rates:
            seconds[resource] = operations / rates[rate]

    pairs = cell.queries * allowed_codes(cell)
    if searches(cell):
        if path == "popcount":
            add("popcount", pairs * -(-cell.bits // 32), "popcount")
        else:
            depth = 128 if cell.bits <= 128 else 256
            add("b1", pairs * -(-cell.bits // depth) * depth, f"b1 k{depth}")
        if cell.op in SELECTS and "compare" in rates:
            seconds["compare"] = pairs / max(rates["compare"], rates.get("max", 0), 2 * rates.get("max of three", 0))
        if cell.op in COUNTED:
            spread = min((64, 256, 1024), key=lambda bits: abs(bits - cell.bits))
            add("histogram", pairs, f"histogram {spread}")
    if cell.op == "rescore":
        add("float add", cell.queries * cell.k * cell.bits, "float add")
    return Bound(path, seconds)


def _of_two_stages(cell: Cell, ceilings: dict[str, Any], path: str) -> Bound:
    wanted = min(cell.k * OVERSAMPLE, cell.codes)
    stages = [bound(replace(cell, op=op, k=wanted), ceilings, path) for op in ("hamming_topk", "rescore")]
    seconds: dict[str, float] = {}
    for stage in stages:
        seconds[stage.binding] = seconds.get(stage.binding, 0.0) + stage.least
    longest = max(seconds, key=lambda name: seconds[name])
    return Bound(path, {longest: sum(seconds.values())})  # one stage waits for the other, so their bounds add up


def best_bound(cell: Cell, ceilings: dict[str, Any]) -> Bound:
    """Of the path that could be faster on this GPU: what the machine allows, whichever path was taken."""
    paths = [bound(cell, ceilings, "popcount")]
    if any(name.startswith("b1") for name in ceilings["rates"]) and searches(cell):
        paths.append(bound(cell, ceilings, "tensor"))
    return min(paths, key=lambda one: one.least)
