"""Checks of options, made when a method or a config is: `TypeError` for the kind, `ValueError` for the value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any


def check_range(owner: str, interval: str, **options: Any) -> None:
    """Numbers must lie in an interval, written as in mathematics: "[0, 1)", "(0, inf)".

    Args:
        owner: whose options they are, for the message.
        interval: square brackets include the end, round ones leave it out. "(-inf, inf)" takes any finite number.
        **options: by name; None passes, since it stands for a default.

    Raises:
        TypeError: an option that is no number.
        ValueError: an option outside, or NaN.

    Example:
        >>> check_range("PTS3H", "[0, 1]", near=0.15, far=1.4)
        Traceback (most recent call last):
        ...
        ValueError: PTS3H: far must lie in [0, 1], got 1.4
    """
    low, high = (float(end) for end in interval[1:-1].split(","))
    for name, value in options.items():
        if value is None:
            continue
        if not _is_a(Real, value):
            raise TypeError(f"{owner}: {name} must be a number, got {value!r}")
        above = low <= value if interval[0] == "[" else low < value
        below = value <= high if interval[-1] == "]" else value < high
        if not (above and below) or math.isnan(value):
            raise ValueError(f"{owner}: {name} must lie in {interval}, got {value}")


def check_count(owner: str, least: int, **options: Any) -> None:
    """Whole numbers must be at least `least`; None passes, since it stands for a default.

    Raises:
        TypeError: an option that is no whole number.
        ValueError: a smaller one.

    Example:
        >>> check_count("DPSH", 1, batch_size=128, labelled=32)
    """
    for name, value in options.items():
        if value is None:
            continue
        if not _is_a(Integral, value):
            raise TypeError(f"{owner}: {name} must be a whole number, got {value!r}")
        if value < least:
            raise ValueError(f"{owner}: {name} must be >= {least}, got {value}")


def check_choice(owner: str, choices: Sequence[Any], **options: Any) -> None:
    """Options must be one of these.

    Raises:
        ValueError: one is not.

    Example:
        >>> check_choice("PTS3H", ("teacher", "student"), encode_with="both")
        Traceback (most recent call last):
        ...
        ValueError: PTS3H: encode_with must be one of 'teacher', 'student', got 'both'
    """
    for name, value in options.items():
        if value not in choices:
            raise ValueError(f"{owner}: {name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def check_bool(owner: str, **options: Any) -> None:
    """Options must be True or False.

    Raises:
        TypeError: one is not.
    """
    for name, value in options.items():
        if not isinstance(value, bool):
            raise TypeError(f"{owner}: {name} must be True or False, got {value!r}")


def _is_a(kind: type, value: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
