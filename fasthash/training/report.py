"""From a run to its codes, its report and its plots, kept in its folder."""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from fasthash.data import Modalities
from fasthash.evaluation import DirectionReports, RetrievalReport, evaluate, evaluate_directions
from fasthash.methods import Method
from fasthash.training.checkpoint import flush
from fasthash.training.hasher import load
from fasthash.training.run import Run, write_text


def report_run(
    run: Run | str | os.PathLike[str],
    *,
    queries: Any,
    database: Any,
    query_labels: Any,
    database_labels: Any,
    database_rows: Any = None,
    length: int | None = None,
    which: Literal["best", "last"] | None = None,
    method: Method | None = None,
    network: nn.Module | None = None,
    device: str | torch.device = "cpu",
    batch_size: int = 1024,
    **options: Any,
) -> RetrievalReport:
    """Encode queries and database, evaluate, and leave codes, report and plots in the run folder.

    Writes codes/queries.safetensors, codes/database.safetensors, report.json, report.md, and plots/ where matplotlib is
    installed; each file takes the place of an older one when it is whole.

    Args:
        run: a run folder.
        queries: items (q, ...), as for `Hasher.encode`.
        database: items (n, ...).
        query_labels: (q,) class ids or (q, classes) multi-hot.
        database_labels: (n,) or (n, classes).
        database_rows: which rows the database items are of the x that the training set was made from, int (n,): those
            whose codes training found (ADSH, MAH) are then represented by these, see `Hasher.encode_database`; None =
            the network encodes all.
        length: of the codes, for methods with several; None = the method's `bits`.
        which: see `load`, also for the next two.
        method: to encode in another way.
        network: one like the network that `fit` was given.
        device: to encode on.
        batch_size: items encoded at once.
        **options: of `evaluation.evaluate`: k, radius, ties, ...

    Returns:
        The report.

    Raises:
        FileNotFoundError, TypeError, ValueError: as `load`, `Hasher.encode` and `evaluation.evaluate` do.

    Example:
        >>> from fasthash import training
        >>> report = training.report_run(  # doctest: +SKIP
        ...     "runs/first", queries=x[:9], database=x[9:], query_labels=y[:9], database_labels=y[9:]
        ... )
        >>> report["mAP@all"]  # doctest: +SKIP
        0.7312
    """
    run = run if isinstance(run, Run) else Run(run)
    hasher = load(run, which=which, method=method, network=network).to(device)
    codes = {"queries": torch.as_tensor(hasher.encode(queries, length=length, batch_size=batch_size)).cpu()}
    if database_rows is None:
        codes["database"] = torch.as_tensor(hasher.encode(database, length=length, batch_size=batch_size)).cpu()
    else:
        codes["database"] = hasher.encode_database(database, database_rows, length=length, batch_size=batch_size)
    bits = hasher.bits if length is None else length
    labels = (torch.as_tensor(query_labels).cpu(), torch.as_tensor(database_labels).cpu())
    report = evaluate(codes["queries"], codes["database"], *labels, bits=bits, **options)
    for name, packed in codes.items():
        run.save_codes(name, packed, bits)
    write_text(run.report_path, report.to_json() + "\n")
    write_text(run.report_path.with_suffix(".md"), report.to_markdown())
    if importlib.util.find_spec("matplotlib"):
        _save_plots(report, run)
    return report


def report_directions(
    run: Run | str | os.PathLike[str],
    *,
    queries: Modalities,
    database: Modalities,
    query_labels: Any,
    database_labels: Any,
    which: Literal["best", "last"] | None = None,
    method: Method | None = None,
    network: nn.Module | None = None,
    device: str | torch.device = "cpu",
    batch_size: int = 1024,
    **options: Any,
) -> DirectionReports:
    """The same for a network of several modalities: a report for each direction, such as "image->text".

    An item is asked for and found in the modalities that it has. Writes codes/queries-NAME.safetensors and
    codes/database-NAME.safetensors of those items in their order, report.json by direction, and report.md.

    Args:
        run: a run folder.
        queries: items (q, ...).
        database: items (n, ...), none of which is a query.
        query_labels: (q,) class ids or (q, classes) multi-hot.
        database_labels: (n,) or (n, classes).
        which: see `load`, also for the next two.
        method: to encode in another way.
        network: one like the network that `fit` was given.
        device: to encode on.
        batch_size: items encoded at once.
        **options: of `evaluation.evaluate`: k, radius, ties, ...

    Returns:
        The reports.

    Raises:
        FileNotFoundError, TypeError, ValueError: as `load`, `Hasher.encode` and `evaluate_directions` do.
    """
    run = run if isinstance(run, Run) else Run(run)
    hasher = load(run, which=which, method=method, network=network).to(device)
    sides: list[dict[str, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]] = []
    # Ids tell queries and items apart: rows of the database, then those of the queries.
    for items, labels, first in ((queries, query_labels, len(database)), (database, database_labels, 0)):
        side = {}
        for place, name in enumerate(items.names):
            rows = items.present[:, place].nonzero()[:, 0]
            codes = hasher.encode(items.modality(name).select(rows), modality=name, batch_size=batch_size)
            side[name] = codes.cpu(), torch.as_tensor(labels).cpu()[rows], rows + first
        sides.append(side)
    reports = evaluate_directions(*sides, bits=hasher.bits, **options)
    for kind, side in zip(("queries", "database"), sides, strict=True):
        for name, (codes, _, _) in side.items():
            run.save_codes(f"{kind}-{name}", codes, hasher.bits)
    content = {direction: json.loads(reports[direction].to_json()) for direction in reports}
    write_text(run.report_path, json.dumps(content, indent=2) + "\n")
    parts = [f"# {direction}\n\n{reports[direction].to_markdown()}" for direction in reports]
    write_text(run.report_path.with_suffix(".md"), "\n".join(parts))
    return reports


def _save_plots(report: RetrievalReport, run: Run) -> None:
    (run.path / "plots").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=run.path, prefix="plots.") as temporary:
        report.save_plots(temporary)
        for path in Path(temporary).iterdir():
            flush(path)
            path.replace(run.path / "plots" / path.name)
