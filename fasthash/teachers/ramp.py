"""How much an unsupervised term weighs as training goes on."""

from __future__ import annotations

import math


def rampup_weight(step: float, length: float, w_max: float) -> float:
    """w_max * exp(-5 (1 - min(t, T) / T)^2), and 0 while t < 1.

    In the first epoch there is no teacher worth following, so the weight is 0 there and not w_max * exp(-5).

    Source: Mean Teacher, Tarvainen and Valpola, NIPS 2017 (sigmoid-shaped ramp-up).

    Args:
        step: t, epochs done, possibly a fraction; >= 0.
        length: T, epochs until the full weight; 0 = full weight from t = 1 on.
        w_max: the full weight.

    Returns:
        The weight at t.

    Raises:
        ValueError: a negative step or length.

    Example:
        >>> from fasthash.teachers import rampup_weight
        >>> [round(rampup_weight(epoch, 4, 20.0), 4) for epoch in range(6)]
        [0.0, 1.2011, 5.7301, 14.6323, 20.0, 20.0]
    """
    if step < 0 or length < 0:
        raise ValueError(f"rampup_weight: step and length must be >= 0, got {step} and {length}")
    if step < 1:
        return 0.0
    if step >= length:
        return w_max
    return w_max * math.exp(-5 * (1 - step / length) ** 2)
