"""From a run folder to codes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fasthash.data import ItemSpec, Modalities, Reading, Source, Standardisation, as_source, standardisation_of
from fasthash.methods import Method
from fasthash.networks import ModalNetwork
from fasthash.ops import pack
from fasthash.training.averaging import add_average, encoder_of
from fasthash.training.checkpoint import BEST, latest_checkpoint, load_modules, load_tensors
from fasthash.training.encoding import encode_batches
from fasthash.training.run import Run

A = TypeVar("A", Tensor, NDArray[Any])


class Hasher:
    """A trained network that makes packed codes.

    Args:
        network: (n, ...) -> (n, bits); it is put into evaluation mode.
        bits: width of the codes.
        standardisation: of the items that it was trained on, if they were standardised; `encode` does the same.
        reading: how the values of arrays that it was trained on were read; `encode` reads arrays of their kind so.
        shape: of one item, which `encode` then checks.
        of_length: what makes codes of other lengths, by length; parts of `network`.
        learnt: codes that training found for items themselves: their rows of the x that the training set was made from,
            int64 (n,), and the codes by length, int8 (n, length).
        modalities: what makes the codes of each modality, by name, for a network of several.
    """

    def __init__(
        self,
        network: nn.Module,
        bits: int,
        *,
        standardisation: Standardisation | None = None,
        reading: Reading | None = None,
        shape: tuple[int, ...] | None = None,
        of_length: Mapping[int, nn.Module] | None = None,
        learnt: tuple[Tensor, Mapping[int, Tensor]] | None = None,
        modalities: Mapping[str, Hasher] | None = None,
    ) -> None:
        self.network = network.eval()
        self.bits = bits
        self.standardisation = standardisation
        self.reading = reading
        self.shape = shape
        self._of_length = {bits: network, **(of_length or {})}
        self._learnt = learnt
        self.modalities = dict(modalities or {})

    @property
    def lengths(self) -> tuple[int, ...]:
        """The code lengths that `encode` knows, `bits` first."""
        return tuple(self._of_length)

    @property
    def database_rows(self) -> Tensor | None:
        """Rows, int64 (n,), of the x that the training set was made from, whose codes training found; None = none."""
        return None if self._learnt is None else self._learnt[0]

    def database_codes(self, length: int | None = None) -> Tensor:
        """Packed codes that training found for its items themselves, on the CPU.

        They are those at the end of training, or where it stands, whichever weights `load` took.

        Args:
            length: one of `lengths`; None = `bits`.

        Returns:
            uint8 (n, ceil(length / 8)), those of `database_rows`.

        Raises:
            ValueError: another length, or a run that found no codes, or none yet.
        """
        length = self._length("database_codes", length)
        if self._learnt is None:
            raise ValueError(
                "Hasher.database_codes: expected a run that found codes of its items, got one with none, or none yet"
            )
        return pack(self._learnt[1][length])

    def encode_database(self, x: Any, rows: Any, *, length: int | None = None, batch_size: int = 1024) -> Tensor:
        """Packed codes of database items: those that training found where it found some, the network's elsewhere.

        A run that stopped before it found any, of which `load` warns, has the network's alone.

        Args:
            x: items (n, ...), as for `encode`.
            rows: which rows they are of the x that the training set was made from, int (n,).
            length: one of `lengths`; None = `bits`.
            batch_size: items encoded at once.

        Returns:
            uint8 (n, ceil(length / 8)), on the CPU.

        Raises:
            TypeError, ValueError: as `encode`, or rows of another number than x.
        """
        rows = torch.as_tensor(rows).cpu()
        if rows.shape != (len(x),):
            raise ValueError(
                f"Hasher.encode_database: rows must have shape ({len(x)},) like x, got {tuple(rows.shape)}"
            )
        source = as_source(x, self.reading)
        found = self.database_rows
        if found is None:
            return self.encode(source, length=length, batch_size=batch_size).cpu()
        known = self.database_codes(length)
        order = found.argsort()
        place = order[torch.searchsorted(found[order], rows).clamp(max=len(found) - 1)]
        learnt = found[place] == rows
        codes = known[place]
        (others,) = torch.where(~learnt)
        if len(others):
            codes[others] = self.encode(source.select(others), length=length, batch_size=batch_size).cpu()
        return codes

    def _length(self, function: str, length: int | None) -> int:
        if length is not None and length not in self._of_length:
            raise ValueError(f"Hasher.{function}: length must be one of {self.lengths}, got {length}")
        return self.bits if length is None else length

    def to(self, device: str | torch.device) -> Hasher:
        """Move the network."""
        self.network.to(device)
        return self

    @overload
    def encode(
        self, x: Source, *, modality: str | None = ..., length: int | None = ..., batch_size: int = ...
    ) -> Tensor: ...
    @overload
    def encode(self, x: A, *, modality: str | None = ..., length: int | None = ..., batch_size: int = ...) -> A: ...

    @torch.no_grad()
    def encode(self, x: Any, *, modality: str | None = None, length: int | None = None, batch_size: int = 1024) -> Any:
        """Packed codes of items.

        Items go to the network's device a batch at a time, and codes come back where the items are.

        Args:
            x: items (n, ...), a floating or uint8 tensor or array, also a mapped one, or a `data.Source`; only a batch
                at a time is read. Arrays of the kind that training read, uint8 or floating, are read as there, with
                its scale, offset and channels_last; others as `data.ArraySource` does: uint8 as value / 255, floats as
                they are. A source is taken as it is; of `data.Modalities` the one that is asked for, all rows.
            modality: which one x is, for a network of several.
            length: of the codes, one of `lengths`; None = `bits`.
            batch_size: items at once.

        Returns:
            uint8 (n, ceil(length / 8)), the same kind as x; of a source a tensor.

        Raises:
            TypeError: x of another kind or dtype.
            ValueError: no modality, or an unknown one, for a network of several, or one for a network of a single
                kind; another length, batch_size below 1, items of another shape than `shape`, a network of another
                width than `bits`, or a source that is standardised in another way than the training items.
        """
        if modality is not None or self.modalities:
            if modality not in self.modalities:
                known = ", ".join(map(repr, self.modalities)) or "None"
                raise ValueError(f"Hasher.encode: modality must be one of {known}, got {modality!r}")
            part = x.modality(modality) if isinstance(x, Modalities) else x
            return self.modalities[modality].encode(part, length=length, batch_size=batch_size)
        kind = "source" if isinstance(x, Source) else str(getattr(x, "dtype", type(x).__name__)).split(".")[-1]
        if kind not in ("source", "uint8") and not (isinstance(x, Tensor | np.ndarray) and "float" in kind):
            raise TypeError(
                f"Hasher.encode: x must be a floating or uint8 tensor or array, or a data.Source, got {kind}"
            )
        length = self._length("encode", length)
        if batch_size < 1:
            raise ValueError(f"Hasher.encode: batch_size must be >= 1, got {batch_size}")
        source = as_source(x, self.reading)
        if self.shape is not None and source.shape != self.shape:
            raise ValueError(
                f"Hasher.encode: x must have items of shape {self.shape}, as in training, got {source.shape}"
            )
        network = self._of_length[length]
        parts = encode_batches(network, source, length, batch_size, self.standardisation)
        shape = (len(x), -(-length // 8))
        codes = torch.empty(shape, dtype=torch.uint8, device=x.device if isinstance(x, Tensor) else "cpu")
        for rows, part in parts:
            codes[rows] = part
        return codes.numpy() if isinstance(x, np.ndarray) else codes


def load(
    run: Run | str | os.PathLike[str],
    *,
    which: Literal["best", "last"] | None = None,
    method: Method | None = None,
    network: nn.Module | None = None,
) -> Hasher:
    """The trained network of a run, on the CPU.

    Args:
        run: a run folder, finished or not.
        which: the weights that were "best" on the validation items, or the "last" ones; None = the best where there
            are some.
        method: to encode in another way, the run's own method changed by `dataclasses.replace` (PTS3H: encode_with).
        network: one like the network that `fit` was given; its weights are set in place.

    Returns:
        What makes codes.

    Raises:
        FileNotFoundError: no run there, or one without a checkpoint.
        ValueError: the run was trained with a network of the caller's, and none is given; or the best weights are
            asked of a run without validation.

    Warns:
        UserWarning: a run of ADSH or MAH that stopped before it learnt codes of the database.

    Example:
        >>> from fasthash import training
        >>> codes = training.load("runs/first").encode(images)  # doctest: +SKIP
    """
    run = run if isinstance(run, Run) else Run(run)
    config = run.config()
    saved = latest_checkpoint(run.checkpoints)
    if saved is None:
        raise FileNotFoundError(f"load: run must hold a checkpoint, got none in {str(run.checkpoints)!r}")
    if which not in (None, "best", "last"):
        raise ValueError(f'load: which must be "best", "last" or None, got {which!r}')
    scored = (saved / BEST).exists()
    if which == "best" and not scored:
        raise ValueError("load: which must be 'last' for a run without validation scores, got 'best'")
    if config["own_network"] and network is None:
        raise ValueError("load: network must be given for a run whose fit was given one, got None")
    # A method of the caller's says itself what encodes.
    average = config["training"].get("ema") if method is None else None
    method = run.method() if method is None else method
    shapes = {name: tuple(shape) for name, shape in config["items"].get("modalities", ())}
    items = ItemSpec(tuple(config["items"]["shape"]), config["items"]["classes"], tuple(shapes.items()))
    # Weights are drawn only to be overwritten: the caller's random numbers are left alone.
    with torch.random.fork_rng(devices=[]):
        network = network or method.hash_network(items, pretrained=False)
        modules = method.modules(network, items)
    if average is not None:
        add_average(method, modules, average)
    load_modules(saved, modules, best=scored if which is None else which == "best")
    encoder, standardisation, reading = encoder_of(method, modules), run.standardisation(), config.get("reading")
    if not isinstance(encoder, ModalNetwork):
        return Hasher(
            encoder,
            method.bits,
            standardisation=standardisation,
            reading=None if reading is None or shapes else Reading(**reading),
            shape=items.shape,
            of_length={length: method.of_length(encoder, length) for length in method.code_lengths},
            learnt=method.learnt_codes(load_tensors(saved)),
        )
    readings: dict[str, Any] = reading or {}
    hashers = {
        name: Hasher(
            branch,
            method.bits,
            standardisation=standardisation_of(name, shapes, standardisation),
            reading=None if readings.get(name) is None else Reading(**readings[name]),
            shape=shapes[name],
        )
        for name, branch in encoder.items()
    }
    return Hasher(encoder, method.bits, standardisation=standardisation, modalities=hashers)
