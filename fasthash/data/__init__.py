"""What training reads: items with hidden labels, named splits, samplers and perturbations."""

from fasthash.data.augment import (
    Perturbation,
    add_noise,
    drop_features,
    random_crop,
    random_erase,
    random_flip,
    random_shift,
    random_warp,
)
from fasthash.data.batch import Batch, ItemSpec
from fasthash.data.digits import load_digits
from fasthash.data.sampler import TwoStreamSampler
from fasthash.data.splits import (
    ListedSplit,
    Protocol,
    Split,
    draw_split,
    keep_labelled,
    make_split,
    protocols,
    read_split,
)
from fasthash.data.training_set import TrainingSet

__all__ = [
    "Batch",
    "ItemSpec",
    "ListedSplit",
    "Perturbation",
    "Protocol",
    "Split",
    "TrainingSet",
    "TwoStreamSampler",
    "add_noise",
    "draw_split",
    "drop_features",
    "keep_labelled",
    "load_digits",
    "make_split",
    "protocols",
    "random_crop",
    "random_erase",
    "random_flip",
    "random_shift",
    "random_warp",
    "read_split",
]
