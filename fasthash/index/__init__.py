"""An exact index over packed codes: ids, filters, rescoring, files."""

from fasthash.index.hamming_index import HammingIndex
from fasthash.index.reader import Block

__all__ = ["Block", "HammingIndex"]
