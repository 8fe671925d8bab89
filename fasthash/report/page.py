"""The page: what was read, in the order in which it is shown, through the templates into one file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fasthash.evaluation import Alarm, BitStatistics, RetrievalReport
from fasthash.evaluation.alarms import equal_directions, present
from fasthash.report import tables
from fasthash.report.charts import Chart
from fasthash.report.figures import (
    Correlations,
    balance_chart,
    correlations,
    distance_chart,
    loss_charts,
    radius_charts,
    rank_charts,
    validation_chart,
)
from fasthash.report.grid import Grid, make_grid
from fasthash.report.measured import Measured
from fasthash.report.record import RunRecord
from fasthash.report.thumbnails import Album
from fasthash.training.run import write_text

PICTURES = 3_500_000
"""Bytes that all pictures of items may take on a page."""


@dataclass(frozen=True, eq=False)
class Direction:
    """Numbers of all runs in one direction, side by side."""

    name: str
    rows: list[tables.Row]
    others: list[str]
    groups: list[tuple[str, str, list[Chart]]]  # heading, convention, charts
    legend: list[tuple[str, int]]


@dataclass(frozen=True, eq=False)
class Codes:
    """Statistics of the codes of one report."""

    title: str
    sides: dict[str, BitStatistics]
    charts: list[Chart]
    correlations: Correlations | None
    rows: list[tables.Row]
    report: RetrievalReport


@dataclass(frozen=True, eq=False)
class RunView:
    """What the page tells of one run."""

    record: RunRecord
    facts: list[tuple[str, str]]
    options: list[tuple[str, str]]
    validation: Chart | None
    losses: list[Chart]
    codes: list[Codes]
    grid: Grid | None
    no_grid: str
    album: int

    @property
    def data(self) -> dict[str, Any]:
        """What `templates/grid.js` reads."""
        assert self.grid is not None
        nearest = self.grid.nearest.items()
        return {
            "album": self.album,
            "nearest": {row: [[item.row, item.distance, item.relevant] for item in found] for row, found in nearest},
            "titles": self.grid.titles,
        }


def write_page(records: Sequence[RunRecord], out: str | os.PathLike[str]) -> Path:
    """Write runs, side by side, as one HTML file that loads nothing.

    Args:
        records: as `read_run` gives them; differences are taken to the first.
        out: the file; its folder is made. One that is there is replaced when the new one is whole.

    Returns:
        The file.

    Raises:
        ValueError: no runs.

    Example:
        >>> from fasthash.report import read_run, write_page
        >>> write_page([read_run("runs/first"), read_run("runs/second")], "report.html")  # doctest: +SKIP
    """
    if not records:
        raise ValueError("write_page: records: expected at least one run, got none")
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, render(records))
    return path


def render(records: Sequence[RunRecord]) -> str:
    """The page as text."""
    import jinja2

    columns = [measured for record in records for measured in record.measured]
    albums = _albums(records)
    views = [_view(record, place, len(records), albums) for place, record in enumerate(records)]
    directions = dict.fromkeys(name for column in columns for name in column.reports)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # The line of a run looks alike wherever it stands: as its first column, or behind all columns without one.
    styles = {id(column): place for place, column in enumerate(columns)}
    validated = [
        (record.name, styles[id(record.measured[0])] if record.measured else len(columns) + place, record.metrics)
        for place, record in enumerate(records)
    ]
    page: str = environment.get_template("page.html").render(
        title=" \N{MIDDLE DOT} ".join(record.name for record in records),
        made=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        version=version("fasthash"),
        views=views,
        columns=columns,
        directions=[_direction(columns, name) for name in directions],
        differences=tables.differences(records),
        validation=validation_chart(validated) if len(records) > 1 else None,
        alarms=[alarm for column in columns for alarm in _alarms(column)],
        albums=albums,
        duration=tables.duration,
    )
    return page


def _albums(records: Sequence[RunRecord]) -> list[Album]:
    """One for each set of images; runs on the same images share it."""
    sources = {
        record.items.dataset.source.digest(): record.items.dataset.source
        for record in records
        if record.items is not None and record.items.are_images
    }
    return [Album(source, PICTURES // len(sources)) for source in sources.values()]


def _view(record: RunRecord, place: int, runs: int, albums: list[Album]) -> RunView:
    grid, why, album = _grid(record, place, runs, albums)
    return RunView(
        record=record,
        facts=tables.facts(record),
        options=tables.options(record),
        validation=validation_chart([(record.name, 0, record.metrics)]),
        losses=loss_charts(record.metrics),
        codes=[_codes(column, direction) for column in record.measured for direction in column.reports],
        grid=grid,
        no_grid=why,
        album=album,
    )


def _grid(record: RunRecord, place: int, runs: int, albums: list[Album]) -> tuple[Grid | None, str, int]:
    """The grid of a run, or why there is none, and the number of its album."""
    if record.items is None:
        return None, record.missing["items"], 0
    if not record.items.are_images:
        return None, "its items are no images", 0
    if not record.measured:
        return None, "it has no report", 0
    digest = record.items.dataset.source.digest()
    number = next(i for i, album in enumerate(albums) if album.source.digest() == digest)
    album = albums[number]
    # Each run adds its share at most, so that the last one has pictures too.
    try:
        grid = make_grid(record.measured[0], record.items, album, album.budget * (place + 1) // runs)
    except ValueError as error:
        return None, str(error), 0
    return grid, "" if grid.queries else "its images are too large for the page", number


def _direction(columns: Sequence[Measured], name: str) -> Direction:
    labelled = [(c.label, style, c.reports[name]) for style, c in enumerate(columns) if name in c.reports]
    first = labelled[0][2]
    groups = [
        ("By rank", first.curves["rank, macro"].convention, rank_charts(labelled)),
        ("By Hamming radius", first.curves["radius, macro"].convention, radius_charts(labelled)),
    ]
    legend = [(label, style) for label, style, _ in labelled]
    return Direction(name, tables.score_rows(columns, name), tables.other_queries(columns, name), groups, legend)


def _codes(column: Measured, direction: str) -> Codes:
    report = column.reports[direction]
    sides = {"queries": report.query_bits, "database": report.database_bits}
    charts = [distance_chart(report), balance_chart(sides)]
    _, _, searched = direction.partition("->")
    codes = column.codes.get(f"database-{searched}" if direction else "database")
    return Codes(
        title=_title(column, direction),
        sides=sides,
        charts=[chart for chart in charts if chart is not None],
        correlations=correlations(codes, report.bits) if codes is not None and len(codes) > 1 else None,
        rows=tables.score_rows([column], direction),
        report=report,
    )


def _alarms(column: Measured) -> list[tuple[str, Alarm]]:
    found = [(_title(column, name), alarm) for name, report in column.reports.items() for alarm in report.alarms]
    scores = {name: float(report["mAP@all"]) for name, report in column.reports.items() if "mAP@all" in report.scores}
    return [*found, *((column.label, alarm) for alarm in present(equal_directions(scores)))]


def _title(column: Measured, direction: str) -> str:
    return f"{column.label}, {direction}" if direction else column.label
