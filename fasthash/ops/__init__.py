"""Typed torch ops over the compiled kernels; `reference` is their NumPy twin. Imports `_native` and nothing else."""

from fasthash.ops._library import has_cuda_kernels as has_cuda_kernels
from fasthash.ops.average_precision import average_precision_counts
from fasthash.ops.codes import (
    from_faiss,
    from_sentence_transformers,
    pack,
    to_faiss,
    to_sentence_transformers,
    unpack,
)
from fasthash.ops.counts import hamming_histogram, overlap_histogram, relevance_histogram
from fasthash.ops.distance import hamming_distance, label_overlap
from fasthash.ops.rescored import topk_rescored
from fasthash.ops.scores import rescore
from fasthash.ops.search import hamming_range, hamming_range_padded, hamming_topk

__all__ = [
    "average_precision_counts",
    "from_faiss",
    "from_sentence_transformers",
    "hamming_distance",
    "hamming_histogram",
    "hamming_range",
    "hamming_range_padded",
    "hamming_topk",
    "label_overlap",
    "overlap_histogram",
    "pack",
    "relevance_histogram",
    "rescore",
    "to_faiss",
    "to_sentence_transformers",
    "topk_rescored",
    "unpack",
]
