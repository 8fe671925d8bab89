"""Probabilities of pair labels from inner products: a logistic fit."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus


def fit_calibration(
    theta: Tensor, similar: Tensor, *, least: float = 1e-6, iterations: int = 50
) -> tuple[float, float]:
    """a and b that make sigmoid(a Theta + b) the likeliest probability of noisy labels: a logistic fit.

    Source: reconstructed, after Platt's scaling of scores. By Newton's method in float64; a penalty of 1e-6 (a^2 + b^2)
    keeps labels that a threshold separates from sending a to infinity.

    Args:
        theta: (pairs,), floating.
        similar: (pairs,) bool, the noisy labels.
        least: what a is raised to if it comes out below: Theta must grow with the probability.
        iterations: at most.

    Returns:
        a and b.

    Raises:
        ValueError: no pair, or shapes that differ.

    Example:
        >>> import torch
        >>> from fasthash.teachers import fit_calibration
        >>> a, b = fit_calibration(torch.tensor([0.0, 0.0, 2.0, 2.0, 2.0]), torch.tensor([1, 0, 1, 1, 0]).bool())
        >>> print(f"{a:.3f} {abs(b):.3f}")
        0.347 0.000
    """
    if theta.shape != similar.shape or theta.ndim != 1 or not len(theta):
        raise ValueError(
            f"fit_calibration: theta and similar must have one shape (pairs,), at least one, got {tuple(theta.shape)} "
            f"and {tuple(similar.shape)}"
        )
    x, y = torch.stack([theta.double(), torch.ones_like(theta, dtype=torch.float64)]), similar.double()
    penalty = 1e-6

    def loss(w: Tensor) -> Tensor:
        z = w @ x
        value: Tensor = (softplus(z) - y * z).mean() + penalty * w.square().sum()
        return value

    w = torch.zeros(2, dtype=torch.float64, device=theta.device)
    value = loss(w)
    for _ in range(iterations):
        p = torch.sigmoid(w @ x)
        gradient = x @ (p - y) / len(y) + 2 * penalty * w
        curvature = (x * (p * (1 - p))) @ x.T / len(y) + 2 * penalty * torch.eye(2, dtype=x.dtype, device=x.device)
        move, factor = torch.linalg.solve(curvature, gradient), 1.0
        while factor > 1e-3 and loss(w - factor * move) > value:
            factor /= 2
        w, before = w - factor * move, value
        value = loss(w)
        if before - value <= 1e-12 * before:
            break
    return max(float(w[0]), least), float(w[1])
