"""Packed codes of items by a network, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fasthash.data import Standardisation, as_source
from fasthash.ops import pack


def device_of(network: nn.Module) -> torch.device:
    """Where a network lives; the CPU if nothing in it says so."""
    for tensor in (*network.parameters(), *network.buffers()):
        return tensor.device
    return torch.device("cpu")


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients; afterwards each part is in the mode it was in, and so are random numbers."""
    modes = {module: module.training for module in network.modules()}
    device = device_of(network)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.no_grad():
        network.eval()
        try:
            yield
        finally:
            for module, training in modes.items():
                module.training = training


def encode_batches(
    network: nn.Module, x: Any, bits: int, batch_size: int, standardisation: Standardisation | None = None
) -> Iterator[tuple[slice, Tensor]]:
    """Codes uint8 (b, ceil(bits / 8)) of batch after batch of items (n, ...), with their rows, on the network's device.

    Items go through the standardisation first, unless they are a source that went through it before.

    Raises:
        ValueError: a network of another width than `bits`, or a source that went through another standardisation.
    """
    source = as_source(x).standardised_by(standardisation)
    device = device_of(network)
    # A sigmoid's outputs are all positive: where a network tells its logits, these are packed.
    logits = getattr(network, "logits", network)
    for start in range(0, len(x), batch_size):
        rows = slice(start, min(start + batch_size, len(x)))
        part = source.take(torch.arange(rows.start, rows.stop))
        outputs = logits(part.to(device))
        if outputs.shape != (len(part), bits):
            raise ValueError(
                f"Hasher.encode: network: expected outputs ({len(part)}, {bits}), got {tuple(outputs.shape)}"
            )
        yield rows, pack(outputs)
