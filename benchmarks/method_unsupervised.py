"""Runs without any label: DistillHash beside LSH, PCA hashing and ITQ on the same features."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial

from cifar10 import DATA, FEATURES
from method_cells import Cell, Group, Items, Variant
from method_semi import FEATURE_SCALE

from fasthash import data

CIFAR10, FASHION = "cifar10-unsup", "fashion-mnist-unsup"  # names of the protocols
PRESET = "features-unsup"
DISTILLED = "distillhash"
# What of the preset is not the defaults, and what distilling itself brings: noisy labels alone, in the course of the
# last network and in that of the first.
CHANGED = {
    "distillhash, uncalibrated": {"calibrate": False, "balance": 0.0},
    "distillhash, l2 at last": {"loss_final": "l2"},
    "noisy labels alone": {"pairs": "noisy"},
    "noisy labels alone, l2": {"pairs": "noisy", "loss_final": "l2"},
    "first network alone": {"pairs": "noisy", "loss_final": "l2", "epochs": 10.0, "batch_size": 24},
}
BASELINES = ("lsh", "pcah", "itq")
BITS = (16, 32, 64, 128)
SEEDS = 3


@lru_cache(maxsize=1)
def load(protocol: str, seed: int) -> Items:
    """5,000 items to train on, from the database, and standardised by them."""
    if protocol == CIFAR10:
        found = data.open_dataset("features", FEATURES, scale=FEATURE_SCALE)
    else:
        found = data.open_dataset("fashion-mnist", DATA / "fashion-mnist")
    split = data.make_split(protocol, found.labels, seed=seed)
    training = data.TrainingSet.from_split(found.source, None, split, standardise=True)
    return Items(split, training, training.source, found.labels)


def _group(protocol: str) -> Group:
    baselines = [Variant(name, name) for name in BASELINES]
    distilled = [Variant(DISTILLED, DISTILLED, preset=PRESET)]
    distilled += [Variant(name, DISTILLED, options, PRESET) for name, options in CHANGED.items()]
    compared = (*BASELINES, *CHANGED)
    return Group(protocol, 5000, (*baselines, *distilled), BITS, SEEDS, partial(load, protocol), DISTILLED, compared)


GROUPS = (_group(CIFAR10), _group(FASHION))


def plan() -> Iterator[Cell]:
    """The methods first, then what is changed."""
    for names in ((*BASELINES, DISTILLED), tuple(CHANGED)):
        for group in GROUPS:
            yield from group.cells(names)
