"""Binary codes for retrieval: pack sign codes, search them exactly by Hamming distance, learn and evaluate them.

Packed codes are uint8 rows, bit = x > 0, most significant bit first, as `numpy.packbits(x > 0, axis=-1)` makes them.
Torch tensors or NumPy arrays go in, the same kind comes out. Methods, training and evaluation live in their own rooms:
`fasthash.methods`, `fasthash.training`, `fasthash.evaluation`.
"""

from importlib.metadata import version as _version

from fasthash._native import build_info, cpu_levels, set_cpu_level, set_cuda_path
from fasthash.index import HammingIndex
from fasthash.ops import (
    average_precision_counts,
    from_faiss,
    from_sentence_transformers,
    hamming_distance,
    hamming_histogram,
    hamming_range,
    hamming_range_padded,
    hamming_topk,
    label_overlap,
    overlap_histogram,
    pack,
    relevance_histogram,
    rescore,
    to_faiss,
    to_sentence_transformers,
    topk_rescored,
    unpack,
)

__version__ = _version("fasthash")

__all__ = [
    "HammingIndex",
    "__version__",
    "average_precision_counts",
    "build_info",
    "cpu_levels",
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
    "set_cpu_level",
    "set_cuda_path",
    "to_faiss",
    "to_sentence_transformers",
    "topk_rescored",
    "unpack",
]
