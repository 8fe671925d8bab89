"""The processes that train together: how they find each other, and all they exchange.

Each process reads its share of a batch and gathers the outputs of all, so that each computes the loss of the whole
batch. The gradient of a gathered row flows back to its process once from each loss, `count` times in all; the mean of
the parameters' gradients over the processes is therefore the gradient of one process with the whole batch. The same
mean is right for terms that gather nothing, such as a penalty on weights.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from fasthash.training.config import Config

T = TypeVar("T")
TIMEOUT = timedelta(minutes=30)  # a process that waits longer for the others gives up


def launch(config: Config) -> Any:
    """A launched Lightning Fabric for this process.

    Raises:
        ImportError: lightning-fabric is missing.
        ValueError: a number of devices that is not torchrun's.
    """
    accelerator = config.resolved_accelerator()
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies.ddp import DDPStrategy
    except ImportError as error:
        raise ImportError("fit: needs lightning-fabric; pip install 'fasthash[train]'") from error
    here = config.devices
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        here = int(os.environ["LOCAL_WORLD_SIZE"])
        if config.devices not in (1, here):
            raise ValueError(f"Config: devices must be 1 or torchrun's {here}, got {config.devices}")
        world = int(os.environ["WORLD_SIZE"])
    elif here > 1:
        raise ValueError(
            f"Config: devices must be 1 without torchrun, got {here}; start with: torchrun --nproc-per-node {here} ..."
        )
    else:
        world = 1
    strategy = DDPStrategy(timeout=TIMEOUT) if world > 1 else "auto"
    fabric = Fabric(
        accelerator=accelerator, devices=here, num_nodes=world // here, strategy=strategy, precision=config.precision
    )
    fabric.launch()
    if world > 1:
        atexit.register(_leave)
    return fabric


def _leave() -> None:
    """End the group before the interpreter ends: gloo aborts a process whose threads it still holds then."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


class Ranks:
    """What processes exchange; each method is called by all of them, and with one process does nothing.

    Args:
        fabric: a launched one.
    """

    def __init__(self, fabric: Any) -> None:
        self._fabric = fabric
        self.rank, self.count = int(fabric.global_rank), int(fabric.world_size)

    @property
    def writes(self) -> bool:
        """Whether this is the process that writes files and shows progress."""
        return self.rank == 0

    def gather(self, x: Tensor) -> Tensor:
        """Rows (n, ...) of all, in the order of the processes: (count * n, ...), with gradient."""
        return x if self.count == 1 or not len(x) else _gather(x, self.rank, self.count)

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Give all the mean of their gradients, in one exchange for each dtype."""
        if self.count > 1:
            for flat, gradients in _flattened([p.grad for p in parameters if p.grad is not None]):
                torch.distributed.all_reduce(flat)
                _spread(flat.div_(self.count), gradients)

    def share_first(self, tensors: Iterable[Tensor]) -> None:
        """Give all the values that the first process has."""
        if self.count > 1:
            for flat, parts in _flattened([t.detach() for t in tensors]):
                torch.distributed.broadcast(flat, src=0)
                _spread(flat, parts)

    def any(self, flag: bool) -> bool:
        """Whether it is true for any of them."""
        return flag if self.count == 1 else bool(self._fabric.strategy.reduce_boolean_decision(flag, all=False))

    def first(self, x: T) -> T:
        """What the first process has; small plain values only."""
        return x if self.count == 1 else cast(T, self._fabric.broadcast(x))

    def collect(self, x: T) -> list[T]:
        """What each has, in their order."""
        if self.count == 1:
            return [x]
        found: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(found, x)
        return found


class _Gather(torch.autograd.Function):
    """What Fabric's `all_gather(sync_grads=True)` does, which calls a part of torch that is on its way out."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rank: int, count: int) -> Tensor:
        ctx.rows = slice(rank * len(x), (rank + 1) * len(x))
        gathered = x.new_empty((count * len(x), *x.shape[1:]))
        torch.distributed.all_gather(list(gathered.chunk(count)), x.contiguous())
        return gathered

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        total = gradient.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total[ctx.rows], None, None


def _gather(x: Tensor, rank: int, count: int) -> Tensor:
    return cast(Tensor, cast(Any, _Gather).apply(x, rank, count))


def _flattened(tensors: Sequence[Tensor]) -> Iterable[tuple[Tensor, list[Tensor]]]:
    """One vector of all values for each dtype, with the tensors they come from."""
    for dtype in dict.fromkeys(t.dtype for t in tensors):
        parts = [t for t in tensors if t.dtype == dtype]
        yield torch.cat([t.flatten() for t in parts]), parts


def _spread(flat: Tensor, parts: Sequence[Tensor]) -> None:
    for part, values in zip(parts, flat.split([t.numel() for t in parts]), strict=True):
        part.copy_(values.view_as(part))
