"""What turns a network's own predictions into targets: averaged networks, graphs on codes, ramps."""

from fasthash.teachers.accuracy import PairAccuracy, block_accuracy, label_accuracy, list_accuracy, pair_accuracy
from fasthash.teachers.agreement import PairAgreement, neighbour_agreement
from fasthash.teachers.bank import CodeBank
from fasthash.teachers.calibration import fit_calibration
from fasthash.teachers.distil import distil_pairs
from fasthash.teachers.ema import EMATeacher
from fasthash.teachers.feature_graph import feature_knn_graph, neighbour_table
from fasthash.teachers.graph import knn_graph, knn_with_ties, pseudo_similarity, similarity_thresholds
from fasthash.teachers.lists import far_window, near_count, near_far_lists, near_far_lists_of_codes
from fasthash.teachers.modal_vote import modal_vote
from fasthash.teachers.noisy_pairs import histogram_threshold, noisy_signs, pair_distances, quantile_threshold
from fasthash.teachers.pair_probability import class_pair_probability
from fasthash.teachers.pseudo_labels import pseudo_label_candidates
from fasthash.teachers.ramp import rampup_weight
from fasthash.teachers.selector import selector_reward
from fasthash.teachers.sign_planes import sign_planes, signs_at
from fasthash.teachers.vote import vote

__all__ = [
    "CodeBank",
    "EMATeacher",
    "PairAccuracy",
    "PairAgreement",
    "block_accuracy",
    "class_pair_probability",
    "distil_pairs",
    "far_window",
    "feature_knn_graph",
    "fit_calibration",
    "histogram_threshold",
    "knn_graph",
    "knn_with_ties",
    "label_accuracy",
    "list_accuracy",
    "modal_vote",
    "near_count",
    "near_far_lists",
    "near_far_lists_of_codes",
    "neighbour_agreement",
    "neighbour_table",
    "noisy_signs",
    "pair_accuracy",
    "pair_distances",
    "pseudo_label_candidates",
    "pseudo_similarity",
    "quantile_threshold",
    "rampup_weight",
    "selector_reward",
    "sign_planes",
    "signs_at",
    "similarity_thresholds",
    "vote",
]
