"""The mean teacher: a network whose weights are the running mean of the student's."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn


class EMATeacher(nn.Module):
    """A copy of the student whose parameters are the running mean of the student's.

    After step t = 1, 2, ...: theta' = a theta' + (1 - a) theta, with a = min(1 - 1 / (t + 1), decay_max). The forward
    pass runs without gradient. The teacher starts in train mode (dropout on), as in Mean Teacher; call `eval()` to
    encode with it. Buffers are its own and never averaged: batch-norm statistics come from what the teacher sees.
    Training resumes exactly from `state_dict()` and the step number.

    Source: Mean Teacher, Tarvainen and Valpola, "Mean teachers are better role models", NIPS 2017.

    Args:
        student: the network to copy, of any kind; it is not kept.
        decay_max: the largest a, in [0, 1). The attribute may be set again while training (0.99 during the ramp, 0.999
            after); it is not part of the state.

    Raises:
        ValueError: decay_max outside [0, 1).

    Example:
        >>> import torch
        >>> from fasthash.teachers import EMATeacher
        >>> student = torch.nn.Linear(4, 2)
        >>> teacher = EMATeacher(student)
        >>> with torch.no_grad():
        ...     _ = student.bias.add_(1)
        >>> teacher.update(student, step=1)
        >>> bool(torch.allclose(student.bias - teacher.model.bias, torch.full((2,), 0.5)))
        True
        >>> teacher(torch.zeros(3, 4)).requires_grad
        False
    """

    def __init__(self, student: nn.Module, *, decay_max: float = 0.99) -> None:
        if not 0 <= decay_max < 1:
            raise ValueError(f"EMATeacher: decay_max must lie in [0, 1), got {decay_max}")
        super().__init__()
        self.decay_max = decay_max
        self.model = copy.deepcopy(student).requires_grad_(False).train()

    @torch.no_grad()
    def update(self, student: nn.Module, step: int) -> None:
        """Move the parameters towards the student's; call it after each optimiser step.

        Args:
            student: the network that was copied, or the same one wrapped or compiled.
            step: t, optimiser steps done, from 1.

        Raises:
            ValueError: step below 1, or a student with other parameters.
        """
        if step < 1:
            raise ValueError(f"EMATeacher.update: step must be >= 1 (steps done), got {step}")
        # By position, not by name: wrappers and torch.compile put prefixes before the names.
        ours: list[Tensor] = list(self.model.parameters())
        theirs: list[Tensor] = list(student.parameters())
        if [p.shape for p in ours] != [p.shape for p in theirs]:
            raise ValueError(
                f"EMATeacher.update: student must have the {len(ours)} parameters of the network that was copied, "
                f"got {len(theirs)} of other shapes or order"
            )
        decay = min(1 - 1 / (step + 1), self.decay_max)
        torch._foreach_lerp_(ours, theirs, 1 - decay)

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's outputs, without gradient; its batch-norm statistics move in train mode."""
        return self.model(*args, **kwargs)

    @torch.no_grad()
    def logits(self, *args: Any, **kwargs: Any) -> Any:
        """The same before the relaxation, for a model that has `logits`; else its outputs."""
        return getattr(self.model, "logits", self.model)(*args, **kwargs)
