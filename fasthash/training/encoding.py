"""Packed codes of items by a network, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from fasthash.data import Source, Standardisation
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
    network: nn.Module, source: Source, bits: int, batch_size: int, standardisation: Standardisation | None = None
) -> Iterator[tuple[slice, Tensor]]:
    """Codes uint8 (b, ceil(bits / 8)) of batch after batch of items, with their rows, on the network's device.

    Args:
        network: what makes them.
        source: the items.
        bits: width of the codes.
        batch_size: items at once.
        standardisation: of the items that the network was trained on; done to items that have none.

    Raises:
        ValueError: a network of another width than `bits`, or items standardised in another way.
    """
    if not _agree(source.standardisation, standardisation):
        raise ValueError(
            "Hasher.encode: x must be plain or standardised as the training items were, got another standardisation"
        )
    plain = source.standardisation is None
    device = device_of(network)
    # A sigmoid's outputs are all positive: where a network tells its logits, these are packed.
    logits = getattr(network, "logits", network)
    for start in range(0, len(source), batch_size):
        rows = slice(start, min(start + batch_size, len(source)))
        part = source.take(torch.arange(rows.start, rows.stop)).to(device)
        outputs = logits(standardisation(part) if standardisation is not None and plain else part)
        if outputs.shape != (len(part), bits):
            raise ValueError(
                f"Hasher.encode: network: expected outputs ({len(part)}, {bits}), got {tuple(outputs.shape)}"
            )
        yield rows, pack(outputs)


def _agree(found: Standardisation | None, wanted: Standardisation | None) -> bool:
    if found is None or wanted is None:
        return found is None
    return torch.equal(found.mean, wanted.mean) and torch.equal(found.deviation, wanted.deviation)
