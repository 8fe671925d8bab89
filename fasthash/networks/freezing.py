"""Which part of a hash network is trained: all of it, the head, or the head and the end of the backbone."""

from __future__ import annotations

import re

from torch import nn

from fasthash.networks.heads import HashNetwork


def trainable_units(trainable: str) -> int | None:
    """Units of the backbone that "head" (0) or "last:N" (N) leave trainable; None for "all".

    Raises:
        ValueError: none of these.
    """
    found = re.fullmatch(r"all|head|last:([1-9]\d*)", trainable)
    if not found:
        raise ValueError(f'NetworkConfig: trainable must be "all", "head" or "last:N" with N >= 1, got {trainable!r}')
    return None if trainable == "all" else int(found[1] or 0)


def backbone_units(backbone: nn.Module) -> list[nn.Module]:
    """A backbone's parts in the order in which they were defined, which is that of execution in the usual ones.

    Sequences are taken apart, and so is a module that is nothing but the shell of one with weights; every other module
    is one unit: a layer, a residual block.
    """
    children = list(backbone.children())
    if not children:
        return [backbone]
    if len(children) == 1:
        return backbone_units(children[0])
    units: list[nn.Module] = []
    for child in children:
        units += backbone_units(child) if isinstance(child, nn.Sequential) else [child]
    return units


def freeze(network: HashNetwork, trainable: str) -> HashNetwork:
    """Leave the head and the last units of the backbone trainable, and freeze everything before them.

    Frozen weights take no gradient, so that autograd keeps nothing for them and `OptimiserConfig.build` leaves them
    out; frozen parts stay in evaluation mode (no dropout, batch-norm statistics as they are). Parts without weights
    behind the last frozen ones, such as dropout on the features, stay as they are.

    Args:
        network: changed in place.
        trainable: "all"; "head"; "last:N" = the head and the last N parts of the backbone with weights (a layer or a
            residual block each).

    Returns:
        The network.

    Raises:
        ValueError: an unknown trainable, or more units than the backbone has.

    Example:
        >>> from fasthash.networks import NetworkConfig, build_network, freeze
        >>> network = freeze(build_network(NetworkConfig("mlp", widths=(16, 8)), (4,), bits=12), "last:1")
        >>> [name for name, weight in network.named_parameters() if weight.requires_grad]
        ['backbone.4.weight', 'backbone.4.bias', 'head.0.weight', 'head.0.bias']
    """
    count = trainable_units(trainable)
    units = backbone_units(network.backbone)
    weighted = [place for place, unit in enumerate(units) if any(True for _ in unit.parameters())]
    if count is not None and count > len(weighted):
        raise ValueError(f"freeze: trainable must leave at most {len(weighted)} units trainable, got {trainable!r}")
    frozen = [] if count is None else weighted[: len(weighted) - count]
    network.backbone.requires_grad_(not frozen)
    for unit in units[frozen[-1] + 1 :] if frozen else []:
        unit.requires_grad_(True)
    network._frozen = units[: frozen[-1] + 1] if frozen else []
    network.train(network.training)
    return network
