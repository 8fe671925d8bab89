"""Losses on the outputs of hash networks: functions of tensors, one family a file."""

from fasthash.losses.asymmetric import asymmetric, gram, signs, update_codes
from fasthash.losses.balance import bit_balance, bit_independence
from fasthash.losses.blocks import pairs_in_blocks
from fasthash.losses.classification import classification
from fasthash.losses.consensus import group_consensus
from fasthash.losses.consistency import graph_contrastive, neighbour_consistency, pair_consistency, point_consistency
from fasthash.losses.cross_modal import partner_likelihood, selection_error
from fasthash.losses.label_sets import LabelSets, SimilarityBlock
from fasthash.losses.pairwise import balanced_likelihood, dsh, pairwise_likelihood, squared_pairwise
from fasthash.losses.quantization import l1_quantization, quantization
from fasthash.losses.signed_pairs import signed_pairs
from fasthash.losses.similarity import label_similarity, row_similarity
from fasthash.losses.triplet import graph_embedding, improved_triplet, triplet_hinge, triplet_ranking
from fasthash.losses.tuples import draw_across, draw_by_label, draw_columns, draw_pairs, draw_triplets

__all__ = [
    "LabelSets",
    "SimilarityBlock",
    "asymmetric",
    "balanced_likelihood",
    "bit_balance",
    "bit_independence",
    "classification",
    "draw_across",
    "draw_by_label",
    "draw_columns",
    "draw_pairs",
    "draw_triplets",
    "dsh",
    "gram",
    "graph_contrastive",
    "graph_embedding",
    "group_consensus",
    "improved_triplet",
    "l1_quantization",
    "label_similarity",
    "neighbour_consistency",
    "pair_consistency",
    "pairs_in_blocks",
    "pairwise_likelihood",
    "partner_likelihood",
    "point_consistency",
    "quantization",
    "row_similarity",
    "selection_error",
    "signed_pairs",
    "signs",
    "squared_pairwise",
    "triplet_hinge",
    "triplet_ranking",
    "update_codes",
]
