"""Losses on the outputs of hash networks: functions of tensors, one family a file."""

from fasthash.losses.consistency import graph_contrastive, neighbour_consistency, pair_consistency, point_consistency
from fasthash.losses.pairwise import balanced_likelihood, dsh, pairwise_likelihood
from fasthash.losses.quantization import l1_quantization, quantization
from fasthash.losses.similarity import label_similarity

__all__ = [
    "balanced_likelihood",
    "dsh",
    "graph_contrastive",
    "l1_quantization",
    "label_similarity",
    "neighbour_consistency",
    "pair_consistency",
    "pairwise_likelihood",
    "point_consistency",
    "quantization",
]
