"""An index over a million vectors on a laptop: sign codes in memory, the vectors themselves on the disk for rescoring.

    python examples/million_vectors.py [--vectors embeddings.npy] [--number 1000000]

Without a file it makes vectors in 1,000 clusters. Prints how large and how fast each part is, and which share of the
true ten nearest by cosine is found: by codes alone, and with the best by code rescored. Nothing holds all vectors
in memory as floats: the file is read in blocks, and the index that is searched is mapped.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

import fasthash

BLOCK = 50_000


def make_vectors(path: Path, number: int, size: int = 256) -> None:
    """A .npy file of float32 (number, size), written in blocks."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((1000, size), dtype=np.float32)
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(number, size))
    for first in range(0, number, BLOCK):
        rows = min(BLOCK, number - first)
        near = centres[rng.integers(1000, size=rows)]
        out[first : first + rows] = near + rng.standard_normal((rows, size), dtype=np.float32)


def nearest_by_cosine(vectors: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """The true answer, by brute force in blocks: rows (queries, k)."""
    best: list[tuple[np.ndarray, np.ndarray]] = []
    for first in range(0, len(vectors), BLOCK):
        block = vectors[first : first + BLOCK]
        scores = queries @ (block / np.linalg.norm(block, axis=1, keepdims=True)).T
        rows = np.argpartition(-scores, min(k, len(block) - 1), axis=1)[:, :k]
        best.append((np.take_along_axis(scores, rows, 1), rows + first))
    scores, rows = (np.concatenate(parts, 1) for parts in zip(*best, strict=True))
    return np.take_along_axis(rows, np.argsort(-scores, axis=1)[:, :k], 1)


def recall(found: np.ndarray, true: np.ndarray) -> float:
    """Share of the true rows that are found."""
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), true.tolist(), strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=Path, help=".npy of floats (n, dimensions)")
    parser.add_argument("--number", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        if arguments.vectors is None:
            make_vectors(Path(temporary) / "vectors.npy", arguments.number)
        vectors = np.load(arguments.vectors or Path(temporary) / "vectors.npy", mmap_mode="r")
        count, size = vectors.shape

        began = time.perf_counter()
        index = fasthash.HammingIndex(size, documents="float16")
        for first in range(0, count, BLOCK):
            block = np.asarray(vectors[first : first + BLOCK], np.float32)
            index.add(fasthash.pack(block), documents=block / np.linalg.norm(block, axis=1, keepdims=True))
        index.save(f"{temporary}/index.fasthash")
        print(f"{count:,} vectors of {size} values indexed and saved in {time.perf_counter() - began:.1f} s")
        index = fasthash.HammingIndex.load(f"{temporary}/index.fasthash", mmap=True)
        print(f"codes {index.codes.nbytes / 1e6:,.0f} MB, vectors as float32 {vectors.size * 4 / 1e6:,.0f} MB")

        queries = np.asarray(vectors[:: max(count // 100, 1)][:100], np.float32)
        queries = queries + np.random.default_rng(1).standard_normal(queries.shape, dtype=np.float32) / 2
        true = nearest_by_cosine(vectors, queries, 10)
        searches = {
            "by codes alone": lambda: index.search(fasthash.pack(queries), k=10)[1],
            "100 rescored": lambda: index.search_rescored(queries, k=10, oversample=10)[1],
            "1,000 rescored": lambda: index.search_rescored(queries, k=10, oversample=100)[1],
        }
        for name, search in searches.items():
            search()
            began = time.perf_counter()
            found = search()
            seconds = time.perf_counter() - began
            print(f"{name:<15}{seconds / len(queries) * 1e3:6.2f} ms a query, recall@10 {recall(found, true):.2f}")


if __name__ == "__main__":
    main()
