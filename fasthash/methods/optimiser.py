"""The optimiser that the methods share, from a few numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from torch.optim import SGD, AdamW, Optimizer


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW or SGD with one rate for the head and one for the backbone, and their course over a stage.

    Frozen parameters (`requires_grad` off) are left out. Weights are what has two axes or more; the rest (biases, gains
    of normalisation) is not decayed by "sgd", unless asked for. `OptimiserConfig("sgd", lr=1e-4, weight_decay=5e-4,
    bias_factor=2, schedule="step", step=30_000)` is SSDH's: momentum 0.9, decay of weights only, biases at twice the
    rate, a tenth every 30,000 steps (the authors' release).

    Attributes:
        kind: "adamw" (decays all parameters) or "sgd" (decays weights only).
        lr: learning rate.
        backbone_lr: of `network.backbone`, where there is one; None = lr.
        weight_decay: of AdamW decoupled, of SGD added to the gradient.
        momentum: of "sgd".
        decay_all: let "sgd" decay all parameters too.
        bias_factor: rate of what is no weight, as a multiple.
        schedule: "cosine" falls to 0 at the end, "linear" too, "constant" stays, "step" falls to a tenth every `step`.
        step: steps between falls of "step".
        warmup: steps in which the rate rises linearly, from lr / warmup to what the schedule says.
        eps: of AdamW, added to the root of the mean squared gradient. DistillHash's release has 1.0, which makes of it
            a slow momentum descent.

    Raises:
        ValueError: an unknown kind or schedule, or a number out of range.
    """

    kind: Literal["adamw", "sgd"] = "adamw"
    lr: float = 1e-3
    backbone_lr: float | None = None
    weight_decay: float = 0.01
    momentum: float = 0.9
    decay_all: bool = False
    bias_factor: float = 1.0
    schedule: Literal["cosine", "constant", "step", "linear"] = "cosine"
    step: int = 30_000
    warmup: int = 0
    eps: float = 1e-8

    def __post_init__(self) -> None:
        for name, known in {"kind": ("adamw", "sgd"), "schedule": ("cosine", "constant", "step", "linear")}.items():
            if getattr(self, name) not in known:
                raise ValueError(f"OptimiserConfig: {name} must be one of {known}, got {getattr(self, name)!r}")
        for name, least in {
            "lr": 0,
            "backbone_lr": 0,
            "weight_decay": 0,
            "bias_factor": 0,
            "step": 1,
            "warmup": 0,
        }.items():
            value = getattr(self, name)
            # Written so that NaN fails too.
            if value is not None and not (least <= value < math.inf):
                raise ValueError(f"OptimiserConfig: {name} must be >= {least} and finite, got {value}")
        if not 0 < self.eps < math.inf:
            raise ValueError(f"OptimiserConfig: eps must be > 0 and finite, got {self.eps}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"OptimiserConfig: momentum must lie in [0, 1), got {self.momentum}")

    def build(self, network: nn.Module, *others: nn.Module) -> Optimizer:
        """The optimiser of a network's trainable parameters.

        Args:
            network: a hash network, or any module.
            *others: further modules, such as a class head; they learn at the rate of the head.

        Raises:
            ValueError: everything is frozen.
        """
        backbone = getattr(network, "backbone", None)
        slow = {id(p) for p in backbone.parameters()} if isinstance(backbone, nn.Module) else set()
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for parameter in (p for module in (network, *others) for p in module.parameters()):
            if parameter.requires_grad:
                # One group for weights and biases, unless they are treated differently.
                weight = parameter.ndim > 1 or (self.kind == "adamw" and self.bias_factor == 1)
                groups.setdefault((id(parameter) in slow, weight), []).append(parameter)
        if not groups:
            raise ValueError("OptimiserConfig.build: network must have a trainable parameter, got none")
        settings: list[dict[str, Any]] = []
        for (of_backbone, weight), parameters in sorted(groups.items()):
            lr = self.lr if self.backbone_lr is None or not of_backbone else self.backbone_lr
            decays = weight or self.kind == "adamw" or self.decay_all
            settings.append(
                {
                    "params": parameters,
                    "lr": lr if weight else lr * self.bias_factor,
                    "weight_decay": self.weight_decay if decays else 0.0,
                }
            )
        if self.kind == "adamw":
            return AdamW(settings, eps=self.eps)
        return SGD(settings, lr=self.lr, momentum=self.momentum)

    def rate(self, step: int, length: int) -> float:
        """Factor of the rates at a step, from 0, of `length`.

        Example:
            >>> from fasthash.methods import OptimiserConfig
            >>> [round(OptimiserConfig().rate(step, 4), 3) for step in range(4)]
            [1.0, 0.854, 0.5, 0.146]
            >>> [OptimiserConfig(schedule="step", step=2, warmup=2).rate(step, 4) for step in range(4)]
            [0.5, 1.0, 0.1, 0.1]
        """
        rising = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.schedule == "cosine":
            return rising * (1 + math.cos(math.pi * step / length)) / 2
        if self.schedule == "linear":
            return rising * (1 - step / length)
        if self.schedule == "step":
            return rising * 0.1 ** (step // self.step)
        return rising
