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
from fasthash.data.feature_cache import cache_features
from fasthash.data.sampler import TwoStreamSampler
from fasthash.data.sources import (
    ArraySource,
    Source,
    Standardisation,
    StoredViews,
    array_names,
    as_source,
    cache_folder,
    map_array,
)
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
    "ArraySource",
    "Batch",
    "ItemSpec",
    "ListedSplit",
    "Perturbation",
    "Protocol",
    "Source",
    "Split",
    "Standardisation",
    "StoredViews",
    "TrainingSet",
    "TwoStreamSampler",
    "add_noise",
    "array_names",
    "as_source",
    "cache_features",
    "cache_folder",
    "draw_split",
    "drop_features",
    "keep_labelled",
    "load_digits",
    "make_split",
    "map_array",
    "protocols",
    "random_crop",
    "random_erase",
    "random_flip",
    "random_shift",
    "random_warp",
    "read_split",
]
