"""Very short codes learnt with all labels: MAH in both structures beside ADSH of one length."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from cifar10 import FEATURES
from method_cells import Cell, Group, Items, Variant

from fasthash import data, methods

LABELS = 59_000
PRESET = f"cifar10-features-{LABELS}"
FEATURE_SCALE = 6 / 255  # of the stored features
ALONE = "adsh"
LOUDER = "adsh, loss x 4"
STRUCTURES = ("mah, flat", "mah, cascade")
# Plain descent with the loss times 4, as MAH weighs its shortest head: four times the rate, a quarter of the decay.
_RATE, _DECAY = (getattr(methods.create(ALONE, preset=f"{PRESET}-plain").optimiser, x) for x in ("lr", "weight_decay"))
LOUDER_OPTIONS = {"optimiser": {"lr": 4 * _RATE, "weight_decay": _DECAY / 4}}


@lru_cache(maxsize=1)
def load(seed: int) -> Items:
    """The split of this seed, all of whose database is labelled, and its items."""
    found = data.open_dataset("features", FEATURES, scale=FEATURE_SCALE)
    split = data.make_split("cifar10-59k-full", found.labels, seed=seed)
    training = data.TrainingSet.from_split(found.source, found.labels, split, standardise=True)
    return Items(split, training, training.source, found.labels)


def _group(name: str, preset: str, bits: tuple[int, ...], controls: tuple[Variant, ...] = ()) -> Group:
    variants = (
        Variant(ALONE, "adsh", preset=preset),
        *controls,
        *(Variant(variant, "mah", {"structure": variant.removeprefix("mah, ")}, preset) for variant in STRUCTURES),
    )
    return Group(name, LABELS, variants, bits, 5, load, ALONE, tuple(variant.name for variant in variants[1:]))


COURSE = _group("cifar10-features", PRESET, (4, 6, 8, 10, 12))
PLAIN = _group(
    "cifar10-features, plain course",
    f"{PRESET}-plain",
    (4, 6, 8),
    (Variant(LOUDER, ALONE, LOUDER_OPTIONS, f"{PRESET}-plain"),),
)
GROUPS = (COURSE, PLAIN)


def plan() -> Iterator[Cell]:
    """All cells, the most wanted first."""
    for width in (8, 4, 6):
        yield from COURSE.cells((ALONE, STRUCTURES[0]), (width,))
        yield from PLAIN.cells((ALONE, STRUCTURES[1]), (width,))
    for names, bits in ((STRUCTURES[1:], (8, 4, 6)), (None, (10, 12))):
        yield from COURSE.cells(names, bits)
    yield from PLAIN.cells((LOUDER,))
    yield from PLAIN.cells(STRUCTURES[:1])
