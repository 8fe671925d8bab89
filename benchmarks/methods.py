"""Retrieval results of the methods: one CSV row for each finished run, in a table that grows over time.

    python benchmarks/methods.py [--only WORD ...] [--seeds 0 1 ...] [--list] [--no-runs] [--table DOCUMENT]

Runs, one at a time and in the order of the plans in `STUDIES`, what has no row in benchmarks/results/methods.csv yet,
and prints the tables. FASTHASH_DATA names the data, FASTHASH_VIEWS the folder that `views.py` wrote. Stopped at any
moment, it goes on with the run that was under way. A row is known by its data, labels, variant, bits, seed and options:
changed options are another run, and only rows with the options of today are in the tables. Options stand in the presets
of `fasthash.methods`, which say how they were found; the test queries of these splits had no part in that. A run of
several code lengths has a row for each, one across modalities a row for each direction.

Every row is made with the public names alone: a split by name, `training.fit` into a run folder, `training.load` and
`evaluation.evaluate`, or `training.report_directions`.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import hashlib
import json
import math
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import method_across
import method_low_bit
import method_semi
import method_unsupervised
import torch
from machine import card
from method_cells import Cell, Items
from method_tables import NOT_RUN, tables
from report import fill

from fasthash import data, evaluation, training

STUDIES = (method_semi, method_unsupervised, method_low_bit, method_across)
RESULTS = Path(__file__).parent / "results" / "methods.csv"
KEY = ("data", "labels", "variant", "bits", "seed")
WHAT = ("length", "direction")  # of the codes, where it is not `bits`; of the search, where there are several
RANKS = (100, 1000)
SCORES = {"map": "mAP@all", "p100": "P@100", "p1000": "P@1000", "radius2": "precision within radius 2"}
TIMES = ("train_seconds", "train_cpu_seconds", "encode_seconds")
MACHINE = ("cpu", "threads", "scheduling", "commit", "date")
VERSIONS = ("torch", "fasthash")
COLUMNS = (*KEY, *WHAT, "digest", *SCORES, "steps", *TIMES, "split", *MACHINE, *VERSIONS, "options")
GROUPS = tuple(chain.from_iterable(study.GROUPS for study in STUDIES))


def plan() -> Iterator[Cell]:
    """All cells that can run here."""
    return chain.from_iterable(study.plan() for study in STUDIES)


def options(cell: Cell) -> dict[str, Any]:
    """All options of a cell's method, those of its training that it changes, and of the reading of its items."""
    return {**dataclasses.asdict(cell.method()), **cell.variant.training, **cell.group.reading}


def digest(cell: Cell) -> str:
    """Of `options`."""
    return hashlib.blake2b(json.dumps(options(cell), sort_keys=True).encode(), digest_size=6).hexdigest()


def is_of(row: dict[str, str], cell: Cell) -> bool:
    """Whether a row is of this cell, with the options that the cell has today.

    An option that a row does not name was at its default, or there was none yet: it must be at its default today.
    """
    if tuple(row[name] for name in KEY) != cell.key():
        return False
    method = cell.method()
    today, usual = (_flat(x) for x in (options(cell), dataclasses.asdict(type(method)(bits=method.bits))))
    then = _flat(json.loads(row["options"]))
    return all(then.get(name, usual.get(name)) == value for name, value in today.items())


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


def find(rows: Sequence[dict[str, str]], cell: Cell) -> list[dict[str, str]]:
    """The latest rows of a cell with the options that it has today, one a length and direction; none = not run."""
    return list({tuple(row[name] for name in WHAT): row for row in rows if is_of(row, cell)}.values())


def append(path: Path, row: dict[str, Any]) -> None:
    """One more row; the file is whole at any moment but for its last line."""
    new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerow(row)


def run(cell: Cell, folder: Path) -> Iterator[dict[str, Any]]:
    """Train, encode and evaluate; the rows. A run that goes on after a stop has no times."""
    began_before = folder.exists()
    items = cell.group.load(cell.seed)
    config = training.Config(
        str(folder), seed=cell.seed, resume=True, accelerator="cpu", log_every=100, **cell.variant.training
    )
    began, began_cpu = time.perf_counter(), time.process_time()
    trained = training.fit(cell.method(), items.training, config, progress=training.Silent())
    spent = {TIMES[0]: time.perf_counter() - began, TIMES[1]: time.process_time() - began_cpu}
    machine, logged = card(), trained.metrics()
    for encoded in cell.encodes():
        for what, report, seconds in measure(encoded, trained, items):
            times = spent | {TIMES[2]: seconds}
            yield {
                **dict(zip(KEY, encoded.key(), strict=True)),
                **dict(zip(WHAT, what, strict=True)),
                "digest": digest(encoded),
                **{column: f"{float(report[name]):.5f}" for column, name in SCORES.items()},
                "steps": logged[-1]["steps"] if logged else 0,
                **{name: "" if began_before or math.isnan(t) else f"{t:.1f}" for name, t in times.items()},
                "split": items.split.digest,
                **{name: machine[name] for name in MACHINE},
                **{name: machine["versions"][name] for name in VERSIONS},
                "options": json.dumps(options(encoded), sort_keys=True),
            }


Measured = tuple[tuple[str, str], evaluation.RetrievalReport, float]


def measure(cell: Cell, trained: training.Run, items: Items) -> Iterator[Measured]:
    """Reports of a run by length and direction, with the seconds that its codes took; NaN across modalities.

    Database items whose codes training found are represented by these (ADSH, MAH).
    """
    queries, database = items.split.queries, items.split.database
    sides = items.source.select(queries), items.source.select(database)
    labels = items.labels[queries], items.labels[database]
    # Another way of encoding is the method's; the run's own may be by the mean weights of its training.
    method = None if cell.variant.of is None else cell.method()
    if isinstance(items.source, data.Modalities):
        named = dict(zip(("queries", "database", "query_labels", "database_labels"), (*sides, *labels), strict=True))
        reports = training.report_directions(trained, **named, method=method, k=RANKS)
        yield from ((("", direction), reports[direction], math.nan) for direction in reports)
        return
    hasher = training.load(trained, method=method)
    for length in hasher.lengths:
        began = time.perf_counter()
        codes = hasher.encode(sides[0], length=length), hasher.encode_database(sides[1], database, length=length)
        seconds = time.perf_counter() - began
        report = evaluation.evaluate(*codes, *map(torch.from_numpy, labels), bits=length, k=RANKS)
        yield ("" if length == cell.bits else str(length), ""), report, seconds


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
            done = bool(find(rows, cell))
            if done or arguments.list:
                print(f"{cell}: {'done' if done else NOT_RUN}")
                continue
            trained = cell.runs()
            folder = arguments.runs / "-".join((*trained.key(), digest(trained)))
            found = list(run(trained, folder))
            for row in found:
                append(arguments.csv, row)
                print(" ".join(row[name] for name in (*KEY, *WHAT) if row[name]) + f": mAP {row['map']}")
            shutil.rmtree(folder)
            print(f"  {found[0]['train_seconds'] or '?'} s", flush=True)
            rows = read(arguments.csv)
    rows = read(arguments.csv)
    made = tables(GROUPS, list(chain.from_iterable(find(rows, cell) for cell in plan())))
    if arguments.table:
        print(f"{arguments.table}: {', '.join(fill(arguments.table, made)) or 'no tables'}")
    elif not arguments.list:
        print("\n\n".join(f"{name}\n\n{text}" for name, text in made.items()))


if __name__ == "__main__":
    main()
