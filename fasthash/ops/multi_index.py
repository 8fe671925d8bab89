"""Tables that make exact search cheaper than a scan: multi-index hashing, on the CPU."""

from __future__ import annotations

import torch

from fasthash.ops._library import call, compiled, table

MOST_BITS = 64
MOST_ROWS = 2**32 - 1


class MultiIndex:
    """The rows of some packed codes by parts of their bits: for searches as `hamming_topk` and `hamming_range`.

    A code is cut into parts of about log2(n) bits, and each part has a table of the rows by its value. A search visits
    the rows that agree with the query in some part, then those that differ in one bit of it, and so on;
    csrc/include/fasthash/multi_index.h proves when it may stop. A query that would cost more than a scan gets one.

    M. Norouzi, A. Punjani, D. J. Fleet, "Fast Exact Search in Hamming Space with Multi-Index Hashing", IEEE TPAMI 36
    (6), 2014.

    Args:
        codes: uint8 (n, bytes), contiguous, on a CPU, n < 2^32, with zero spare bits.
        bits: width of the codes, at most 64.

    Attributes:
        rows: n.
        bytes: memory of the tables.
        parts: how many parts a code has.
    """

    def __init__(self, codes: torch.Tensor, bits: int) -> None:
        self._tables = call("MultiIndex", codes, table(codes), bits)
        self.rows = len(codes)
        self.bytes = int(self._tables.bytes())
        self.parts = int(self._tables.parts())

    def topk(
        self,
        queries: torch.Tensor,
        codes: torch.Tensor,
        k: int,
        *,
        mask: torch.Tensor | None = None,
        patience: float = 1.0,
    ) -> tuple[torch.Tensor, torch.Tensor, int]:
        """As `hamming_topk`; and for how many queries the codes were scanned after all.

        Args:
            queries: uint8 (q, bytes).
            codes: the codes that the tables were made of, or others that equal them.
            k: at least 1.
            mask: bool (n,), True = may be returned.
            patience: what a query may cost before it gets a scan, as a multiple of that scan.
        """
        queries = queries.contiguous()
        mask = None if mask is None else mask.contiguous()
        distances = queries.new_empty((len(queries), k), dtype=torch.int32)
        indices = queries.new_empty((len(queries), k), dtype=torch.int64)
        out = (distances.data_ptr(), indices.data_ptr(), torch.get_num_threads())
        scanned = self._tables.topk(*table(queries), *table(codes), k, _address(mask), patience, *out)
        return distances, indices, scanned

    def range(
        self,
        queries: torch.Tensor,
        codes: torch.Tensor,
        radius: int,
        *,
        mask: torch.Tensor | None = None,
        patience: float = 1.0,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
        """As `hamming_range`; and for how many queries the codes were scanned after all. Arguments as in `topk`."""
        queries, threads = queries.contiguous(), torch.get_num_threads()
        mask = None if mask is None else mask.contiguous()
        limit = min(radius, 8 * codes.shape[1])
        found, scanned = self._tables.range(*table(queries), *table(codes), limit, _address(mask), patience, threads)
        counts = queries.new_empty(len(queries), dtype=torch.int64)
        found.counts(counts.data_ptr())
        offsets = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
        distances = queries.new_empty(int(offsets[-1]), dtype=torch.int32)
        indices = queries.new_empty(len(distances), dtype=torch.int64)
        found.write(offsets.data_ptr(), distances.data_ptr(), indices.data_ptr(), threads)
        return offsets, distances, indices, scanned


def scan_cost(queries: int, rows: int, bytes: int) -> float:
    """Nanoseconds that a scan is expected to take, from sizes, the number of threads and the CPU level alone."""
    return float(compiled("scan_cost")(queries, rows, bytes, torch.get_num_threads()))


def making_cost(rows: int, bits: int) -> float:
    """Nanoseconds that making the tables is expected to take."""
    return float(compiled("making_cost")(rows, bits, torch.get_num_threads()))


def tables_bytes(rows: int, bits: int) -> int:
    """Memory that the tables take."""
    return int(compiled("tables_bytes")(rows, bits))


def walk_costs(rows: int, bits: int) -> list[float]:
    """Nanoseconds of one thread that a query is expected to take with tables, by radius 0, 1, ..., bits.

    For codes that are spread evenly; where they are not, some queries visit more rows.
    """
    return list(compiled("walk_costs")(rows, bits))


def _address(mask: torch.Tensor | None) -> int:
    return 0 if mask is None else mask.data_ptr()
