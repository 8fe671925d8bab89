"""What a run of `methods.py` is: a variant of a method on a data set, at one width, from one seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fasthash import data, methods


@dataclass(frozen=True)
class Variant:
    """A method and what is changed in it.

    Attributes:
        name: in the tables.
        method: in the registry.
        options: beside those of the preset.
        preset: of `fasthash.methods`; None = the defaults.
        training: options of `training.Config`.
        of: the variant whose runs this one encodes in another way (its options differ in that alone); None = its own.
    """

    name: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    preset: str | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    of: str | None = None


@dataclass(frozen=True)
class Items:
    """What a run reads, and what it is measured on."""

    split: data.Split
    training: data.TrainingSet
    source: data.Source  # of all items, standardised where training is
    labels: np.ndarray


@dataclass(frozen=True)
class Group:
    """The runs of one table.

    Attributes:
        data: name of the items, in rows and tables.
        labels: how many of them are labelled; without labels, how many are trained on.
        variants: one a line.
        bits: one a column.
        seeds: how many, from 0.
        load: items of a seed.
        baseline: name of the variant that others are compared with, by seed.
        compared: names of those others.
        reading: how the items are read, for the row.
    """

    data: str
    labels: int
    variants: tuple[Variant, ...]
    bits: tuple[int, ...]
    seeds: int
    load: Callable[[int], Items]
    baseline: str | None = None
    compared: tuple[str, ...] = ()
    reading: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of its table."""
        return f"{self.data} {self.labels}"

    def cells(self, names: Sequence[str] | None = None, bits: Sequence[int] | None = None) -> Iterator[Cell]:
        """Its runs, of these variants and widths, a seed after the other."""
        for seed in range(self.seeds):
            for width in self.bits if bits is None else bits:
                for variant in self.variants:
                    if names is None or variant.name in names:
                        yield Cell(self, variant, width, seed)


@dataclass(frozen=True)
class Cell:
    """One run."""

    group: Group
    variant: Variant
    bits: int
    seed: int

    def __str__(self) -> str:
        return " ".join(self.key())

    def key(self) -> tuple[str, ...]:
        """What its rows are known by, beside their options."""
        return (self.group.data, str(self.group.labels), self.variant.name, str(self.bits), str(self.seed))

    def words(self) -> set[str]:
        """What `--only` may name."""
        return set(self.key()[:-1])

    def method(self) -> methods.Method:
        """The method with its options."""
        return methods.create(self.variant.method, preset=self.variant.preset, bits=self.bits, **self.variant.options)

    def runs(self) -> Cell:
        """The cell that trains: itself, or the one whose run it encodes in another way."""
        return self if self.variant.of is None else self._sister(self.variant.of)

    def encodes(self) -> list[Cell]:
        """The cells that its run fills: itself first."""
        return [self, *(self._sister(v.name) for v in self.group.variants if v.of == self.variant.name)]

    def _sister(self, name: str) -> Cell:
        (variant,) = (variant for variant in self.group.variants if variant.name == name)
        return Cell(self.group, variant, self.bits, self.seed)
