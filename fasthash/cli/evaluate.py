"""`fasthash evaluate`: the report of codes and labels in files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from fasthash.cli.arrays import read_array, read_bits
from fasthash.evaluation import evaluate

NAMES = ("query_codes", "database_codes", "query_labels", "database_labels")
FEATURES = ("query_features", "database_features")


def run(
    files: tuple[str, str, str, str],
    bits: int | None,
    features: tuple[str | None, str | None],
    options: dict[str, Any],
    json: str | None,
    markdown: str | None,
    plots: str | None,
    strict: bool,
) -> None:
    """Read, evaluate, print and write."""
    arrays = read_all("evaluate", files)
    options = options | read_features("evaluate", features)
    report = evaluate(*arrays, bits=read_bits(*files[:2]) if bits is None else bits, **options)
    print(report)
    if json is not None:
        report.to_json(json)
    if markdown is not None:
        Path(markdown).write_text(report.to_markdown(), encoding="utf-8")
    if plots is not None:
        report.save_plots(plots)
    if strict and any(alarm.level == "warning" for alarm in report.alarms):
        sys.exit(3)


def read_all(command: str, files: tuple[str, str, str, str]) -> list[Any]:
    """Codes and labels of both sides; a file named twice is one object, so that no query meets itself."""
    read: dict[str, Any] = {}
    for name, file in zip(NAMES, files, strict=True):
        if file not in read:
            read[file] = read_array(command, name, file)
    return [read[file] for file in files]


def read_features(command: str, files: tuple[str | None, str | None]) -> dict[str, Any]:
    """Features of both sides by name; nothing without files.

    Raises:
        ValueError: one side without the other.
    """
    if (files[0] is None) != (files[1] is None):
        given, missing = FEATURES if files[1] is None else FEATURES[::-1]
        flags = [name.replace("_", "-") for name in (missing, given)]
        raise ValueError(f"{command}: --{flags[0]}: expected a file beside --{flags[1]}, got none")
    return {
        name: read_array(command, name, file) for name, file in zip(FEATURES, files, strict=True) if file is not None
    }
