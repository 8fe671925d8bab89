"""Heads of several code lengths on one feature vector."""

from __future__ import annotations

from typing import Literal, TypeAlias, cast

from torch import Tensor, nn

from fasthash.networks.heads import HashNetwork, relax

Structure: TypeAlias = Literal["flat", "cascade"]


class GroupHead(nn.Module):
    """Feature vectors to the logits of several lengths; called as a head, it gives those of the shortest.

    "flat": one linear layer for each length. "cascade": one for the longest, then from the logits of each length, with
    nothing between, one for the next shorter. Source: MAH, Luo et al., "Collaborative Learning for Extremely Low Bit
    Asymmetric Hashing", TKDE 2021, as released.

    Where heads meet, the gradient that goes on towards the features can be divided; values stay as they are.

    Args:
        head: of a `HashNetwork`: its last linear layer is replaced, what stands before is shared by all lengths.
        lengths: bits, from short to long.
        structure: "flat" or "cascade".
        divide_all: by what the gradient is divided where all heads meet: after the shared part ("flat"), or at the
            logits of the longest length ("cascade").
        divide_links: by what, at the logits of each length between the longest and the shortest ("cascade").

    Raises:
        TypeError: a head that does not end in a linear layer.
        ValueError: no lengths, one below 1, an unknown structure, or a divisor that is not positive.

    Example:
        >>> import torch
        >>> from fasthash.networks import GroupHead, linear_head
        >>> head = GroupHead(linear_head(64, bits=4), (4, 8, 16), "cascade")
        >>> [tuple(z.shape) for z in head.logits(torch.randn(5, 64))], tuple(head(torch.randn(5, 64)).shape)
        ([(5, 4), (5, 8), (5, 16)], (5, 4))
    """

    def __init__(
        self,
        head: nn.Module,
        lengths: tuple[int, ...],
        structure: Structure = "flat",
        *,
        divide_all: float = 1.0,
        divide_links: float = 1.0,
    ) -> None:
        super().__init__()
        layers = list(head) if isinstance(head, nn.Sequential) else [head]
        if isinstance(head, GroupHead):
            layers = [*head.shared, head.layers[0]]
        last = layers.pop()
        if not isinstance(last, nn.Linear):
            raise TypeError(f"GroupHead: head must end in a linear layer, got {type(last).__name__}")
        if structure not in ("flat", "cascade"):
            raise ValueError(f'GroupHead: structure must be one of "flat", "cascade", got {structure!r}')
        if not lengths or min(lengths) < 1:
            raise ValueError(f"GroupHead: lengths must be one or more, each >= 1, got {lengths}")
        if not min(divide_all, divide_links) > 0:
            raise ValueError(f"GroupHead: divisors must be > 0, got {divide_all} and {divide_links}")
        self.lengths, self.structure = lengths, structure
        self.divide_all, self.divide_links = divide_all, divide_links
        self.shared: nn.Sequential = nn.Sequential(*layers)
        downwards = lengths[::-1]
        inputs = [last.in_features] * len(lengths)
        if structure == "cascade":
            inputs[1:] = downwards[:-1]
        # From long to short, as they are run: the first one takes the features.
        self.layers: nn.ModuleList = nn.ModuleList(
            nn.Linear(size, bits, device=last.weight.device, dtype=last.weight.dtype)
            for size, bits in zip(inputs, downwards, strict=True)
        )

    def logits(self, features: Tensor) -> list[Tensor]:
        """(n, features) -> (n, length) of each length, from short to long."""
        x = self.shared(features)
        if self.structure == "flat":
            x = _divided(x, self.divide_all if len(self.layers) > 1 else 1.0)
            return [layer(x) for layer in self.layers][::-1]
        found = []
        for place, layer in enumerate(self.layers):
            x = layer(x)
            if place + 1 < len(self.layers):
                x = _divided(x, self.divide_links if place else self.divide_all)
            found.append(x)
        return found[::-1]

    def forward(self, features: Tensor) -> Tensor:
        """(n, features) -> logits of the shortest length."""
        return self.logits(features)[0]


class OfLength(nn.Module):
    """A network with a `GroupHead`, seen as one of a certain length.

    Args:
        network: the network.
        length: one of its head's.

    Raises:
        TypeError: a network with another head.
        ValueError: another length.
    """

    def __init__(self, network: HashNetwork, length: int) -> None:
        super().__init__()
        if not isinstance(network.head, GroupHead):
            raise TypeError(f"OfLength: network must have a GroupHead, got {type(network.head).__name__}")
        if length not in network.head.lengths:
            raise ValueError(f"OfLength: length must be one of {network.head.lengths}, got {length}")
        self.network = network
        self.place = network.head.lengths.index(length)

    def logits(self, x: Tensor) -> Tensor:
        """(n, ...) -> logits (n, length)."""
        return cast(GroupHead, self.network.head).logits(self.network.features(x))[self.place]

    def forward(self, x: Tensor) -> Tensor:
        """(n, ...) -> relaxed codes (n, length)."""
        return relax(self.logits(x), self.network.relaxation, self.network.straight_through)


def _divided(x: Tensor, by: float) -> Tensor:
    """x itself, whose gradient is divided on its way back."""
    if by != 1 and x.requires_grad:
        x = x.view_as(x)  # so that the hook stays off what others made
        x.register_hook(lambda gradient: gradient / by)
    return x
