"""Runs across modalities: SKDCH's student and teacher beside supervision on the labelled items alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial

import numpy as np
from cifar10 import DATA
from method_cells import Cell, Group, Items, Variant

from fasthash import data

# By name of the data: keys of the modalities in its file, and how many of the items to learn from are labelled.
FILES = {
    "wikipedia": ("wikipedia/wikipedia.npz", ("image", "text"), 217),
    "mfeat": ("mfeat/mfeat.npz", ("fourier", "karhunen", "pixel"), 150),
}
TEACHER, STUDENT = "skdch, teacher", "skdch"
ALONE, LONGER = "skdch, labelled items only", "skdch, labelled items only, longer"
ONLY = {"distil": False, "adversarial": False}


def _group(name: str) -> Group:
    preset, labels = f"{name}-{FILES[name][2]}", FILES[name][2]
    variants = (
        Variant(ALONE, "skdch", ONLY, preset),
        Variant(LONGER, "skdch", {**ONLY, "epochs": 100}, preset),
        Variant(TEACHER, "skdch", {"encode_with": "teacher"}, preset, of=STUDENT),
        Variant(STUDENT, "skdch", {}, preset),
    )
    return Group(name, labels, variants, (16, 32, 64), 5, partial(load, name), ALONE, (LONGER, TEACHER, STUDENT))


@lru_cache(maxsize=1)
def load(name: str, seed: int) -> Items:
    """Test items ask the training items, of which a tenth of each class is labelled, drawn by the seed."""
    source, labels, count = read(name)
    split = split_of(labels, count, seed)
    trained = data.TrainingSet.from_split(source, labels, split, standardise=True)
    return Items(split, trained, source, labels)


def split_of(labels: np.ndarray, count: int, seed: int) -> data.Split:
    """The first `count` items are learnt from and searched in, the others are queries."""
    order = np.random.default_rng(seed).permutation(count)
    labelled = []
    for number in np.unique(labels):
        rows = order[labels[order] == number]
        labelled.append(rows[: round(len(rows) / 10)])
    known = np.sort(np.concatenate(labelled))
    return data.Split(
        "test-asks-train",
        seed,
        queries=np.arange(count, len(labels)),
        validation=[],
        database=np.arange(count),
        labelled=known,
        unlabelled=np.setdiff1d(np.arange(count), known),
    )


@lru_cache(maxsize=1)
def read(name: str) -> tuple[data.Modalities, np.ndarray, int]:
    """Items, training part first; labels; how many are of the training part."""
    file, keys, _ = FILES[name]
    with np.load(DATA / file) as arrays:
        parts = {key: [arrays[f"{key}_{part}"].astype(np.float32) for part in ("train", "test")] for key in keys}
        labels = np.concatenate([arrays["label_train"], arrays["label_test"]]).astype(np.int64)
        count = len(arrays["label_train"])
    return data.Modalities({key: np.concatenate(both) for key, both in parts.items()}), labels, count


PAIRS, VIEWS = _group("wikipedia"), _group("mfeat")
GROUPS = (PAIRS, VIEWS)


def plan() -> Iterator[Cell]:
    """64 bits from five seeds, the others from three; the longer runs at 64 bits from one."""
    for bits in (64, 32, 16):
        for group in GROUPS:
            for cell in group.cells(bits=(bits,)):
                longer = cell.variant.name == LONGER
                if cell.seed < (int(bits == 64) if longer else 5 if bits == 64 else 3):
                    yield cell
