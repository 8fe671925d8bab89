"""From a run folder to codes."""

from __future__ import annotations

import os
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fasthash.data import ItemSpec
from fasthash.methods import Method
from fasthash.networks import build_network
from fasthash.ops import pack
from fasthash.training.checkpoint import latest_checkpoint, load_modules
from fasthash.training.run import Run

A = TypeVar("A", Tensor, NDArray[Any])


class Hasher:
    """A trained network that makes packed codes.

    Args:
        network: (n, ...) -> (n, bits); its `logits` are packed if it has such, else its outputs. It is put into
            evaluation mode.
        bits: width of the codes.
    """

    def __init__(self, network: nn.Module, bits: int) -> None:
        self.network = network.eval()
        self.bits = bits

    def to(self, device: str | torch.device) -> Hasher:
        """Move the network."""
        self.network.to(device)
        return self

    @torch.no_grad()
    def encode(self, x: A, *, batch_size: int = 1024) -> A:
        """Packed codes of items.

        Items go to the network's device a batch at a time, and codes come back where the items are.

        Args:
            x: items (n, ...), floating; torch or NumPy.
            batch_size: items at once.

        Returns:
            uint8 (n, ceil(bits / 8)), the same kind as x.

        Raises:
            TypeError: x is neither a floating tensor nor a floating array.
            ValueError: batch_size below 1, or a network of another width than `bits`.
        """
        if not (isinstance(x, Tensor) and x.is_floating_point()) and not (
            isinstance(x, np.ndarray) and np.issubdtype(x.dtype, np.floating)
        ):
            got = getattr(x, "dtype", type(x).__name__)
            raise TypeError(f"Hasher.encode: x must be a floating tensor or array, got {got}")
        if batch_size < 1:
            raise ValueError(f"Hasher.encode: batch_size must be >= 1, got {batch_size}")
        if isinstance(x, Tensor):
            codes = torch.empty((len(x), -(-self.bits // 8)), dtype=torch.uint8, device=x.device)
            for start in range(0, len(x), batch_size):
                codes[start : start + batch_size] = self._codes(x[start : start + batch_size])
            return codes
        rows = np.empty((len(x), -(-self.bits // 8)), dtype=np.uint8)
        for start in range(0, len(x), batch_size):
            # A copy in native order: read-only, reversed and foreign arrays are welcome.
            part = torch.from_numpy(x[start : start + batch_size].astype(np.float32))
            rows[start : start + batch_size] = self._codes(part).cpu().numpy()
        return rows

    def _codes(self, x: Tensor) -> Tensor:
        device = next(self.network.parameters()).device
        # A sigmoid's outputs are all positive: where a network tells its logits, these are packed.
        logits = getattr(self.network, "logits", self.network)
        outputs = logits(x.to(device, torch.float32))
        if outputs.shape != (len(x), self.bits):
            raise ValueError(
                f"Hasher.encode: network: expected outputs ({len(x)}, {self.bits}), got {tuple(outputs.shape)}"
            )
        codes: Tensor = pack(outputs)
        return codes


def load(
    run: Run | str | os.PathLike[str], *, method: Method | None = None, network: nn.Module | None = None
) -> Hasher:
    """The trained network of a run, on the CPU.

    Args:
        run: a run folder, finished or not.
        method: to encode in another way, the run's own method changed by `dataclasses.replace` (PTS3H: encode_with).
        network: one like the network that `fit` was given; its weights are set in place.

    Returns:
        What makes codes.

    Raises:
        FileNotFoundError: no run there, or one without a checkpoint.
        ValueError: the run was trained with a network of the caller's, and none is given.

    Example:
        >>> from fasthash import training
        >>> codes = training.load("runs/first").encode(images)  # doctest: +SKIP
    """
    run = run if isinstance(run, Run) else Run(run)
    config = run.config()
    saved = latest_checkpoint(run.checkpoints)
    if saved is None:
        raise FileNotFoundError(f"load: run must hold a checkpoint, got none in {str(run.checkpoints)!r}")
    if config["own_network"] and network is None:
        raise ValueError("load: network must be given for a run whose fit was given one, got None")
    method = run.method() if method is None else method
    # Weights are drawn only to be overwritten: the caller's random numbers are left alone.
    with torch.random.fork_rng(devices=[]):
        shape = tuple(config["items"]["shape"])
        network = network or build_network(method.network, shape, method.bits, pretrained=False)
        modules = method.modules(network, ItemSpec(shape, config["items"]["classes"]))
    load_modules(saved, modules)
    return Hasher(method.encoder(modules), method.bits)
