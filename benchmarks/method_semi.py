"""Runs with few labels and many items without: DPSH, SSDH and PTS3H beside each other and the baselines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from cifar10 import DATA, FEATURES
from method_cells import Cell, Group, Items, Variant

from fasthash import data

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
CHANGED: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "dpsh, mean weights": ("dpsh", {}, {"ema": 0.999}),
    "ssdh, labelled items only": ("ssdh", {"lam": 0.0, "teacher": False}, {}),
    "ssdh, released terms": ("ssdh", RELEASED, {}),
}
COMPARED = (SUPERVISED, "ssdh", "pts3h")
SEEDS = 5


def _group(name: str, labels: int, variants: tuple[str, ...], bits: tuple[int, ...], seeds: int) -> Group:
    preset = f"{name}-{labels}"
    made = []
    for variant in variants:
        method, options, training = CHANGED.get(variant, (variant, {}, {}))
        made.append(Variant(variant, method, options, None if variant in LINEAR else preset, training))
    return Group(
        name,
        labels,
        tuple(made),
        bits,
        seeds,
        partial(load, name, labels),
        SUPERVISED,
        tuple(variant for variant in variants if variant not in (SUPERVISED, *BASELINES)),
        {"views": STORED_VIEWS[labels] if name == CIFAR10 else 0},
    )


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


FEW = _group(CIFAR10, 500, (*BASELINES, *COMPARED, *CHANGED), (12, 24, 32, 48), SEEDS)
MANY = _group(CIFAR10, 5000, (*BASELINES, *COMPARED, *CHANGED), (12, 24, 32, 48), SEEDS)
IMAGES = _group(FASHION, 5000, COMPARED, (48,), 3)
FINE_TUNED = _group("cifar10-images", 5000, (SUPERVISED, "pts3h"), (48,), 3)  # MobileNetV2, all of it: takes a GPU
GROUPS = (FEW, MANY, IMAGES, FINE_TUNED)


def plan() -> Iterator[Cell]:
    """All cells that can run here, the most wanted first."""
    for bits in ((12, 48), (24, 32)):
        for names in (COMPARED, BASELINES):
            for group in (FEW, MANY):
                yield from group.cells(names, bits)
    for group in (FEW, MANY):
        yield from group.cells(tuple(CHANGED))
    yield from IMAGES.cells()
