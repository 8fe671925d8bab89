"""Options of a run that are not the method's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from fasthash.ops import has_cuda_kernels


@dataclass(frozen=True)
class Config:
    """How a method is trained; what is trained stands in the method.

    Attributes:
        folder: the run folder.
        seed: of python, numpy, torch and all streams of the run.
        resume: go on from the folder's last checkpoint; without one, start.
        accelerator: "auto" takes a GPU if there is one and this build has the kernels for it; one device is used.
        precision: "32", "bf16-mixed", or on a GPU "16-mixed".
        log_every: steps between lines of metrics.jsonl.
        checkpoint_every: steps between checkpoints; the last state is always kept.

    Raises:
        ValueError: an unknown precision, or counts below 1.
    """

    folder: str
    seed: int = 0
    resume: bool = False
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["32", "bf16-mixed", "16-mixed"] = "32"
    log_every: int = 20
    checkpoint_every: int = 1000

    def __post_init__(self) -> None:
        if self.precision not in ("32", "bf16-mixed", "16-mixed"):
            raise ValueError(f'Config: precision must be "32", "bf16-mixed" or "16-mixed", got {self.precision!r}')
        if self.accelerator not in ("auto", "cpu", "cuda"):
            raise ValueError(f'Config: accelerator must be "auto", "cpu" or "cuda", got {self.accelerator!r}')
        for name in ("log_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"Config: {name} must be >= 1, got {getattr(self, name)}")

    def resolved_accelerator(self) -> str:
        """ "cpu" or "cuda".

        Raises:
            ValueError: "16-mixed" on a CPU, or "cuda" without a GPU.
        """
        found = "cuda" if torch.cuda.is_available() and has_cuda_kernels() else "cpu"
        chosen = found if self.accelerator == "auto" else self.accelerator
        if chosen == "cuda" and found == "cpu":
            raise ValueError("Config: accelerator must be one that torch finds, got 'cuda' without a GPU")
        if chosen == "cpu" and self.precision == "16-mixed":
            raise ValueError("Config: precision on a CPU must be '32' or 'bf16-mixed', got '16-mixed'")
        return chosen
