"""Training: `fit` runs a method's plan into a run folder, `load` makes codes from one, `report_run` measures it."""

from fasthash.training.config import Config
from fasthash.training.fit import fit
from fasthash.training.hasher import Hasher, load
from fasthash.training.progress import Bar, Lines, Progress, Silent, default_progress
from fasthash.training.report import report_directions, report_run
from fasthash.training.run import Run
from fasthash.training.validation import Validation

__all__ = [
    "Bar",
    "Config",
    "Hasher",
    "Lines",
    "Progress",
    "Run",
    "Silent",
    "Validation",
    "default_progress",
    "fit",
    "load",
    "report_directions",
    "report_run",
]
