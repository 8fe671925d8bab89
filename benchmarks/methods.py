"""Retrieval results of the methods: one CSV row for each finished run, in a table that grows over time.

    python benchmarks/methods.py [--only WORD ...] [--seeds 0 1 ...] [--list] [--no-runs] [--table DOCUMENT]

Runs, one at a time and in the order of `method_cells.plan`, what has no row in benchmarks/results/methods.csv yet, and
prints the tables. FASTHASH_DATA names the data, FASTHASH_VIEWS the folder that `views.py` wrote. Stopped at any moment,
it goes on with the run that was under way. A row is known by its data, labels, variant, bits, seed and options: changed
options are another run, and only rows with the options of today are in the tables. Options stand in the presets of
`fasthash.methods`, which say how they were found; the test queries of these splits had no part in that.

Every row is made with the public names alone: a split by name, `training.fit` into a run folder, `training.load`, and
`evaluation.evaluate` of its codes.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from machine import card
from method_cells import CIFAR10, STORED_VIEWS, Cell, load, plan
from method_tables import NOT_RUN, tables
from report import fill

from fasthash import evaluation, training

RESULTS = Path(__file__).parent / "results" / "methods.csv"
KEY = ("data", "labels", "variant", "bits", "seed")
SCORES = {"map": "mAP@all", "p100": "P@100", "p1000": "P@1000", "radius2": "precision within radius 2"}
TIMES = ("train_seconds", "train_cpu_seconds", "encode_seconds")
MACHINE = ("cpu", "threads", "scheduling", "commit", "date")
VERSIONS = ("torch", "fasthash")
COLUMNS = (*KEY, "digest", *SCORES, "steps", *TIMES, "split", *MACHINE, *VERSIONS, "options")


def key(cell: Cell) -> tuple[str, ...]:
    """What a row is known by, beside its options."""
    return (cell.data, str(cell.labels), cell.variant, str(cell.bits), str(cell.seed))


def options(cell: Cell) -> dict[str, Any]:
    """All options of a cell's method, those of its training that it changes, and the stored views."""
    views = STORED_VIEWS[cell.labels] if cell.data == CIFAR10 else 0
    return {**dataclasses.asdict(cell.method()), **cell.training(), "views": views}


def digest(cell: Cell) -> str:
    """Of `options`."""
    return hashlib.blake2b(json.dumps(options(cell), sort_keys=True).encode(), digest_size=6).hexdigest()


def is_of(row: dict[str, str], cell: Cell) -> bool:
    """Whether a row is of this cell, with the options that the cell has today.

    An option that a row does not name was at its default, or there was none yet: it must be at its default today.
    """
    method = cell.method()
    today, usual = (_flat(x) for x in (options(cell), dataclasses.asdict(type(method)(bits=method.bits))))
    then = _flat(json.loads(row["options"]))
    return tuple(row[name] for name in KEY) == key(cell) and all(
        then.get(name, usual.get(name)) == value for name, value in today.items()
    )


def _flat(options: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Nested options by their paths; lists, as JSON has them, for tuples."""
    flat: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[f"{before}{name}"] = list(value) if isinstance(value, tuple) else value
    return flat


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def find(rows: Sequence[dict[str, str]], cell: Cell) -> dict[str, str] | None:
    """The latest row of a cell with the options that it has today; None = not run."""
    return next((row for row in reversed(rows) if is_of(row, cell)), None)


def append(path: Path, row: dict[str, Any]) -> None:
    """One more row; the file is whole at any moment but for its last line."""
    new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerow(row)


def run(cell: Cell, folder: Path) -> dict[str, Any]:
    """Train, encode and evaluate; the row. A run that goes on after a stop has no times."""
    began_before = folder.exists()
    items = load(cell.data, cell.labels, cell.seed)
    config = training.Config(
        str(folder), seed=cell.seed, resume=True, accelerator="cpu", log_every=100, **cell.training()
    )
    began, began_cpu = time.perf_counter(), time.process_time()
    trained = training.fit(cell.method(), items.training, config, progress=training.Silent())
    after_training, after_cpu = time.perf_counter(), time.process_time()
    hasher = training.load(trained)
    codes = hasher.encode(items.source)
    after_encoding = time.perf_counter()
    labels = torch.from_numpy(items.labels)
    queries, database = items.split.queries, items.split.database
    report = evaluation.evaluate(
        codes[queries], codes[database], labels[queries], labels[database], bits=cell.bits, k=(100, 1000)
    )
    machine, logged = card(), trained.metrics()
    times = (after_training - began, after_cpu - began_cpu, after_encoding - after_training)
    return {
        **dict(zip(KEY, key(cell), strict=True)),
        "digest": digest(cell),
        **{column: f"{float(report[name]):.5f}" for column, name in SCORES.items()},
        "steps": logged[-1]["steps"] if logged else 0,
        **{name: "" if began_before else f"{value:.1f}" for name, value in zip(TIMES, times, strict=True)},
        "split": items.split.digest,
        **{name: machine[name] for name in MACHINE},
        **{name: machine["versions"][name] for name in VERSIONS},
        "options": json.dumps(options(cell), sort_keys=True),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], help="cells with all of these words: ssdh, 48, ...")
    parser.add_argument("--seeds", nargs="+", type=int, help="these seeds alone")
    parser.add_argument("--list", action="store_true", help="show the cells and which have a row; run nothing")
    parser.add_argument("--no-runs", action="store_true", help="tables of the rows there are")
    parser.add_argument("--table", type=Path, help="a document to put the tables into")
    parser.add_argument("--csv", type=Path, default=RESULTS)
    parser.add_argument("--runs", type=Path, default=Path(tempfile.gettempdir()) / "fasthash-methods")
    arguments = parser.parse_args()
    cells = [
        cell
        for cell in plan()
        if set(arguments.only) <= cell.words() and (arguments.seeds is None or cell.seed in arguments.seeds)
    ]
    if not arguments.no_runs:
        rows = read(arguments.csv)
        for cell in cells:
            done = find(rows, cell) is not None
            if done or arguments.list:
                print(f"{cell}: {'done' if done else NOT_RUN}")
                continue
            folder = arguments.runs / "-".join((*key(cell), digest(cell)))
            row = run(cell, folder)
            append(arguments.csv, row)
            shutil.rmtree(folder)
            print(f"{cell}: mAP {row['map']}, {row['train_seconds'] or '?'} s", flush=True)
    rows = read(arguments.csv)
    made = tables([row for row in (find(rows, cell) for cell in plan()) if row is not None])
    if arguments.table:
        print(f"{arguments.table}: {', '.join(fill(arguments.table, made)) or 'no tables'}")
    elif not arguments.list:
        print("\n\n".join(f"{name}\n\n{text}" for name, text in made.items()))


if __name__ == "__main__":
    main()
