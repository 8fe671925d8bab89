"""`fasthash demo`: the main job from end to end on 1,797 real images."""

from __future__ import annotations

import importlib
import json
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

import fasthash
from fasthash import evaluation, methods, training
from fasthash.data import Split, TrainingSet, load_digits, make_split, open_dataset
from fasthash.report import Items, read_run, write_page

Codes = torch.Tensor
BITS = 48


@dataclass(frozen=True)
class Outcome:
    """What one method came to."""

    title: str
    query_codes: Codes  # uint8 (queries, bytes)
    database_codes: Codes  # uint8 (database, bytes)
    scores: dict[str, evaluation.Score]
    curve: evaluation.PrecisionRecallCurve
    train_seconds: float
    encoded_per_second: float
    searches_per_second: float


def run(out: str, seed: int) -> None:
    """Train, encode, search, report, write."""
    folder = Path(out)
    _claim(folder)
    images, labels = load_digits()
    split = make_split("digits-semi", labels, seed)
    counts = split.counts()
    print(
        f"1,797 handwritten digits, 8 x 8 pixels. {counts['queries']} are queries, {counts['validation']} are kept for "
        f"choosing options;\nthe other {counts['database']:,} are the database: {counts['labelled']} of them labelled "
        f"(10 a class), {counts['unlabelled']:,} without a label.\n",
        flush=True,
    )
    plans = {
        "supervised only": methods.create("dpsh", preset="digits", bits=BITS),
        "PTS3H": methods.create("pts3h", preset="digits", bits=BITS),
    }
    outcomes = [
        _train_and_evaluate(title, method, folder / method.name, images, labels, split, seed)
        for title, method in plans.items()
    ]
    print("\n" + _table(outcomes, counts), flush=True)
    _write(folder, outcomes, images, labels, split)
    items = Items(open_dataset("digits"), split)
    runs = [read_run(folder / method.name, name=title, items=items) for title, method in plans.items()]
    write_page(runs, folder / "report.html")
    print(f"\nWritten to {folder}/:")
    for name, what in FILES.items():
        print(f"  {name:<22}{what}")


FILES = {
    "report.html": "both runs side by side, with curves, history and pictures to click, for a browser",
    "metrics.json": "every number above with its convention",
    "precision_recall.png": "precision against recall by Hamming radius (numbers in the .csv)",
    "retrieval.png": "ten queries and their ten nearest images by PTS3H, right and wrong ones marked",
    "codes.safetensors": "the packed codes of queries and database",
    "dpsh/, pts3h/": "the two runs: config, losses of every 20th step, weights, codes, report",
}


def _claim(folder: Path) -> None:
    """Only what a demo wrote is ever written over.

    Raises:
        FileExistsError: the folder holds something else.
    """
    mark = folder / ".fasthash-demo"
    if folder.exists() and any(folder.iterdir()) and not mark.exists():
        raise FileExistsError(
            f"demo: out: expected a new or empty folder, or one of an earlier demo, got {str(folder)!r}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    mark.touch()


def _train_and_evaluate(
    title: str,
    method: methods.Method,
    folder: Path,
    images: torch.Tensor,
    labels: torch.Tensor,
    split: Split,
    seed: int,
) -> Outcome:
    shutil.rmtree(folder, ignore_errors=True)  # within a folder that a demo has claimed
    importlib.import_module("lightning_fabric")  # here, so that no method is charged for it
    data = TrainingSet.from_split(images, labels, split)
    config = training.Config(folder=str(folder), seed=seed, accelerator="cpu")
    start = time.perf_counter()
    with _one_thread():
        training.fit(
            method,
            data,
            config,
            progress=training.default_progress(f"{title:<15}"),
            resume_hint="fasthash demo starts anew",
        )
        train_seconds = time.perf_counter() - start
        hasher = training.load(folder)
        queries, database = images[split.queries], images[split.database]
        query_codes, database_codes = hasher.encode(queries), hasher.encode(database)
        encodings = _calls_per_second(lambda: hasher.encode(database))
    searches = _calls_per_second(lambda: fasthash.hamming_topk(query_codes, database_codes, 10))
    of_queries, of_database = labels[split.queries], labels[split.database]
    training.report_run(
        folder, queries=queries, database=database, query_labels=of_queries, database_labels=of_database
    )
    arrays = (query_codes, database_codes, of_queries, of_database)
    return Outcome(
        title=title,
        query_codes=query_codes,
        database_codes=database_codes,
        scores={
            "mAP@all": evaluation.mean_average_precision(*arrays, bits=BITS),
            "precision@10": evaluation.precision_at(*arrays, 10, bits=BITS),
            "precision, radius 2": evaluation.precision_within_radius(*arrays, 2, bits=BITS),
        },
        curve=evaluation.precision_recall_curve(*arrays, bits=BITS),
        train_seconds=train_seconds,
        encoded_per_second=len(database) * encodings,
        searches_per_second=len(queries) * searches,
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """The network is so small that torch's threads would mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _calls_per_second(call: Callable[[], Any], seconds: float = 0.3) -> float:
    """Of the median call, over about this time."""
    times: list[float] = []
    while sum(times) < seconds:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1 / float(np.median(times))


def _table(outcomes: list[Outcome], counts: dict[str, int]) -> str:
    """The report as text, one column a method."""
    rows: list[tuple[str, list[str]]] = [("", [outcome.title for outcome in outcomes])]
    for name in outcomes[0].scores:
        label = {"mAP@all": "mAP@all, expected over ties", "precision, radius 2": "precision within radius 2"}
        rows.append((label.get(name, name), [f"{outcome.scores[name]:.4f}" for outcome in outcomes]))
    rows += [
        ("  queries with an empty ball", [f"{o.scores['precision, radius 2'].empty}" for o in outcomes]),
        ("training, seconds", [f"{o.train_seconds:.1f}" for o in outcomes]),
        ("codes a second", [f"{o.encoded_per_second:,.0f}" for o in outcomes]),
        (f"searches a second (10 of {counts['database']:,})", [f"{o.searches_per_second:,.0f}" for o in outcomes]),
    ]
    lines = [f"{label:<36}" + "".join(f"{value:>18}" for value in values) for label, values in rows]
    lines.insert(1, "-" * len(lines[0]))
    return f"{BITS}-bit codes, means over {counts['queries']} queries\n" + "\n".join(lines)


def _write(folder: Path, outcomes: list[Outcome], images: torch.Tensor, labels: torch.Tensor, split: Split) -> None:
    metrics = {
        "data": "scikit-learn digits",
        "split": split.provenance(),
        "bits": BITS,
        "machine": {"system": platform.platform(), "threads": torch.get_num_threads(), **fasthash.build_info()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "results": {outcome.title: _numbers(outcome) for outcome in outcomes},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    save_file(
        {
            f"{outcome.title}/{part}": codes
            for outcome in outcomes
            for part, codes in (("queries", outcome.query_codes), ("database", outcome.database_codes))
        },
        folder / "codes.safetensors",
        metadata={"bits": str(BITS)},
    )
    evaluation.plot_precision_recall({o.title: o.curve for o in outcomes}, folder / "precision_recall.png")
    _grid(folder / "retrieval.png", outcomes[-1], images.numpy()[:, 0], labels.numpy(), split)


def _numbers(outcome: Outcome) -> dict[str, Any]:
    scores = {
        name: {"value": float(score), "convention": score.convention, "empty_queries": score.empty}
        for name, score in outcome.scores.items()
    }
    rest = asdict(outcome)
    return scores | {name: rest[name] for name in ("train_seconds", "encoded_per_second", "searches_per_second")}


def _grid(path: Path, outcome: Outcome, images: NDArray[Any], labels: NDArray[Any], split: Split) -> None:
    """One query of each class: the first in order, whatever it finds."""
    classes = labels[split.queries]
    chosen = np.array([np.flatnonzero(classes == digit)[0] for digit in range(10)])
    distances, found = fasthash.hamming_topk(outcome.query_codes[chosen], outcome.database_codes, 10)
    neighbours = split.database[found.numpy()]
    evaluation.plot_retrieval_grid(
        images[split.queries[chosen]],
        images[neighbours],
        labels[neighbours] == classes[chosen][:, None],
        path,
        neighbour_titles=[[f"{d} bits" for d in row] for row in distances.tolist()],
    )
