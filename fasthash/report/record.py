"""What a run folder tells, read into plain values; what it does not tell is said in its place."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fasthash.report.items import Items
from fasthash.report.measured import Measured, measure_other_lengths, read_measured
from fasthash.training import Run

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class RunRecord:
    """A run as the page shows it; made by `read_run`.

    Attributes:
        name: of the run on the page.
        run: the folder.
        config: its config.json.
        starts: its environment.json, one entry a start.
        metrics: its metrics.jsonl.
        finished: whether training came to its end; None = not known.
        best: the best validation score, with "score" and "steps", if there is one.
        measured: its codes and reports, one for each code length that is known.
        items: what it was trained and measured on, if it is at hand.
        missing: why a part is not there: "report", "lengths", "environment", "metrics", "checkpoint", "items".
    """

    name: str
    run: Run
    config: dict[str, Any]
    starts: list[dict[str, Any]]
    metrics: list[dict[str, Any]]
    finished: bool | None
    best: dict[str, Any] | None
    measured: list[Measured]
    items: Items | None
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Of training, over all starts: each process counts from its own."""
        total = last = 0.0
        for line in self.metrics:
            total += last if line["seconds"] < last else 0.0
            last = line["seconds"]
        return total + last


def read_run(
    folder: str | os.PathLike[str], *, name: str | None = None, items: Items | str = "its items were not given"
) -> RunRecord:
    """Read a run folder. What is missing or spoilt there is named in `missing`.

    A run that learnt several lengths (MAH) is measured in the others too, where its items are given.

    Args:
        folder: of `training.fit` or `fasthash train`.
        name: on the page; default that of the folder.
        items: what it was trained and measured on, or why that is not at hand.

    Raises:
        ValueError: the folder holds no run.

    Example:
        >>> from fasthash.report import read_run
        >>> read_run("runs/first").measured[0].reports[""]["mAP@all"]  # doctest: +SKIP
    """
    run = Run(folder)
    config = _config(run)
    label = run.path.resolve().name if name is None else name
    missing = {"items": items} if isinstance(items, str) else {}

    def attempt(part: str, read: Callable[[], T], instead: T) -> T:
        try:
            return read()
        except FileNotFoundError as error:
            missing[part] = f"there is no {Path(error.filename).name}" if error.filename else str(error)
        # A file of another version, or one that a hand has changed, may fail in any of these.
        except (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
            missing[part] = f"{type(error).__name__}: {error}"
        return instead

    measured: list[Measured] = attempt("report", lambda: [read_measured(run, label)], [])
    if measured and not isinstance(items, str) and set(measured[0].reports) == {""}:
        measured = attempt("lengths", lambda: measure_other_lengths(run, label, measured[0], items), measured)
    if not run.report_path.exists():
        missing["report"] = f"there is no report.json; `fasthash evaluate --run {run.path}` writes it"
    starts: list[dict[str, Any]] = attempt("environment", run.environment, [])
    if not starts:
        missing.setdefault("environment", "there is no environment.json")
    saved = any(run.checkpoints.glob("[0-9]*"))
    if not saved:
        missing["checkpoint"] = "there is no checkpoint"
    return RunRecord(
        name=label,
        run=run,
        config=config,
        starts=starts,
        metrics=attempt("metrics", lambda: _lines(run), []),
        finished=attempt("checkpoint", lambda: run.finished, None) if saved else None,
        best=attempt("checkpoint", lambda: _best(run), None),
        measured=measured,
        items=None if isinstance(items, str) else items,
        missing=missing,
    )


def _config(run: Run) -> dict[str, Any]:
    try:
        config: Any = run.config()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(_no_run(run.path)) from error
    except (OSError, ValueError) as error:
        raise ValueError(f"report: runs: expected JSON in {str(run.path / 'config.json')!r}, got {error}") from error
    if not (
        isinstance(config, dict) and isinstance(config.get("method"), str) and isinstance(config.get("options"), dict)
    ):
        raise ValueError(
            f"report: runs: expected a config.json that training wrote, with method and options, in {str(run.path)!r}, "
            "got another; `fasthash train` makes a run"
        )
    return config


def _no_run(path: Path) -> str:
    inside = sorted(file.parent for file in path.glob("*/config.json")) if path.is_dir() else []
    cure = (
        f"name the runs in it: fasthash report {' '.join(map(str, inside))}" if inside else "`fasthash train` makes one"
    )
    got = f"{str(path)!r}" if path.exists() else f"{str(path)!r}, which is not there"
    return f"report: runs: expected a run folder, with its config.json, got {got}; {cure}"


def _lines(run: Run) -> list[dict[str, Any]]:
    return [{**line, "seconds": float(line["seconds"]), "steps": int(line["steps"])} for line in run.metrics()]


def _best(run: Run) -> dict[str, Any] | None:
    best = run.best
    return None if best is None or best["score"] is None else {"score": best["score"], "steps": best["steps"]}
