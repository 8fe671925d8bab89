"""A hash network for each modality, whose codes are searched together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from torch import Tensor, nn

from fasthash.networks.build import NetworkConfig, build_network
from fasthash.networks.heads import HashNetwork


class ModalNetwork(nn.Module):
    """Branches by name, one a modality, with no shared weights.

    Args:
        branches: hash networks (n, ...) -> (n, bits).

    Raises:
        ValueError: no branch.

    Example:
        >>> import torch
        >>> from fasthash.networks import NetworkConfig, build_modal_network
        >>> network = build_modal_network(NetworkConfig(), {"image": (128,), "text": (10,)}, bits=16)
        >>> network(torch.randn(5, 10), "text").shape
        torch.Size([5, 16])
    """

    def __init__(self, branches: Mapping[str, HashNetwork]) -> None:
        super().__init__()
        if not branches:
            raise ValueError("ModalNetwork: branches must be at least one, got none")
        self.names = tuple(branches)
        # A list, since a ModuleDict takes not every name.
        self.branches = nn.ModuleList(branches.values())

    def branch(self, modality: str) -> HashNetwork:
        """The network of one modality.

        Raises:
            ValueError: there is none of this name.
        """
        if modality not in self.names:
            raise ValueError(f"ModalNetwork: modality must be one of {list(self.names)}, got {modality!r}")
        return cast(HashNetwork, self.branches[self.names.index(modality)])

    def items(self) -> Iterator[tuple[str, HashNetwork]]:
        """Names and branches, in order."""
        return ((name, self.branch(name)) for name in self.names)

    def forward(self, x: Tensor, modality: str) -> Tensor:
        """Items of one modality (n, ...) -> relaxed codes (n, bits)."""
        return cast(Tensor, self.branch(modality)(x))


def build_modal_network(
    config: NetworkConfig, shapes: Mapping[str, tuple[int, ...]], bits: int, *, pretrained: bool = True
) -> ModalNetwork:
    """A network of one config for each modality; arguments and errors as for `build_network`.

    Args:
        config: what each branch is.
        shapes: of one item in each modality.
        bits: outputs of each branch.
        pretrained: see `build_network`.
    """
    return ModalNetwork(
        {name: build_network(config, shape, bits, pretrained=pretrained) for name, shape in shapes.items()}
    )
