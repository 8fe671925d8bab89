"""What a method computes of all its items, or of a sample, outside of steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from fasthash.data import TrainingSet
from fasthash.methods.state import State

ITEMS = 256  # through the network at once
SAMPLE = 2048  # items whose pairs decide about thresholds


def sample_of_items(state: State) -> Tensor:
    """Places of some items, drawn anew, in order: all if there are few."""
    n = len(state.data)
    drawn = torch.randperm(n, generator=state.generator("sample"), device=state.device)[:SAMPLE]
    return drawn.sort().values


def outputs_of_items(
    state: State, network: nn.Module, call: nn.Module | Callable[[Tensor], Tensor], index: Tensor | None = None
) -> Tensor:
    """What `call` makes of all items, or of those at some places, in their plain view: float32 (n, ...).

    The network is in evaluation mode for it, and afterwards as it was, part by part.
    """
    data = state.data
    blocks = data.blocks(size=ITEMS) if index is None else map(data.take, index.cpu().split(ITEMS))
    modes = {module: module.training for module in network.modules()}
    network.eval()
    found = torch.cat([call(x.to(state.device)).float() for x in blocks])
    for module, training in modes.items():
        module.training = training
    return found


def item_features(data: TrainingSet, tensors: Mapping[str, Tensor], index: Tensor) -> Tensor:
    """Feature vectors of length 1 at these places: kept ones, or the items themselves."""
    if "features" in tensors:
        return tensors["features"][index]
    return normalize(data.take(index.cpu()).flatten(1)).to(index.device)
