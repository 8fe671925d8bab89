"""Where items come from: arrays in memory or mapped from files, several views of them, images decoded as they are read.

A `Source` gives any of its items as float32, by number; a training set reads nothing else.
"""

from fasthash.data.sources.arrays import ArraySource, as_source
from fasthash.data.sources.files import array_names, cache_folder, map_array
from fasthash.data.sources.images import ImageFiles
from fasthash.data.sources.modalities import Modalities, standardisation_of
from fasthash.data.sources.source import Reading, Source, Standardisation
from fasthash.data.sources.views import StoredViews

__all__ = [
    "ArraySource",
    "ImageFiles",
    "Modalities",
    "Reading",
    "Source",
    "Standardisation",
    "StoredViews",
    "array_names",
    "as_source",
    "cache_folder",
    "map_array",
    "standardisation_of",
]
