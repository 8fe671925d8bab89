"""`fasthash report`: a page of runs."""

from __future__ import annotations

import sys
from pathlib import Path

from fasthash.cli.recipe import RECIPE, check_data, open_split, read_recipe, training_set
from fasthash.report import Items, read_run, write_page
from fasthash.training import Run


def run(folders: tuple[str, ...], out: str | None) -> None:
    """Read the runs and their items, and write the page."""
    if not folders:
        raise ValueError("report: RUNS: expected one run folder or more, got none; fasthash report runs/first")
    names = _names([Path(folder) for folder in folders])
    records = []
    for folder, name in zip(folders, names, strict=True):
        print(f"reading {folder}", file=sys.stderr, flush=True)
        records.append(read_run(folder, name=name, items=_items(Path(folder))))
    path = write_page(records, Path(folders[0]) / "report.html" if out is None else out)
    print(f"Written to {path}, {path.stat().st_size / 1e6:.1f} MB")


def _items(folder: Path) -> Items | str:
    """The items of a run, or why they are not at hand."""
    if not (folder / RECIPE).is_file():
        return f"there is no {RECIPE}, which `fasthash train` leaves, to open its data by"
    try:
        recipe = read_recipe("report", folder)
        dataset, split = open_split(recipe.data, recipe.training.seed)
        check_data("report", Run(folder), training_set(recipe, dataset, split))
    except (ImportError, KeyError, OSError, TypeError, ValueError) as error:
        return f"its data cannot be opened: {error}"
    return Items(dataset, split)


def _names(folders: list[Path]) -> list[str]:
    """Names of the folders, with those above them where they are alike."""
    parts = [folder.resolve().parts for folder in folders]
    length = next((n for n in range(1, 9) if len({part[-n:] for part in parts}) == len({*parts})), 8)
    return ["/".join(part[-length:]) for part in parts]
