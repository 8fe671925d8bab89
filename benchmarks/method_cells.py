"""Which runs there are, in which order, and their data: what `methods.py` goes through."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cifar10 import DATA, FEATURES

from fasthash import data, methods

CIFAR10, FASHION = "cifar10-features", "fashion-mnist"
VIEWS = Path(os.environ.get("FASTHASH_VIEWS", "views"))  # what views.py wrote
# Views beside the plain one that all methods see. With 5,000 labels they gain nothing for any.
STORED_VIEWS = {500: 2, 5000: 0}
FEATURE_SCALE = 6 / 255  # of the stored features
SUPERVISED = "dpsh"  # what the others are compared with
BASELINES = ("lsh", "pcah", "itq", "dsh", "hashnet")
LINEAR = ("lsh", "pcah", "itq")  # without a preset: they have no course of training
# What the preset switches on in SSDH that the release does not have, switched off.
RELEASED = {
    "pseudo_loss": "contrastive",
    "w_pseudo": 1.0,
    "w_likelihood": 0.0,
    "teacher": False,
    "q": 0.0,
    "ramp": 0.0,
}
# What is no preset: the method, what changes in its preset, and in the configuration of its training.
VARIANTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "dpsh, mean weights": ("dpsh", {}, {"ema": 0.999}),
    "ssdh, labelled items only": ("ssdh", {"lam": 0.0, "teacher": False}, {}),
    "ssdh, released terms": ("ssdh", RELEASED, {}),
}
COMPARED = (SUPERVISED, "ssdh", "pts3h")
SEEDS = 5


class Group(NamedTuple):
    """The runs of one table."""

    data: str
    labels: int
    variants: tuple[str, ...]
    bits: tuple[int, ...]
    seeds: int


FEW = Group(CIFAR10, 500, (*BASELINES, *COMPARED, *VARIANTS), (12, 24, 32, 48), SEEDS)
MANY = FEW._replace(labels=5000)
IMAGES = Group(FASHION, 5000, COMPARED, (48,), 3)
FINE_TUNED = Group("cifar10-images", 5000, (SUPERVISED, "pts3h"), (48,), 3)  # MobileNetV2, all of it: takes a GPU
GROUPS = (FEW, MANY, IMAGES, FINE_TUNED)


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

    def words(self) -> set[str]:
        """What `--only` may name."""
        return {self.data, str(self.labels), self.variant, str(self.bits)}

    def method(self) -> methods.Method:
        """The method with its options."""
        name, options, _ = VARIANTS.get(self.variant, (self.variant, {}, {}))
        preset = None if name in LINEAR else f"{self.data}-{self.labels}"
        return methods.create(name, preset=preset, bits=self.bits, **options)

    def training(self) -> dict[str, Any]:
        """Options of `training.Config`."""
        return VARIANTS[self.variant][2] if self.variant in VARIANTS else {}


def plan() -> Iterator[Cell]:
    """All cells that can run here, the most wanted first."""
    for bits in ((12, 48), (24, 32)):
        for variants in (COMPARED, BASELINES):
            for group in (FEW, MANY):
                yield from _cells(group._replace(variants=variants, bits=bits))
    for group in (FEW, MANY):
        yield from _cells(group._replace(variants=tuple(VARIANTS)))
    yield from _cells(IMAGES)


def _cells(group: Group) -> Iterator[Cell]:
    for seed in range(group.seeds):
        for bits in group.bits:
            for variant in group.variants:
                yield Cell(group.data, group.labels, variant, bits, seed)


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
    source, known, protocol = read(name, labels)
    split = data.make_split(protocol, known, seed=seed)
    if labels != len(split.labelled):
        split = data.keep_labelled(split, known, labels, seed=seed)
    training = data.TrainingSet.from_split(source, known, split, standardise=name == CIFAR10)
    return Items(split, training, training.source, known)


@lru_cache(maxsize=1)
def read(name: str, count: int) -> tuple[data.Source, np.ndarray, str]:
    """All items of a data set, as they are read with so many labels; all labels; the protocol that splits them."""
    if name == CIFAR10:
        views = [str(VIEWS / f"view{number}.npy") for number in range(1, 1 + STORED_VIEWS[count])]
        found = data.open_dataset("features", FEATURES, scale=FEATURE_SCALE, views=views)
        return found.source, found.labels, "cifar10-semi"
    assert name == FASHION
    found = data.open_dataset(name, DATA / name)
    return found.source, found.labels, "fashion-mnist-semi"
