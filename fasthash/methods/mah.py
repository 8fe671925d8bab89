"""MAH: codes of several lengths learnt together, so that very short ones profit from longer ones."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from fasthash.data import ItemSpec
from fasthash.losses import group_consensus
from fasthash.methods._options import check_choice, check_count, check_range
from fasthash.methods.adsh import ADSH
from fasthash.methods.registry import register
from fasthash.networks import GroupHead, HashNetwork


@register("mah")
@dataclass(frozen=True)
class MAH(ADSH):
    """ADSH in several lengths at once, on one trunk.

    Luo, Huang, Li, Shen, Yang and Cui, "Collaborative Learning for Extremely Low Bit Asymmetric Hashing", TKDE 2021.
    Minimised is a weighted sum of the losses of all lengths; each length has its own codes of the database. One length
    is ADSH, bit for bit.

    Attributes:
        bits: width of the codes that count, the shortest.
        structure: "cascade", each length a linear map of the next longer one; or "flat", each a map of the features.
        lengths: from short to long, the first of them `bits`; () = (bits, 2 bits, 4 bits), ours.
        head_weights: of the losses, from short to long; () = half as much from length to length down to 1: (4, 2, 1).
        grad_rescale: an experiment, not published with MAH: gradients are divided by the number of "branches" wherever
            heads meet, or once by the sum of the "weights"; or "none".
        consensus_weight: an experiment too, of `losses.group_consensus`.

    Raises:
        TypeError: an option of the wrong kind.
        ValueError: lengths that do not ascend from `bits`, weights of another number, a number out of range, or an
            experiment of several lengths with one.

    Example:
        >>> from fasthash import methods
        >>> methods.create("mah", bits=4).code_lengths, methods.create("mah", bits=4).weights
        ((4, 8, 16), (4.0, 2.0, 1.0))
    """

    bits: int = 8
    structure: Literal["cascade", "flat"] = "cascade"
    lengths: tuple[int, ...] = ()
    head_weights: tuple[float, ...] = ()
    grad_rescale: Literal["none", "branches", "weights"] = "none"
    consensus_weight: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("MAH", ("cascade", "flat"), structure=self.structure)
        check_choice("MAH", ("none", "branches", "weights"), grad_rescale=self.grad_rescale)
        check_range("MAH", "[0, inf)", consensus_weight=self.consensus_weight)
        for length in self.lengths:
            check_count("MAH", 1, lengths=length)
        for weight in self.head_weights:
            check_range("MAH", "(0, inf)", head_weights=weight)
        if self.code_lengths[0] != self.bits or any(one >= next for one, next in pairwise(self.code_lengths)):
            raise ValueError(f"MAH: lengths must ascend from bits {self.bits}, got {self.lengths}")
        if len(self.weights) != len(self.code_lengths):
            raise ValueError(f"MAH: head_weights must be one for each of {self.code_lengths}, got {self.head_weights}")
        if len(self.code_lengths) == 1 and (self.grad_rescale != "none" or self.consensus_weight):
            raise ValueError(
                'MAH: grad_rescale and consensus_weight must be "none" and 0 with one length, '
                f"got {self.grad_rescale!r} and {self.consensus_weight}"
            )

    @property
    def code_lengths(self) -> tuple[int, ...]:
        """From short to long."""
        return self.lengths or (self.bits, 2 * self.bits, 4 * self.bits)

    @property
    def weights(self) -> tuple[float, ...]:
        """Weight of each length's loss."""
        return self.head_weights or tuple(2.0**place for place in reversed(range(len(self.code_lengths))))

    def head(self, head: nn.Module) -> GroupHead:
        """The heads of all lengths, in place of a network's own."""
        heads, divide_all, divide_links = len(self.code_lengths), 1.0, 1.0
        if self.grad_rescale == "weights":
            divide_all = sum(self.weights)
        elif self.grad_rescale == "branches":
            divide_all, divide_links = (2.0 if self.structure == "cascade" else float(heads)), 2.0
        return GroupHead(head, self.code_lengths, self.structure, divide_all=divide_all, divide_links=divide_links)

    def modules(self, network: nn.Module, items: ItemSpec) -> dict[str, nn.Module]:
        """The network, its head replaced by those of all lengths; a warning if flat heads share nothing."""
        modules = super().modules(network, items)
        if self.structure == "flat" and len(self.code_lengths) > 1 and not _learns_together(modules["student"]):
            warnings.warn(
                'MAH: with structure="flat" and nothing trained under the heads they are separate runs of ADSH; '
                'network.head="mlp" puts a layer there',
                stacklevel=2,
            )
        return modules

    def among_lengths(self, outputs: list[Tensor]) -> dict[str, Tensor]:
        """The weighted mean over the lengths of their consensus with the others, where it is asked for."""
        if not self.consensus_weight:
            return {}
        terms = [group_consensus(u, outputs[:place] + outputs[place + 1 :]) for place, u in enumerate(outputs)]
        return {"consensus": self.consensus_weight * torch.stack(terms).mean()}


def _learns_together(network: nn.Module) -> bool:
    assert isinstance(network, HashNetwork)
    assert isinstance(network.head, GroupHead)
    shared = (network.backbone, network.head.shared)
    return any(p.requires_grad for module in shared for p in module.parameters())
