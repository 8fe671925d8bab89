"""Values of YAML, JSON and callers, checked against the type hints of options."""

from __future__ import annotations

import types
from numbers import Integral, Real
from typing import Any, Literal, Union, get_args, get_origin

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def checked(hint: Any, value: Any, where: str) -> Any:
    """A value as its hint wants it: lists become tuples, and texts of numbers numbers, as YAML reads 1e-4 as a text.

    Args:
        hint: bool, int, float, str, None, a Literal, a tuple, or a union of these; what is of another kind passes.
        value: to check.
        where: what errors begin with, the option.

    Raises:
        TypeError: a value of another kind.
        ValueError: one that is none of the choices, or a tuple of another length.

    Example:
        >>> checked(float | None, "1e-4", "lr"), checked(tuple[int, ...], [64, 32], "widths")
        (0.0001, (64, 32))
        >>> checked(tuple[int, ...], 64, "widths")
        Traceback (most recent call last):
        ...
        TypeError: widths must be a list, each a whole number, got 64
    """
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in parts:
            return None
        others = [part for part in parts if part is not type(None)]
        if len(others) == 1:
            return checked(others[0], value, where)
    elif origin is Literal:
        if value not in parts:
            raise _kind_error(hint, value, where, ValueError if isinstance(value, str) else TypeError)
    elif origin is tuple:
        return _checked_tuple(hint, parts, value, where)
    elif hint in _WORDS:
        return _checked_plain(hint, value, where)
    return tuple(value) if isinstance(value, list) else value


def _checked_plain(kind: type, value: Any, where: str) -> Any:
    if isinstance(value, bool) or kind in (bool, str):  # True is a whole number to Python, not to users
        if type(value) is kind or (kind is str and isinstance(value, str)):
            return value
    elif kind is float and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    elif isinstance(value, Real if kind is float else Integral):
        return value
    raise _kind_error(kind, value, where, TypeError)


def _checked_tuple(hint: Any, parts: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _kind_error(hint, value, where, TypeError)
    kinds = parts[:1] * len(value) if parts[-1] is ... else parts
    if len(kinds) != len(value):
        raise _kind_error(hint, value, where, ValueError)
    return tuple(
        checked(kind, one, f"{where}[{place}]") for place, (kind, one) in enumerate(zip(kinds, value, strict=True))
    )


def _kind_error(hint: Any, value: Any, where: str, kind: type[Exception]) -> Exception:
    return kind(f"{where} must be {_words(hint)}, got {value!r}")


def _words(hint: Any) -> str:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(map(repr, parts))}"
    if origin is tuple:
        return f"a list{'' if parts[-1] is ... else f' of {len(parts)}'}, each {_words(parts[0])}"
    return _WORDS.get(hint, str(hint))
