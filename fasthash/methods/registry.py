"""Methods by name: our own, and those of others.

Others register theirs in a module that is imported, or that the environment variable `FASTHASH_METHODS` names; or they
offer them in an installed package, by the entry-point group `fasthash.methods`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TypeVar, cast, get_type_hints

from fasthash.methods._kinds import checked
from fasthash.methods.method import Method
from fasthash.methods.presets import preset_options

GROUP = "fasthash.methods"
MODULES = "FASTHASH_METHODS"
M = TypeVar("M", bound=type[Method])
_METHODS: dict[str, type[Method]] = {}


def register(name: str) -> Callable[[M], M]:
    """Class decorator that makes a method known under a name.

    Raises:
        TypeError: what is decorated is not a `Method` dataclass.
        ValueError: the name is taken.
    """

    def decorate(method: M) -> M:
        if not (isinstance(method, type) and issubclass(method, Method) and dataclasses.is_dataclass(method)):
            raise TypeError(f"register: {name!r} must be a dataclass derived from Method, got {method!r}")
        if _METHODS.get(name, method) is not method:
            raise ValueError(f"register: {name!r} is taken by {_METHODS[name].__qualname__}")
        method.name = name
        _METHODS[name] = method
        return method

    return decorate


def available() -> list[str]:
    """Names that `create` knows, in alphabetical order.

    Raises:
        ImportError: a module that `FASTHASH_METHODS` names cannot be imported.

    Example:
        >>> from fasthash import methods
        >>> {"dpsh", "pts3h", "ssdh"} <= set(methods.available())
        True
    """
    _import_modules()
    return sorted({*_METHODS, *entry_points(group=GROUP).names})


def method_class(name: str) -> type[Method]:
    """The class of a method; a package that offers it is imported now.

    Raises:
        ImportError: a module that `FASTHASH_METHODS` names cannot be imported.
        ValueError: no method of this name.
    """
    if name not in _METHODS:
        _import_modules()
    if name not in _METHODS:
        for entry in entry_points(group=GROUP, name=name):
            register(name)(entry.load())
    if name not in _METHODS:
        raise ValueError(
            f"create: name must be one of {available()}, got {name!r} (a module that registers others is to be "
            f"imported first, or named in {MODULES})"
        )
    return _METHODS[name]


def _import_modules() -> None:
    """Import what `FASTHASH_METHODS` names: modules, with commas between them, that register methods."""
    for name in os.environ.get(MODULES, "").replace(",", " ").split():
        try:
            import_module(name)
        except ImportError as error:
            raise ImportError(
                f"{MODULES}: expected modules whose folders are in PYTHONPATH, got {name!r}: {error}"
            ) from error


def create(name: str, *, preset: str | None = None, **options: Any) -> Method:
    """A method with these options, the others at their defaults.

    Args:
        name: one of `available()`.
        preset: options to start from, found for some data: "digits" for `data.load_digits`; "cifar10-features-500",
            "cifar10-features-5000", "fashion-mnist-5000" and "features-unsup" for docs/results.md. "released_code" for
            a method whose authors' code deviates from its intended form. And those of the method's own `presets`.
        **options: fields of the method's dataclass; nested ones also as mappings, as they stand in a run's config.json.

    Raises:
        TypeError: an option the method does not have, or a value of another kind.
        ValueError: no method or no preset of this name, or a value out of range.

    Example:
        >>> from fasthash import methods
        >>> method = methods.create("pts3h", bits=32, perturbation={"shift": 1})
        >>> method.bits, method.perturbation.shift
        (32, 1)
    """
    kind = method_class(name)
    if preset is not None:
        options = {**preset_options(preset, name, kind.presets), **options}
    method: Method = from_mapping(kind, options, f"create: {name}")
    return method


def from_mapping(kind: type[Any], options: dict[str, Any], where: str, *, start: Any = None) -> Any:
    """A dataclass from a mapping as JSON and YAML hold it; nested dataclasses come as mappings, tuples as lists.

    Args:
        kind: the dataclass.
        options: values of some of its fields.
        where: what errors begin with.
        start: one of this kind that gives the other fields; None = their defaults. A nested mapping starts from the
            default of its field, which a method may have changed.

    Raises:
        TypeError: a key that is no field, or a value of another kind than its hint; it begins with `where`.
        ValueError: a value that is none of the choices of its hint.
    """
    hints = get_type_hints(kind)
    known = {field.name: field for field in dataclasses.fields(kind) if field.init}
    values = {}
    for key, value in options.items():
        if key not in known:
            raise TypeError(f"{where} has the options {list(known)}, got {key!r}")
        hint = hints[key]
        if dataclasses.is_dataclass(hint) and not isinstance(value, cast(type, hint)):
            if not isinstance(value, dict):
                raise TypeError(f"{where}.{key} must be a mapping, got {value!r}")
            factory = known[key].default_factory
            nested = None if factory is dataclasses.MISSING else factory()
            value = from_mapping(cast(type, hint), value, f"{where}.{key}", start=nested)
        values[key] = checked(hint, value, f"{where}.{key}")
    return kind(**values) if start is None else dataclasses.replace(start, **values)
