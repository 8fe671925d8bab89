"""The optimiser that the methods share, from a few numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import nn
from torch.optim import AdamW, Optimizer


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW with one rate for the head and one for the backbone, and their course over a stage.

    Attributes:
        lr: learning rate.
        backbone_lr: of `network.backbone`, where there is one; None = lr.
        weight_decay: of AdamW.
        schedule: "cosine" falls to 0 at the end, "constant" stays.
    """

    lr: float = 1e-3
    backbone_lr: float | None = None
    weight_decay: float = 0.01
    schedule: Literal["cosine", "constant"] = "cosine"

    def build(self, network: nn.Module) -> Optimizer:
        """The optimiser of a network's parameters."""
        backbone = getattr(network, "backbone", None)
        slow = list(backbone.parameters()) if isinstance(backbone, nn.Module) else []
        known = {id(parameter) for parameter in slow}
        groups = [
            {"params": [p for p in network.parameters() if id(p) not in known], "lr": self.lr},
            {"params": slow, "lr": self.lr if self.backbone_lr is None else self.backbone_lr},
        ]
        return AdamW([group for group in groups if group["params"]], weight_decay=self.weight_decay)

    def rate(self, step: int, length: int) -> float:
        """Factor of the rates at a step, from 0, of `length`.

        Raises:
            ValueError: an unknown schedule.

        Example:
            >>> from fasthash.methods import OptimiserConfig
            >>> [round(OptimiserConfig().rate(step, 4), 3) for step in range(4)]
            [1.0, 0.854, 0.5, 0.146]
        """
        if self.schedule == "cosine":
            return (1 + math.cos(math.pi * step / length)) / 2
        if self.schedule == "constant":
            return 1.0
        raise ValueError(f'OptimiserConfig: schedule must be "cosine" or "constant", got {self.schedule!r}')
