"""Which runs there are, in which order, and their data: what `methods.py` goes through."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from cifar10 import DATA, FEATURES

from fasthash import data, methods

CIFAR10, FASHION = "cifar10-features", "fashion-mnist"
FINE_TUNED = "cifar10-images"  # MobileNetV2 fine-tuned, which takes a GPU
FEATURE_SCALE = 6 / 255  # of the stored features
SUPERVISED = "dpsh"  # what the others are compared with
SEEDS = {CIFAR10: range(5), FASHION: range(3), FINE_TUNED: range(3)}
LABELS = {CIFAR10: (500, 5000), FASHION: (5000,), FINE_TUNED: (5000,)}
# Variants that are not a method's preset: what they change in it.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {}


@dataclass(frozen=True)
class Cell:
    """One run."""

    data: str
    labels: int
    variant: str
    bits: int
    seed: int

    def __str__(self) -> str:
        return f"{self.data} {self.labels} {self.variant} {self.bits} {self.seed}"

    def method(self) -> methods.Method:
        """The method with its options."""
        name, options = VARIANTS.get(self.variant, (self.variant, {}))
        return methods.create(name, preset=f"{self.data}-{self.labels}", bits=self.bits, **options)


def plan() -> Iterator[Cell]:
    """All cells, the most wanted first."""
    for bits in ((12, 48), (24, 32)):
        for labels in LABELS[CIFAR10]:
            yield from _cells(CIFAR10, labels, (SUPERVISED, "ssdh", "pts3h"), bits)
        for labels in LABELS[CIFAR10]:
            yield from _cells(CIFAR10, labels, ("lsh", "pcah", "itq", "dsh", "hashnet"), bits)
    yield from _cells(FASHION, 5000, (SUPERVISED, "ssdh", "pts3h"), (48,))


def _cells(name: str, labels: int, variants: tuple[str, ...], bits: tuple[int, ...]) -> Iterator[Cell]:
    for seed in SEEDS[name]:
        for width in bits:
            for variant in variants:
                yield Cell(name, labels, variant, width, seed)


@dataclass(frozen=True)
class Items:
    """What a run reads, and what it is measured on."""

    split: data.Split
    training: data.TrainingSet
    source: data.Source  # of all items, standardised where training is
    labels: np.ndarray


@lru_cache(maxsize=1)
def load(name: str, labels: int, seed: int) -> Items:
    """The split of this seed with so many labels, and its items."""
    source, known, protocol = _whole(name)
    split = data.make_split(protocol, known, seed=seed)
    if labels != len(split.labelled):
        split = data.keep_labelled(split, known, labels, seed=seed)
    training = data.TrainingSet.from_split(source, known, split, standardise=name == CIFAR10)
    return Items(split, training, training.source, known)


@lru_cache(maxsize=1)
def _whole(name: str) -> tuple[data.Source, np.ndarray, str]:
    """All items of a data set, their labels, and the protocol that splits them."""
    if name == CIFAR10:
        features, labels = (data.map_array(FEATURES, key) for key in ("features", "labels"))
        return data.ArraySource(features, scale=FEATURE_SCALE), np.asarray(labels, np.int64), "cifar10-semi"
    assert name == FASHION
    parts = [_idx(f"{part}-{kind}") for kind in ("images-idx3", "labels-idx1") for part in ("train", "t10k")]
    images, labels = np.concatenate(parts[:2]), np.concatenate(parts[2:])
    return data.ArraySource(images[:, None]), labels.astype(np.int64), "fashion-mnist-semi"


def _idx(name: str) -> np.ndarray:
    """One of the four files of Fashion-MNIST: two bytes, type, dimensions, then their sizes, big-endian, and bytes."""
    raw = gzip.decompress((DATA / "fashion-mnist" / f"{name}-ubyte.gz").read_bytes())
    sizes = np.frombuffer(raw, ">i4", raw[3], offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * len(sizes)).reshape(sizes)
