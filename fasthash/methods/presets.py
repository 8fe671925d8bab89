"""Options found on validation parts, by the data they were found for."""

from __future__ import annotations

from typing import Any

# The 1,797 digits of scikit-learn, protocol "digits-semi": chosen on its validation queries, with other labelled
# items than those of the protocol. One course of training for all methods, so that they differ in their loss only.
_DIGITS: dict[str, Any] = {
    "network": {"backbone": "cnn", "widths": (16, 32)},
    "perturbation": {"warp": 0.05},
    "epochs": 60,
}

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "digits": {
        "dpsh": _DIGITS,
        # Mostly pseudo-pairs by the likelihood: pair consistency at its default weight harms this network.
        "pts3h": {
            **_DIGITS,
            "w_max": 1.0,
            "ramp": 0.5,
            "g_pair": 5.0,
            "g_graph": 1.0,
            "graph_loss": "likelihood",
            "near": 0.15,
            "far": 0.45,
            "ema_ramp": 0.97,
            "ema_max": 0.97,
        },
    },
}


def preset_options(preset: str, method: str) -> dict[str, Any]:
    """The options of a preset for a method.

    Raises:
        ValueError: no such preset, or none for this method.
    """
    if method not in PRESETS.get(preset, {}):
        known = sorted(name for name, options in PRESETS.items() if method in options)
        raise ValueError(f"create: preset of {method} must be one of {known}, got {preset!r}")
    return PRESETS[preset][method]
