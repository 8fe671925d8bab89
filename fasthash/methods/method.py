"""What a method is: options, networks, a plan, and the network that makes the codes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from fasthash.data import ItemSpec, TrainingSet
from fasthash.methods._options import check_count
from fasthash.methods.plan import Plan
from fasthash.networks import NetworkConfig, build_network


@dataclass(frozen=True)
class Method(ABC):
    """Base of all methods: a frozen dataclass whose fields are the options (numbers, strings, nested dataclasses).

    Attributes:
        name: what `create` and the command line call it; `register` sets it.
        presets: options by the name of a preset, for a method that brings its own.
        bits: width of the codes.
        network: the hash network, unless `fit` is given one.

    Raises:
        TypeError: bits that are no whole number.
        ValueError: bits below 1.
    """

    name: ClassVar[str]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    bits: int = 48
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def __post_init__(self) -> None:
        check_count(type(self).__name__, 1, bits=self.bits)

    def hash_network(self, items: ItemSpec, *, pretrained: bool = True) -> nn.Module:
        """The network that `network` describes, from which `modules` makes all others; see `build_network`."""
        return build_network(self.network, items.shape, self.bits, pretrained=pretrained)

    @abstractmethod
    def modules(self, network: nn.Module, items: ItemSpec) -> dict[str, nn.Module]:
        """All networks by name, made from a hash network (n, ...) -> (n, bits); called once, first."""

    @abstractmethod
    def plan(self, data: TrainingSet, seed: int) -> Plan:
        """The stages. Sizes, visible labels and presence decide about it, items do not; same seed, same plan."""

    @abstractmethod
    def encoder(self, modules: dict[str, nn.Module]) -> nn.Module:
        """The one of the networks (n, ...) -> (n, bits) whose signs are the codes."""

    @property
    def code_lengths(self) -> tuple[int, ...]:
        """The widths in which a trained encoder gives codes, the first of them `bits`."""
        return (self.bits,)

    def of_length(self, encoder: nn.Module, length: int) -> nn.Module:
        """What gives codes of one of `code_lengths`: the encoder (or a running mean of it), or a view of it."""
        return encoder

    def learnt_codes(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, dict[int, Tensor]] | None:
        """Codes that training found for items themselves, beside the network; None = it found none.

        Args:
            tensors: of the state of a run.

        Returns:
            int64 (n,), rows of the x that the training set was made from; and the codes of these by length, int8
            (n, length) of -1 and +1.
        """
        return None
