"""`fasthash evaluate`: the report of codes and labels in files, or of a run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from fasthash.cli.arrays import read_array, read_bits
from fasthash.evaluation import DirectionReports, RetrievalReport, evaluate

NAMES = ("query_codes", "database_codes", "query_labels", "database_labels")
FEATURES = ("query_features", "database_features")


@dataclass(frozen=True)
class Output:
    """Where a report goes besides the terminal, and whether warnings count as failure."""

    json: str | None
    markdown: str | None
    plots: str | None
    strict: bool

    def __call__(self, report: RetrievalReport | DirectionReports) -> None:
        """Print and write it.

        Raises:
            ValueError: a file that is asked of the reports of several directions, which the run folder keeps.
        """
        print(report)
        if isinstance(report, DirectionReports):
            asked = [f"--{name}" for name in ("json", "markdown", "plots") if getattr(self, name) is not None]
            if asked:
                raise ValueError(f"evaluate: {asked[0]}: expected none with several modalities, got one")
            alarms = [*report.alarms, *(alarm for name in report for alarm in report[name].alarms)]
            if self.strict and any(alarm.level == "warning" for alarm in alarms):
                sys.exit(3)
            return
        if self.json is not None:
            report.to_json(self.json)
        if self.markdown is not None:
            Path(self.markdown).write_text(report.to_markdown(), encoding="utf-8")
        if self.plots is not None:
            report.save_plots(self.plots)
        if self.strict and any(alarm.level == "warning" for alarm in report.alarms):
            sys.exit(3)


def evaluate_files(
    files: tuple[str | None, str | None, str | None, str | None],
    bits: int | None,
    features: tuple[str | None, str | None],
    options: dict[str, Any],
    output: Output,
) -> None:
    """Read, evaluate, print and write.

    Raises:
        ValueError: a file that is not named or cannot be read.
    """
    for name, file in zip(NAMES, files, strict=True):
        if file is None:
            raise ValueError(
                f"evaluate: --{name.replace('_', '-')}: expected a file, or --run in place of all, got none"
            )
    named = cast(tuple[str, str, str, str], files)
    arrays = read_all("evaluate", named)
    options = options | read_features("evaluate", features)
    output(evaluate(*arrays, bits=read_bits(*named[:2]) if bits is None else bits, **options))


def evaluate_run(
    folder: str,
    which: Literal["best", "last"] | None,
    others: dict[str, Any],
    options: dict[str, Any],
    output: Output,
) -> None:
    """Encode the queries and the database of a run again, evaluate, print and write.

    Raises:
        ValueError: no run folder of `fasthash train`, data that are not those it was trained on, or one of the `others`
            is given, which a run decides itself.
    """
    from fasthash.cli.recipe import check_data, open_split, read_recipe, report_on, training_set
    from fasthash.training import Run

    for name, value in others.items():
        if value:
            raise ValueError(f"evaluate: --run: expected no {name} beside it, got some")
    recipe = read_recipe("evaluate: --run", Path(folder))
    dataset, split = open_split(recipe.data, recipe.training.seed)
    run = Run(folder)
    check_data("evaluate: --run", run, training_set(recipe, dataset, split))
    output(report_on(run, dataset, split, which=which, **options))


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
