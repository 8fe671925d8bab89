"""From feature vectors to logits, and from logits to relaxed codes."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

Relaxation: TypeAlias = Literal["tanh", "sigmoid", "none"]
StraightThrough: TypeAlias = Literal["identity", "clipped"]
Activation: TypeAlias = Literal["relu", "tanh"]
RELAXATIONS: tuple[str, ...] = ("tanh", "sigmoid", "none")
ACTIVATIONS: tuple[str, ...] = ("relu", "tanh")
STRAIGHT_THROUGH: tuple[str, ...] = ("identity", "clipped")


def linear_head(features: int, bits: int) -> nn.Sequential:
    """One linear layer: (n, features) -> logits (n, bits)."""
    return nn.Sequential(nn.Linear(features, bits))


def mlp_head(features: int, bits: int, *, hidden: int = 512, activation: Activation = "relu") -> nn.Sequential:
    """One hidden layer of rectified ("relu") or "tanh" units, then a linear one: (n, features) -> logits (n, bits)."""
    units = nn.Tanh() if activation == "tanh" else nn.ReLU()
    return nn.Sequential(nn.Linear(features, hidden), units, nn.Linear(hidden, bits))


def relax(z: Tensor, relaxation: Relaxation = "tanh", straight_through: StraightThrough | None = None) -> Tensor:
    """Logits to what the losses see: h = tanh(z), sigmoid(z) or z; with straight_through the codes themselves.

    Straight through, the value is the code, -1 and +1 (0 and 1 after a sigmoid; +1 where z > 0, like `pack`), and the
    gradient is that of h. "identity" lets all of it pass; with relaxation "none" this is the estimator of Bengio,
    Leonard and Courville, "Estimating or Propagating Gradients Through Stochastic Neurons for Conditional Computation",
    arXiv 1308.3432, 2013. "clipped" lets it pass where |z| <= 1 only: Hubara, Courbariaux, Soudry, El-Yaniv and Bengio,
    "Binarized Neural Networks", NIPS 2016, Eq. (4).

    Args:
        z: logits (n, bits), floating.
        relaxation: "tanh" to (-1, 1), "sigmoid" to (0, 1), "none" to z itself.
        straight_through: None, "identity" or "clipped".

    Returns:
        (n, bits), the dtype of z.

    Raises:
        ValueError: an unknown relaxation or straight_through.

    Example:
        >>> import torch
        >>> from fasthash.networks import relax
        >>> z = torch.tensor([[-2.0, 0.5]], requires_grad=True)
        >>> codes = relax(z, "none", "clipped")
        >>> codes.tolist()
        [[-1.0, 1.0]]
        >>> torch.autograd.grad(codes.sum(), z)[0].tolist()
        [[0.0, 1.0]]
    """
    if relaxation not in RELAXATIONS:
        raise ValueError(f"relax: relaxation must be one of {RELAXATIONS}, got {relaxation!r}")
    h = torch.tanh(z) if relaxation == "tanh" else torch.sigmoid(z) if relaxation == "sigmoid" else z
    if straight_through is None:
        return h
    if straight_through not in STRAIGHT_THROUGH:
        raise ValueError(f"relax: straight_through must be None or one of {STRAIGHT_THROUGH}, got {straight_through!r}")
    if straight_through == "clipped":
        h = torch.where(z.abs() <= 1, h, h.detach())
    code: Tensor = torch.where(z > 0, 1, 0 if relaxation == "sigmoid" else -1).to(h.dtype)
    # The difference is exactly 0, so that the value is exactly the code.
    return code + (h - h.detach())


class HashNetwork(nn.Module):
    """Any backbone to a feature vector, a head to logits, and a relaxation to what the losses see.

    The code of an item is `pack` of its logits, also after a sigmoid: h > 0.5 where z > 0.

    Args:
        backbone: (n, ...) -> (n, features).
        head: (n, features) -> logits (n, bits); it ends before the relaxation.
        relaxation: "tanh", "sigmoid" or "none".
        straight_through: None, "identity" or "clipped", as for `relax`.

    Raises:
        ValueError: an unknown relaxation or straight_through, or a head that ends in a relaxation of its own.

    Example:
        >>> import torch
        >>> from fasthash.networks import HashNetwork, linear_head
        >>> network = HashNetwork(torch.nn.Flatten(), linear_head(64, bits=48))
        >>> network(torch.randn(5, 1, 8, 8)).shape
        torch.Size([5, 48])
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        *,
        relaxation: Relaxation = "tanh",
        straight_through: StraightThrough | None = None,
    ) -> None:
        super().__init__()
        if isinstance(list(head.modules())[-1], nn.Tanh | nn.Sigmoid):
            raise ValueError("HashNetwork: head must end before the relaxation, got one that ends in its own")
        relax(torch.zeros(1, 1), relaxation, straight_through)
        self.backbone = backbone
        self.head = head
        self.relaxation, self.straight_through = relaxation, straight_through
        self._frozen: list[nn.Module] = []

    @property
    def feature_size(self) -> int:
        """Length of the feature vectors: what the first linear layer of the head takes.

        Raises:
            ValueError: a head without a linear layer.
        """
        for module in self.head.modules():
            if isinstance(module, nn.Linear):
                return module.in_features
        raise ValueError("HashNetwork.feature_size: head must have a linear layer, got none")

    def features(self, x: Tensor) -> Tensor:
        """(n, ...) -> feature vectors (n, features)."""
        features: Tensor = self.backbone(x)
        return features

    def logits(self, x: Tensor) -> Tensor:
        """(n, ...) -> what stands before the relaxation (n, bits); the codes are `pack` of it."""
        logits: Tensor = self.head(self.features(x))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """(n, ...) -> relaxed codes (n, bits)."""
        return relax(self.logits(x), self.relaxation, self.straight_through)

    def train(self, mode: bool = True) -> HashNetwork:
        """Training mode for what `freeze` left trainable; frozen parts stay in evaluation mode."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self
