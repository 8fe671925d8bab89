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
    random_zoom,
)
from fasthash.data.batch import Batch, ItemSpec
from fasthash.data.cifar10 import read_cifar10
from fasthash.data.datasets import Dataset, dataset_names, open_dataset
from fasthash.data.digits import load_digits
from fasthash.data.feature_cache import cache_features
from fasthash.data.idx import read_idx, read_mnist
from fasthash.data.image_lists import read_image_folder, read_image_lists
from fasthash.data.sampler import TwoStreamSampler
from fasthash.data.sources import (
    ArraySource,
    ImageFiles,
    Modalities,
    Reading,
    Source,
    Standardisation,
    StoredViews,
    array_names,
    as_source,
    cache_folder,
    map_array,
    standardisation_of,
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
    "Dataset",
    "ImageFiles",
    "ItemSpec",
    "ListedSplit",
    "Modalities",
    "Perturbation",
    "Protocol",
    "Reading",
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
    "dataset_names",
    "draw_split",
    "drop_features",
    "keep_labelled",
    "load_digits",
    "make_split",
    "map_array",
    "open_dataset",
    "protocols",
    "random_crop",
    "random_erase",
    "random_flip",
    "random_shift",
    "random_warp",
    "random_zoom",
    "read_cifar10",
    "read_idx",
    "read_image_folder",
    "read_image_lists",
    "read_mnist",
    "read_split",
    "standardisation_of",
]
