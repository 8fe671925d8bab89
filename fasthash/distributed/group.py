"""The ranks of a group: how they meet, and all they exchange."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

FACTS = 11  # numbers that ranks tell each other at each step
STEPS = BUILD, IDS, TABLES, JOIN, COUNT, SEND, TOPK, SEARCH, RANGE, PREPARE, CANDIDATES, RESCORE = (
    "build an index",
    "compare ids",
    "make tables",
    "join an index",
    "count",
    "send the queries of a source",
    "search shards",
    "search",
    "search a range",
    "prepare to rescore",
    "search candidates",
    "rescore",
)
_LONGEST_TEXT = 4000  # bytes of an error that the others are told
_SIGN_OF_LIFE = 0.2  # seconds between two of a rank whose work takes longer


def start(timeout: float = 60.0, *, backend: str | None = None) -> None:
    """Join the group that torchrun describes in the environment; without one, a group of this process alone.

    Args:
        timeout: seconds after which a rank that waits for another one gives up with an error.
        backend: "gloo" or "nccl"; default nccl where torch sees GPUs, with one for each process of this machine.

    Raises:
        RuntimeError: the others cannot be reached.

    >>> from fasthash import distributed
    >>> distributed.start()
    >>> torch.distributed.get_world_size()
    1
    >>> torch.distributed.destroy_process_group()
    """
    if backend is None:
        backend = "nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    limit = timedelta(seconds=timeout)
    if "nccl" in backend:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        dist.init_process_group(backend, timeout=limit)
    else:
        alone = dist.HashStore()  # type: ignore[attr-defined]
        dist.init_process_group(backend, timeout=limit, store=alone, rank=0, world_size=1)


class Ranks:
    """The ranks of a group, and what they exchange; all methods are called by all of them.

    Attributes:
        function: that they are in, for messages.
        rank: of this process within the group.
        size: how many there are.
        device: through which they exchange.
    """

    def __init__(self, function: str, group: dist.ProcessGroup | None) -> None:
        if not dist.is_available() or not dist.is_initialized():
            raise RuntimeError(
                f"{function}: expected a process group; call fasthash.distributed.start() under torchrun"
            )
        outside: object = dist.GroupMember.NON_GROUP_MEMBER
        if group is not None and group is not outside and not isinstance(group, dist.ProcessGroup):
            raise TypeError(f"{function}: group: expected a torch.distributed group, got {type(group).__name__}")
        self.function = function
        self.group = group
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)
        if self.rank < 0:
            raise ValueError(f"{function}: group: expected a group with this process in it, got one without")
        nccl = "nccl" in dist.get_backend(group)
        self.device = torch.device("cuda", torch.cuda.current_device()) if nccl else torch.device("cpu")

    def agree(self, step: str, error: Exception | None, facts: list[int]) -> torch.Tensor:
        """What each rank says, int64 (size, FACTS), on the host; places without a fact hold 0.

        Raises:
            ValueError: the ranks are at different steps.
            RuntimeError: a rank says that it failed. Where all failed alike, each raises its own error.
        """
        text = b"" if error is None else f"{type(error).__name__}: {error}".encode()[:_LONGEST_TEXT]
        own = [STEPS.index(step), len(text), *facts]
        said = torch.stack(self.gather(torch.tensor(own + [0] * (2 + FACTS - len(own))))).cpu()
        steps = [STEPS[i] for i in said[:, 0].tolist()]
        if len(set(steps)) > 1:
            raise ValueError(f"{self.function}: expected all ranks to take the same step, got {steps}")
        longest = int(said[:, 1].max())
        if longest:
            padded = torch.frombuffer(bytearray(text.ljust(longest)), dtype=torch.uint8)
            texts = [bytes(x.cpu().tolist()).decode(errors="replace").strip() for x in self.gather(padded)]
            if error is not None and len(set(texts)) == 1:
                raise error
            failed = [f"rank {rank} failed: {text}" for rank, text in enumerate(texts) if text]
            raise RuntimeError(f"{self.function}: {'; '.join(failed)}") from error
        return said[:, 2:]

    def wait_for_all(self, step: str, work: Callable[[], Any]) -> Any:
        """What work gives on this rank, once all are done; it may take longer than the timeout of the group.

        Raises:
            ValueError, RuntimeError: as `agree`.
        """
        done: list[tuple[Any, Exception | None]] = []
        thread = threading.Thread(target=lambda: done.append(attempt(work, None)), daemon=True)
        thread.start()
        all_ended = False
        while not all_ended:
            thread.join(_SIGN_OF_LIFE)
            all_ended = bool(self.agree(step, None, [int(not thread.is_alive())])[:, 0].all())
        result, error = done[0]
        self.agree(step, error, [])
        return result

    def gather(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The tensors of all ranks, of one shape."""
        x = x.to(self.device).contiguous()
        found = [torch.empty_like(x) for _ in range(self.size)]
        dist.all_gather(found, x, group=self.group)
        return found

    def send(self, x: torch.Tensor, source: int) -> torch.Tensor:
        """The tensor of one rank; that of the others has its shape."""
        x = x.to(self.device).contiguous()
        whole = source if self.group is None else dist.get_global_rank(self.group, source)
        dist.broadcast(x, src=whole, group=self.group)
        return x


def attempt(work: Callable[[], Any], otherwise: Any) -> tuple[Any, Exception | None]:
    """What work gives, or its error: to be told to the others before anything is raised."""
    try:
        return work(), None
    except Exception as error:
        return otherwise, error
