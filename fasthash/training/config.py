"""Options of a run that are not the method's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from fasthash.methods._options import check_bool, check_choice, check_count, check_range
from fasthash.ops import has_cuda_kernels


@dataclass(frozen=True)
class Config:
    """How a method is trained; what is trained stands in the method.

    Attributes:
        folder: the run folder; empty = not said yet, which `fit` refuses.
        seed: of python, numpy, torch and all streams of the run.
        resume: go on from the folder's last checkpoint; without one, start.
        accelerator: "auto" takes a GPU if there is one and this build has the kernels for it.
        devices: processes on this machine, each with a device of its own. More than 1 are started by torchrun, whose
            number also counts when this is 1.
        precision: "32", "bf16-mixed", or on a GPU "16-mixed".
        clip: largest norm of the gradient, taken over the parameters of each optimiser; None = as it comes.
        ema: largest decay of a running mean of the encoder's weights, which then makes the codes; None = no mean. After
            step t the decay is min(1 - 1 / (t + 1), ema).
        validate_every: steps between scores of `fit`'s validation items, in stages that train what makes the codes; the
            end of the run is always scored.
        patience: scores in a row without a new best after which training stops; None = train to the end.
        log_every: steps between lines of metrics.jsonl.
        checkpoint_every: steps between checkpoints; the last state is always kept.
        tensorboard: write the numbers of metrics.jsonl for TensorBoard too.

    Raises:
        TypeError: an option of another kind.
        ValueError: one out of its range, or an unknown precision or accelerator.
    """

    folder: str
    seed: int = 0
    resume: bool = False
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = 1
    precision: Literal["32", "bf16-mixed", "16-mixed"] = "32"
    clip: float | None = None
    ema: float | None = None
    validate_every: int = 500
    patience: int | None = None
    log_every: int = 20
    checkpoint_every: int = 1000
    tensorboard: bool = False

    def __post_init__(self) -> None:
        check_choice("Config", ("32", "bf16-mixed", "16-mixed"), precision=self.precision)
        check_choice("Config", ("auto", "cpu", "cuda"), accelerator=self.accelerator)
        check_count("Config", 0, seed=self.seed)
        check_count("Config", 1, devices=self.devices, validate_every=self.validate_every, patience=self.patience)
        check_count("Config", 1, log_every=self.log_every, checkpoint_every=self.checkpoint_every)
        check_bool("Config", resume=self.resume, tensorboard=self.tensorboard)
        check_range("Config", "(0, inf)", clip=self.clip)
        check_range("Config", "(0, 1)", ema=self.ema)

    def resolved_accelerator(self) -> str:
        """ "cpu" or "cuda".

        Raises:
            ValueError: "16-mixed" on a CPU, or "cuda" without a GPU.
        """
        found = found_accelerator()
        chosen = found if self.accelerator == "auto" else self.accelerator
        if chosen == "cuda" and found == "cpu":
            raise ValueError("Config: accelerator must be one that torch finds, got 'cuda' without a GPU")
        if chosen == "cpu" and self.precision == "16-mixed":
            raise ValueError("Config: precision on a CPU must be '32' or 'bf16-mixed', got '16-mixed'")
        return chosen


def found_accelerator() -> Literal["cpu", "cuda"]:
    """What "auto" takes."""
    return "cuda" if torch.cuda.is_available() and has_cuda_kernels() else "cpu"
