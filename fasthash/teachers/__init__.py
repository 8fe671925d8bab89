"""What turns a network's own predictions into targets: averaged networks, graphs on codes, ramps."""

from fasthash.teachers.ema import EMATeacher
from fasthash.teachers.graph import draw_neighbour, knn_graph, pseudo_similarity
from fasthash.teachers.ramp import rampup_weight

__all__ = ["EMATeacher", "draw_neighbour", "knn_graph", "pseudo_similarity", "rampup_weight"]
