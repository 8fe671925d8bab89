"""The ratios that the project has set itself, and what a run says about each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from memory import BOUND

# Top-k beside the better FAISS variant, 256 queries, 1,000,000 random codes: {bits: ratio} for each k.
TOP_K = {
    10: {64: 8.0, 128: 6.0, 256: 5.0, 512: 5.0, 1024: 5.0},
    1000: dict.fromkeys((64, 128, 256, 512, 1024), 4.0),
}
CEILING = 0.7  # share to reach from 256 bits on
BANDWIDTH = 0.8  # share of reading or writing that counts as bound by it
TIES = 1.5  # most that ten distinct codes may take, beside random ones


class Verdict(NamedTuple):
    case: str
    aim: str
    measured: str
    holds: bool


def verdicts(results: dict[str, Any]) -> Iterator[Verdict]:
    """One for each case that was run at its own sizes."""
    rows = {_key(row): row for row in results["rows"]}
    for k, aims in TOP_K.items():
        for bits, aim in aims.items():
            if row := rows.get(("hamming_topk", "random", bits, 256, 1_000_000, k)):
                yield from _against(row, "faiss", aim, f"top-k, 256 queries, {bits} bits, k = {k}, vs FAISS")
    if row := rows.get(("hamming_topk", "random", 256, 1, 10_000_000, 10)):
        yield from _against(row, "faiss", 1.7, "one query, 256 bits, 10,000,000 codes, k = 10, vs FAISS", "read")
    if row := rows.get(("hamming_topk", "nus-wide", 48, 2100, 193_734, 100)):
        yield from _against(row, "faiss", 4.0, "NUS-WIDE, 48 bits, k = 100, vs FAISS")
    if row := rows.get(("hamming_distance", "random", 256, 256, 1_000_000, 0)):
        case = "hamming_distance, 256 x 1,000,000, 256 bits, vs the fastest peer"
        yield from _against(row, "", 1.5, case, "write, fresh huge pages")
    if row := rows.get(("pack", "float32", 256, 0, 1_000_000, 0)):
        yield from _against(row, "numpy", 5.0, "pack, float32, 1,000,000 x 256, vs NumPy", "read")
    for key, row in rows.items():
        if key[1] == "ten codes" and (other := rows.get((key[0], "random", *key[2:]))):
            yield from _ties(row, other)
    if "memory" in results:
        yield _memory(results["memory"])


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("op", "data", "bits", "queries", "codes", "k"))


def best_peer(row: dict[str, Any], name: str = "", figure: str = "median") -> tuple[str, float] | None:
    """The fastest contestant other than fasthash whose name begins so, and its seconds."""
    peers = {
        peer: entry[figure]
        for peer, entry in row["contestants"].items()
        if peer.startswith(name) and peer != "fasthash" and figure in entry and not is_bound(peer)
    }
    return min(peers.items(), key=lambda item: item[1]) if peers else None


def is_bound(name: str) -> bool:
    """A pass over memory, which is no contestant."""
    return name.startswith(("read", "write"))


def own(row: dict[str, Any], figure: str = "median") -> float | None:
    """Seconds of fasthash."""
    entry = row["contestants"].get("fasthash", {})
    return entry.get(figure)


def share(row: dict[str, Any], bound: str) -> float | None:
    """What a pass over memory would take, as a share of what fasthash takes."""
    entry, seconds = row["contestants"].get(bound, {}), own(row)
    return entry["median"] / seconds if "median" in entry and seconds else None


def _against(row: dict[str, Any], peer: str, aim: float, case: str, bound: str = "") -> Iterator[Verdict]:
    seconds, best = own(row), best_peer(row, peer)
    if seconds is None or best is None:
        return
    ratio, least = best[1] / seconds, best_peer(row, peer, "least")[1] / own(row, "least")
    measured = f"{ratio:.1f}x {best[0]} ({least:.1f}x by least times)"
    holds, aims = ratio >= aim, f"{aim:g}x"
    if bound and (part := share(row, bound)) is not None:
        measured += f"; {part:.0%} of the rate of: {bound}"
        aims += f", or {BANDWIDTH:.0%} of that rate"
        holds |= part >= BANDWIDTH
    yield Verdict(case, aims, measured, holds)


def _ties(row: dict[str, Any], other: dict[str, Any]) -> Iterator[Verdict]:
    seconds, random = own(row), own(other)
    if seconds is not None and random is not None:
        case = f"ten distinct codes in {row['codes']:,} beside random ones, {row['bits']} bits, k = {row['k']}"
        yield Verdict(case, f"at most {TIES}x", f"{seconds / random:.2f}x", seconds <= TIES * random)


def _memory(measured: dict[str, Any]) -> Verdict:
    size, name = max((size, name) for name, sizes in measured["bytes"].items() for size in sizes.values())
    codes = max(int(count) for sizes in measured["bytes"].values() for count in sizes)
    bound = BOUND * measured["threads"]
    case = f"memory beside inputs and result, up to {codes:,} codes"
    return Verdict(case, f"at most {bound >> 20} MiB", f"{size / 2**20:.1f} MiB ({name})", size <= bound)
