"""What turns a network's own predictions into targets: averaged networks, graphs on codes, ramps."""

from fasthash.teachers.bank import CodeBank
from fasthash.teachers.ema import EMATeacher
from fasthash.teachers.graph import knn_graph, pseudo_similarity, similarity_thresholds
from fasthash.teachers.lists import far_window, near_count, near_far_lists, near_far_lists_of_codes
from fasthash.teachers.pair_probability import class_pair_probability
from fasthash.teachers.pseudo_labels import pseudo_label_candidates
from fasthash.teachers.ramp import rampup_weight

__all__ = [
    "CodeBank",
    "EMATeacher",
    "class_pair_probability",
    "far_window",
    "knn_graph",
    "near_count",
    "near_far_lists",
    "near_far_lists_of_codes",
    "pseudo_label_candidates",
    "pseudo_similarity",
    "rampup_weight",
    "similarity_thresholds",
]
