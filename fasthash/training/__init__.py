"""Training: `fit` runs a method's plan into a run folder, `load` makes codes from one."""

from fasthash.training.config import Config
from fasthash.training.fit import fit
from fasthash.training.hasher import Hasher, load
from fasthash.training.progress import Bar, Lines, Progress, Silent, default_progress
from fasthash.training.run import Run

__all__ = ["Bar", "Config", "Hasher", "Lines", "Progress", "Run", "Silent", "default_progress", "fit", "load"]
