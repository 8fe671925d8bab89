"""The most memory that an op of calls.py holds beside its inputs and its result.

    python benchmarks/memory.py [--codes 1000000 10000000] [--queries 64] [--bits 256] [--threads 2] [--json]

Each op runs in a process of its own, forked before anything has been computed: it makes the inputs, runs the op once on
a few rows (which starts the threads), sets the kernel's record of its largest resident size back (5 into
/proc/self/clear_refs), runs the op, and reads the record (VmHWM). What it held before and the bytes of the result are
taken off.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from calls import CALLS, Inputs, op_of
from tables import table

import fasthash

BOUND = 32 << 20  # bytes a thread
C = ctypes.CDLL(None)


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}")


def _in_child(sender: Connection, name: str, codes: int, queries: int, bits: int, threads: int) -> None:
    torch.set_num_threads(threads)
    try:
        op = getattr(fasthash, op_of(name))
        op(*CALLS[name](Inputs(2000, queries, bits)))
        arguments = CALLS[name](Inputs(codes, queries, bits))
        if hasattr(C, "malloc_trim"):
            C.malloc_trim(0)  # memory that was freed but kept would serve the op unseen
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        result = op(*arguments)
        peak = _status("VmHWM")
        parts = result if isinstance(result, tuple) else (result,)
        sender.send(peak - before - sum(part.nbytes for part in parts))
    except Exception as error:
        sender.send(error)


def extra_bytes(name: str, codes: int, queries: int, bits: int, threads: int) -> int:
    """Of one call, measured in a fork of this process."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_in_child, args=(sender, name, codes, queries, bits, threads))
    child.start()
    sender.close()
    try:
        result = receiver.recv()
    except EOFError:
        raise RuntimeError(f"memory: {name}: the process ended without a result") from None
    finally:
        child.join()
    if isinstance(result, Exception):
        raise result
    return int(result)


def measure(codes: list[int], queries: int, bits: int, threads: int) -> dict[str, Any]:
    """Bytes of every call at each number of codes. Only in a process that has computed nothing yet."""
    return {
        "queries": queries,
        "bits": bits,
        "threads": threads,
        "bytes": {
            name: {str(count): extra_bytes(name, count, queries, bits, threads) for count in codes} for name in CALLS
        },
    }


def show(measured: dict[str, Any]) -> str:
    """A Markdown table, in MB."""
    rows = [
        [name, *(f"{size / 2**20:.1f}" for size in by_codes.values())] for name, by_codes in measured["bytes"].items()
    ]
    counts = list(next(iter(measured["bytes"].values())))
    return table(["MiB beside inputs and result", *(f"{int(count):,} codes" for count in counts)], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--queries", type=int, default=64)
    parser.add_argument("--bits", type=int, default=256)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true", help="prints JSON")
    options = parser.parse_args()
    try:
        measured = measure(options.codes, options.queries, options.bits, options.threads)
    except OSError as error:
        sys.exit(f"not measured: {error}")
    print(json.dumps(measured) if options.json else show(measured))


if __name__ == "__main__":
    main()
