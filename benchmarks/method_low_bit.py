"""Very short codes learnt with all labels: MAH in both structures beside ADSH of one length."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from cifar10 import FEATURES
from method_cells import Cell, Group, Items, Variant

from fasthash import data

LABELS = 59_000
PRESET = f"cifar10-features-{LABELS}"
FEATURE_SCALE = 6 / 255  # of the stored features
ALONE, GROUPED = "adsh", ("mah, cascade", "mah, flat")


@lru_cache(maxsize=1)
def load(seed: int) -> Items:
    """The split of this seed, all of whose database is labelled, and its items."""
    found = data.open_dataset("features", FEATURES, scale=FEATURE_SCALE)
    split = data.make_split("cifar10-59k-full", found.labels, seed=seed)
    training = data.TrainingSet.from_split(found.source, found.labels, split, standardise=True)
    return Items(split, training, training.source, found.labels)


def _group(bits: tuple[int, ...], seeds: int) -> Group:
    variants = (
        Variant(ALONE, "adsh", preset=PRESET),
        *(Variant(name, "mah", {"structure": name.removeprefix("mah, ")}, PRESET) for name in GROUPED),
    )
    return Group("cifar10-features", LABELS, variants, bits, seeds, load, ALONE, GROUPED)


LOW_BIT = _group((4, 6, 8, 10, 12), 5)
GROUPS = (LOW_BIT,)


def plan() -> Iterator[Cell]:
    """All cells, the most wanted first."""
    for width in (8, 4, 6, 10, 12):
        yield from LOW_BIT.cells(bits=(width,))
