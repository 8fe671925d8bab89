"""Stubs of the compiled module. Addresses are integers, 0 = null; sizes are rows, bytes and bits."""

def build_info() -> dict[str, object]: ...
def cpu_levels() -> list[str]: ...
def cpu_level() -> str: ...
def last_cpu_level() -> tuple[str, str]: ...
def set_cpu_level(name: str) -> None: ...
def pack(x: int, width: int, limit: int, rows: int, bits: int, row_stride: int, codes: int, threads: int) -> None: ...
def unpack(codes: int, rows: int, bits: int, out: int, threads: int) -> None: ...
def hamming_distance(
    a: int, a_rows: int, a_bytes: int, b: int, b_rows: int, b_bytes: int, out: int, threads: int
) -> None: ...
def label_overlap(
    a: int, a_rows: int, a_bytes: int, b: int, b_rows: int, b_bytes: int, out: int, threads: int
) -> None: ...
def hamming_topk(
    queries: int,
    query_rows: int,
    query_bytes: int,
    database: int,
    database_rows: int,
    database_bytes: int,
    k: int,
    mask: int,
    exclude: int,
    distances: int,
    indices: int,
    threads: int,
) -> None: ...

class RangeResult:
    def counts(self, counts: int) -> None: ...
    def write(self, offsets: int, distances: int, indices: int, threads: int) -> None: ...

def hamming_range(
    queries: int,
    query_rows: int,
    query_bytes: int,
    database: int,
    database_rows: int,
    database_bytes: int,
    radius: int,
    mask: int,
    exclude: int,
    threads: int,
) -> RangeResult: ...
def hamming_range_padded(
    queries: int,
    query_rows: int,
    query_bytes: int,
    database: int,
    database_rows: int,
    database_bytes: int,
    radius: int,
    capacity: int,
    mask: int,
    exclude: int,
    counts: int,
    distances: int,
    indices: int,
    threads: int,
) -> None: ...
def scan_cost(queries: int, rows: int, bytes: int, threads: int) -> float: ...
def making_cost(rows: int, bits: int, threads: int) -> float: ...
def walk_costs(rows: int, bits: int) -> list[float]: ...

class MultiIndex:
    def __init__(self, database: int, database_rows: int, database_bytes: int, bits: int, threads: int) -> None: ...
    def bytes(self) -> int: ...
    def parts(self) -> int: ...
    def topk(
        self,
        queries: int,
        query_rows: int,
        query_bytes: int,
        database: int,
        database_rows: int,
        database_bytes: int,
        k: int,
        mask: int,
        patience: float,
        distances: int,
        indices: int,
        threads: int,
    ) -> int: ...
    def range(
        self,
        queries: int,
        query_rows: int,
        query_bytes: int,
        database: int,
        database_rows: int,
        database_bytes: int,
        radius: int,
        mask: int,
        patience: float,
        threads: int,
    ) -> tuple[RangeResult, int]: ...

def hamming_histogram(
    queries: int,
    query_rows: int,
    query_bytes: int,
    database: int,
    database_rows: int,
    database_bytes: int,
    mask: int,
    exclude: int,
    out: int,
    threads: int,
) -> None: ...
def relevance_histogram(
    queries: int,
    query_rows: int,
    query_bytes: int,
    database: int,
    database_rows: int,
    database_bytes: int,
    query_ids: int,
    database_ids: int,
    query_sets: int,
    database_sets: int,
    set_bytes: int,
    mask: int,
    exclude: int,
    out: int,
    threads: int,
) -> None: ...
def overlap_histogram(
    queries: int,
    query_rows: int,
    query_bytes: int,
    database: int,
    database_rows: int,
    database_bytes: int,
    query_ids: int,
    database_ids: int,
    query_sets: int,
    database_sets: int,
    set_bytes: int,
    classes: int,
    mask: int,
    exclude: int,
    out: int,
    threads: int,
) -> None: ...
def average_precision_counts(
    queries: int,
    query_rows: int,
    query_bytes: int,
    database: int,
    database_rows: int,
    database_bytes: int,
    query_ids: int,
    database_ids: int,
    query_sets: int,
    database_sets: int,
    set_bytes: int,
    mask: int,
    exclude: int,
    window: int,
    precision_sum: int,
    hits: int,
    relevant: int,
    threads: int,
) -> None: ...
def rescore(
    queries: int,
    query_rows: int,
    dim: int,
    documents: int,
    values: int,
    document_rows: int,
    row_stride: int,
    scale: int,
    candidates: int,
    count: int,
    scores: int,
    threads: int,
) -> int: ...
def score_order(scores: int, candidates: int, rows: int, count: int, k: int, order: int, threads: int) -> None: ...
