"""The same objects in several modalities, such as image and text; an object may lack some."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fasthash.data.sources.arrays import as_source
from fasthash.data.sources.source import Source, Standardisation


class Modalities(Source):
    """Named sources, one a modality, whose rows belong to the same objects in the same order.

    Read as one source, an item is all its modalities, flattened, side by side, with zeros for those that it lacks.
    Methods across modalities read one at a time (`modality`), and never rows that are absent there.

    Args:
        sources: at least one, by name, all of equal length; tensors and arrays are read as `ArraySource` reads them.
        present: by name, which objects have that modality, bool (n,); a modality that is not named is in all. What
            stands in the rows of the others does not matter.

    Attributes:
        names: of the modalities, in order.
        shapes: of one item in each.
        present: bool (n, modalities).

    Raises:
        TypeError: a name that is no text, or `present` that is not boolean.
        ValueError: no source, sources that differ in length or have several views, only some of which are
            standardised, `present` of another length or name, or NaN in a row that is present in a tensor or array.
            Mapped arrays and sources are not read here: for these a training set says so where it reads such a row.

    Example:
        >>> import torch
        >>> from fasthash.data import Modalities
        >>> sources = {"image": torch.ones(3, 4), "text": torch.ones(3, 2)}
        >>> pairs = Modalities(sources, present={"text": torch.tensor([True, False, True])})
        >>> pairs.shapes, pairs.take(torch.tensor([1])).tolist()
        ({'image': (4,), 'text': (2,)}, [[1.0, 1.0, 1.0, 1.0, 0.0, 0.0]])
    """

    def __init__(self, sources: Mapping[str, Any], present: Mapping[str, Any] | None = None) -> None:
        self._sources = {name: as_source(x) for name, x in sources.items()}
        present = {} if present is None else present
        for name in (*sources, *present):
            if not isinstance(name, str):
                raise TypeError(f"Modalities: sources: expected names that are texts, got {name!r}")
        lengths = {name: len(source) for name, source in self._sources.items()}
        if not lengths or len(set(lengths.values())) > 1:
            raise ValueError(f"Modalities: sources: expected at least one, all of equal length, got {lengths}")
        if any(source.views > 1 or source.random for source in self._sources.values()):
            raise ValueError("Modalities: sources: expected one plain view in each, got several or random ones")
        if len({source.standardisation is None for source in self._sources.values()}) > 1:
            raise ValueError("Modalities: sources: expected all or none standardised, got some")
        if not set(present) <= set(lengths):
            raise ValueError(f"Modalities: present: expected names of {list(lengths)}, got {list(present)}")
        self.names = tuple(lengths)
        self.shapes = {name: source.shape for name, source in self._sources.items()}
        self.shape = (sum(math.prod(shape) for shape in self.shapes.values()),)
        self.present = torch.ones(next(iter(lengths.values())), len(lengths), dtype=torch.bool)
        for name, rows in present.items():
            self.present[:, self.names.index(name)] = _mask(name, rows, len(self))
        for m, (name, x) in enumerate(sources.items()):
            if not isinstance(x, (Source, np.memmap)):
                self._read_through(name, self.present[:, m].nonzero()[:, 0])

    def __len__(self) -> int:
        return len(self.present)

    def modality(self, name: str) -> Source:
        """All objects in one modality; rows of those that lack it hold what they were given.

        Raises:
            ValueError: no modality of this name.
        """
        if name not in self._sources:
            raise ValueError(f"Modalities: modality: expected one of {list(self.names)}, got {name!r}")
        return self._sources[name]

    def only(self, *names: str) -> Modalities:
        """The same objects in these modalities: what a model of one pair of modalities is trained on."""
        columns = [self.names.index(name) for name in names if name in self._sources]
        return self._with({name: self.modality(name) for name in names}, self.present[:, columns])

    def take(self, index: Tensor, *, view: int | Tensor = 0, seeds: Tensor | None = None) -> Tensor:
        """See `Source.take`; on the CPU."""
        there = self.present[index]
        parts = [source.take(index).flatten(1).cpu() for source in self._sources.values()]
        return torch.cat([part.masked_fill_(~there[:, m, None], 0) for m, part in enumerate(parts)], 1)

    def select(self, rows: Any) -> Modalities:
        """See `Source.select`."""
        rows = torch.as_tensor(rows, dtype=torch.int64)
        return self._with({name: source.select(rows) for name, source in self._sources.items()}, self.present[rows])

    def standardised(self, rows: Any = None) -> Modalities:
        """See `Source.standardised`; each modality by those of the rows that have it, which must hold no NaN."""
        chosen = torch.arange(len(self)) if rows is None else torch.as_tensor(rows, dtype=torch.int64)
        there = {name: chosen[self.present[chosen, m]] for m, name in enumerate(self.names)}
        for name, own in there.items():
            if not len(own):
                raise ValueError(f"Modalities.standardised: rows: expected one that has {name!r} or more, got none")
        sources = {name: source.standardised(there[name]) for name, source in self._sources.items()}
        for name, source in sources.items():
            if source.standardisation is not None and source.standardisation.mean.isnan().any():
                self._read_through(name, there[name])
        return self._with(sources, self.present)

    @property
    def standardisation(self) -> Standardisation | None:
        """Of all modalities side by side, as `take` gives them; see `standardisation_of` for one of them."""
        found = [source.standardisation for source in self._sources.values()]
        if any(one is None for one in found):
            return None
        parts = [
            [side.expand(shape).flatten() for side in (one.mean, one.deviation)]
            for one, shape in zip(found, self.shapes.values(), strict=True)
            if one is not None
        ]
        return Standardisation(*(torch.cat(side) for side in zip(*parts, strict=True)))

    def digest(self, *, full: bool = False) -> str:
        """Of names, digests of the sources in order, and presence."""
        state = hashlib.blake2b(digest_size=16)
        for name, source in self._sources.items():
            state.update(f"{name}/{source.digest(full=full)}/".encode())
        state.update(self.present.contiguous().numpy().data)
        return state.hexdigest()

    def _read_through(self, name: str, rows: Tensor) -> None:
        """Refuse NaN in these rows of a modality."""
        reading = self._sources[name].reading
        if reading is None or not reading.uint8:
            for part in rows.split(1024):
                refuse_nan("Modalities", name, self._sources[name].take(part), part)

    def _with(self, sources: Mapping[str, Source], present: Tensor) -> Modalities:
        return Modalities(sources, {name: present[:, m] for m, name in enumerate(sources)})


def refuse_nan(function: str, modality: str, x: Tensor, rows: Tensor) -> None:
    """Raise a ValueError that names the modality and the first of these rows, int64 (b,), whose item in x has a NaN."""
    found = x.flatten(1).isnan().any(1)
    if found.any():
        row = int(rows[found.cpu()][0])
        raise ValueError(f"{function}: sources: expected no NaN in present rows, got row {row} of {modality!r}")


def rows_with_values(name: str, source: Source) -> Tensor:
    """Bool (n,): the rows of a modality that are not NaN as a whole, which is how a file of floats leaves some out.

    Raises:
        ValueError: a row in which some values are NaN and others not; it names the modality.
    """
    there = []
    for block in source.blocks():
        missing = block.flatten(1).isnan()
        there.append(~missing.all(1))
        torn = (missing.any(1) & there[-1]).nonzero()[:, 0]
        if len(torn):
            row = sum(map(len, there[:-1])) + int(torn[0])
            raise ValueError(
                f"open_dataset: modalities: expected rows NaN as a whole or not at all, got row {row} of {name!r}"
            )
    return torch.cat(there) if there else torch.ones(0, dtype=torch.bool)


def standardisation_of(
    modality: str, shapes: Mapping[str, tuple[int, ...]], together: Standardisation | None
) -> Standardisation | None:
    """The part of one modality of what `Modalities.standardisation` gave; None of None.

    Args:
        modality: its name.
        shapes: of all modalities, in order.
        together: of all, side by side.
    """
    if together is None:
        return None
    names = list(shapes)
    sizes = [math.prod(shape) for shape in shapes.values()]
    place, shape = names.index(modality), shapes[modality]
    mean, deviation = (side.split(sizes)[place].reshape(shape) for side in (together.mean, together.deviation))
    return Standardisation(mean, deviation)


def _mask(name: str, rows: Any, items: int) -> Tensor:
    mask = rows if isinstance(rows, Tensor) else torch.from_numpy(np.array(rows))
    if mask.dtype != torch.bool:
        raise TypeError(f"Modalities: present: expected bool for {name!r}, got {mask.dtype}")
    if mask.shape != (items,):
        raise ValueError(f"Modalities: present: expected ({items},) for {name!r}, got {tuple(mask.shape)}")
    return mask.cpu()
