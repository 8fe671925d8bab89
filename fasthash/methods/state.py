"""All that a run changes: what stages read, write and hand on to each other, and what a checkpoint holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor, nn

from fasthash.data import Batch, TrainingSet


@dataclass
class State:
    """The state of a run.

    Attributes:
        data: what training may read; not saved.
        modules: networks by name, saved.
        seed: of the run.
        device: where modules, generators and batches live.
        tensors: what stages hand on (discrete codes, pseudo-labels, drawn pairs), saved.
        generators: random streams by name, saved; ask for one by `generator`.
    """

    data: TrainingSet
    modules: dict[str, nn.Module]
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    tensors: dict[str, Tensor] = field(default_factory=dict)
    generators: dict[str, Generator] = field(default_factory=dict)

    def generator(self, name: str) -> Generator:
        """The random stream of this name, on the run's device; its seed depends on the run's seed and the name only."""
        if name not in self.generators:
            digest = hashlib.blake2b(f"{self.seed}/{name}".encode(), digest_size=8).digest()
            self.generators[name] = Generator(self.device).manual_seed(int.from_bytes(digest, "big") >> 1)
        return self.generators[name]

    def batch(self, index: Tensor, step: int) -> Batch:
        """The items at these places, int64 (B,), labelled ones first, at this step of a stage."""
        return self.data.batch(index, step=step, seed=self.seed)

    def gather(self, x: Tensor) -> Tensor:
        """Rows of all processes, in the order of the processes; gradients flow back to the process of each row."""
        return x

    @contextmanager
    def drawing_from(self, name: str) -> Iterator[Generator]:
        """Let torch's default generator of the device, which dropout uses, run on the stream of this name."""
        generator = self.generator(name)
        default = (
            torch.cuda.default_generators[generator.device.index or 0]
            if generator.device.type == "cuda"
            else torch.default_generator
        )
        outside = default.get_state()
        default.set_state(generator.get_state())
        try:
            yield default
        finally:
            generator.set_state(default.get_state())
            default.set_state(outside)
