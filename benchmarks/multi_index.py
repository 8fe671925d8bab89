"""Search with and without the tables of multi-index hashing: random codes, real ones, and FAISS' hashes beside them.

Twice: the kernels alone, and a `HammingIndex` that never has tables beside one with "auto", after it has made them and
got used to the cell's searches. The two are made of the same table.

    python benchmarks/multi_index.py [--codes 1000000 10000000] [--bits 32 64] [--queries 1 8 64] [--threads 2]

Results are compared before they are timed; each repeat has queries of its own. FAISS' multi-hash is asked for a number
of flipped bits, not for the nearest codes: what it finds may fall short, and how often is printed. Real codes come from
the folder that FASTHASH_DATA names, and are left out without it. Writes benchmarks/results/multi_index.json, or where
--json says.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from machine import card
from timing import REST, seconds_of, summary

import fasthash
from fasthash import HammingIndex
from fasthash.index.rows import allocate
from fasthash.ops.multi_index import MultiIndex
from fasthash.ops.search import topk_kernel

RESULTS = Path(__file__).parent / "results"
KS = (1, 10, 100)
MOST_OF_FAISS = 1_000_000  # codes that its hash tables are filled with
K_OF_FAISS = 10
MOST_SEARCHES = 3000  # before "auto" has made tables
FIRST = 24  # searches of a cell that are not timed
COPIES = 100  # of each projected feature, with noise


def large(codes: np.ndarray) -> torch.Tensor:
    """The same codes where an index keeps them: in large pages."""
    table = allocate(*codes.shape, torch.uint8, torch.device("cpu"))
    table.numpy()[:] = codes
    return table


def random_codes(count: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes and queries of independent fair bits."""
    rng = np.random.default_rng(0)
    codes, queries = (np.frombuffer(bytearray(rng.bytes(n * bits // 8)), np.uint8) for n in (count, 4096))
    return codes.reshape(count, -1), queries.reshape(4096, -1)


def real_codes(folder: Path) -> Iterator[tuple[str, int, np.ndarray, np.ndarray]]:
    """Names, bits, codes and queries."""
    learned = folder / "hash-codes" / "nus-wide.npz"
    if learned.exists():
        with np.load(learned) as arrays:
            for bits in (24, 48):
                yield f"NUS-WIDE, learned, {bits} bits", bits, *(arrays[f"{s}_{bits}"] for s in ("database", "query"))
    features = folder / "features" / "cifar10_mobilenetv2.npz"
    if features.exists():
        with np.load(features) as arrays:
            x = arrays["features"].astype(np.float32)
        x -= x.mean(axis=0)
        rng = np.random.default_rng(0)
        projected = x @ rng.standard_normal((x.shape[1], 64), dtype=np.float32)
        queries, rest = projected[:2048], projected[2048:]
        yield "CIFAR-10 features, random projections, 64 bits", 64, fasthash.pack(rest), fasthash.pack(queries)
        noise = 0.3 * projected.std(axis=0)
        blocks = [
            fasthash.pack(rest + noise * rng.standard_normal(rest.shape, dtype=np.float32)) for _ in range(COPIES)
        ]
        yield f"the same, {COPIES} times with noise", 64, np.concatenate(blocks), fasthash.pack(queries)


def faiss_calls(codes: np.ndarray, bits: int, parts: int, k: int) -> dict[str, Callable[[np.ndarray], object]]:
    """FAISS' exact scan, and its multi-hash with the parts that ours has and up to two flipped bits in each."""
    try:
        import faiss
    except ImportError:
        return {}
    if len(codes) > MOST_OF_FAISS or bits % 8:
        return {}
    faiss.omp_set_num_threads(torch.get_num_threads())
    flat = faiss.IndexBinaryFlat(bits)
    flat.add(codes)
    hashed = faiss.IndexBinaryMultiHash(bits, parts, bits // parts)
    hashed.nflip = 2
    hashed.add(codes)
    return {"FAISS flat": lambda q: flat.search(q, k), "FAISS multi-hash, 2 flips": lambda q: hashed.search(q, k)}


def indexes_of(codes: torch.Tensor, queries: np.ndarray, bits: int) -> dict[str, HammingIndex]:
    """One without tables and one that has made them by itself, if that pays within some searches."""
    never, auto = (HammingIndex(bits, multi_index=when) for when in ("never", "auto"))
    for index in (never, auto):
        index.add(codes)
    for i in range(MOST_SEARCHES):
        if auto.multi_index_bytes:
            break
        auto.search(queries[i % len(queries)][None], 1)
    return {"index, never": never, "index, auto": auto}


def measure(
    codes: np.ndarray, queries: np.ndarray, bits: int, options: argparse.Namespace
) -> Iterator[dict[str, object]]:
    """Rows of times, one for each number of queries and k."""
    table = large(codes)
    begun = time.perf_counter()
    tables = MultiIndex(table, bits)
    making = time.perf_counter() - begun
    indexes = indexes_of(table, queries, bits)
    for k in KS:
        peers = faiss_calls(codes, bits, tables.parts, k) if k == K_OF_FAISS else {}
        for count in options.queries:
            blocks = [queries[i : i + count] for i in range(0, len(queries) - count + 1, count)]
            for i in range(FIRST):
                for index in indexes.values():
                    index.search(blocks[-1 - i % (len(blocks) - options.repeats or 1)], k)
            seconds: dict[str, list[float]] = {}
            scanned, equal = 0, 0
            for block in blocks[: options.repeats]:
                asked = torch.from_numpy(np.ascontiguousarray(block))
                expected = fasthash.hamming_topk(asked, table, k)
                for patience in (math.inf, 1.0):
                    *got, given_up = tables.topk(asked, table, k, patience=patience)
                    assert all(map(torch.equal, got, expected))
                scanned += given_up
                for index in indexes.values():
                    assert all(map(torch.equal, index.search(asked, k), expected))
                calls = {
                    "scan": lambda asked=asked, k=k: topk_kernel(asked, table, k),
                    "tables": lambda asked=asked, k=k: tables.topk(asked, table, k),
                    "tables, never a scan": lambda asked=asked, k=k: tables.topk(asked, table, k, patience=math.inf),
                }
                calls |= {
                    name: lambda index=index, asked=asked, k=k: index.search(asked, k)
                    for name, index in indexes.items()
                }
                calls |= {name: lambda call=call, block=block: call(block) for name, call in peers.items()}
                if "FAISS multi-hash, 2 flips" in peers:
                    found = peers["FAISS multi-hash, 2 flips"](block)[0]
                    equal += int((found == expected[0].numpy()).all(axis=1).sum())
                for name, call in calls.items():
                    large(codes[: 1 << 20])  # what is left of the block before leaves the caches
                    time.sleep(REST / 10)
                    seconds.setdefault(name, []).append(seconds_of(call))
            asked_in_all = count * len(blocks[: options.repeats])
            yield {
                "codes": len(codes),
                "bits": bits,
                "queries": count,
                "k": k,
                "parts": tables.parts,
                "bytes a code": tables.bytes / len(codes),
                "making": making,
                "auto has tables": indexes["index, auto"].multi_index_bytes > 0,
                "scanned": scanned / asked_in_all,
                "FAISS multi-hash equal": equal / asked_in_all if peers else None,
                "seconds": seconds,
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", type=int, nargs="*", default=[10**5, 10**6, 10**7])
    parser.add_argument("--bits", type=int, nargs="+", default=[16, 32, 48, 64])
    parser.add_argument("--queries", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, default=RESULTS / "multi_index.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sets = ((f"random, {bits} bits", bits, *random_codes(n, bits)) for n in options.codes for bits in options.bits)
    data = os.environ.get("FASTHASH_DATA")
    real = real_codes(Path(data)) if data else iter(())
    rows = []
    for name, bits, codes, queries in itertools.chain(sets, real):
        for row in measure(codes, queries, bits, options):
            rows.append({"set": name, **row})
            times = {call: 1e3 * summary(own)["median"] for call, own in row["seconds"].items()}
            told = ", ".join(f"{call} {own:.3f}" for call, own in times.items())
            print(f"{name}: {len(codes):,} codes, {row['queries']} queries, k {row['k']}: ms {told}", flush=True)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps({"machine": card(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
