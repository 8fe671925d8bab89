"""The run folder: config.json, metrics.jsonl and checkpoints/."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from fasthash.data import TrainingSet
from fasthash.methods import Method, create
from fasthash.training.checkpoint import REST, latest_checkpoint
from fasthash.training.config import Config


@dataclasses.dataclass(frozen=True)
class Run:
    """A run folder.

    Attributes:
        folder: where it is.

    Example:
        >>> from fasthash.training import Run
        >>> run = Run("runs/first")  # doctest: +SKIP
        >>> run.finished, run.metrics()[-1]["pair"]  # doctest: +SKIP
        (True, 0.0123)
    """

    folder: str | os.PathLike[str]

    @property
    def path(self) -> Path:
        """The folder as a path."""
        return Path(self.folder)

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoint lies."""
        return self.path / "checkpoints"

    @property
    def finished(self) -> bool:
        """Whether training came to its end."""
        latest = latest_checkpoint(self.checkpoints)
        return latest is not None and json.loads((latest / REST).read_text())["cursor"] is None

    def config(self) -> dict[str, Any]:
        """config.json: method, options, items, training, versions.

        Raises:
            FileNotFoundError: the folder is no run folder.
        """
        try:
            config: dict[str, Any] = json.loads((self.path / "config.json").read_text())
        except FileNotFoundError as error:
            raise FileNotFoundError(f"Run: folder must hold a config.json, got {str(self.path)!r}") from error
        return config

    def method(self) -> Method:
        """The method with its options, made again."""
        config = self.config()
        return create(config["method"], **config["options"])

    def metrics(self) -> list[dict[str, Any]]:
        """Lines of metrics.jsonl: total steps, seconds since the start of this process, stage, step, losses."""
        return [json.loads(line) for line in (self.path / "metrics.jsonl").read_text().splitlines()]


def describe(method: Method, data: TrainingSet, config: Config, own_network: bool) -> dict[str, Any]:
    """What config.json holds."""
    return {
        "method": method.name,
        "options": dataclasses.asdict(method),
        "own_network": own_network,
        "items": {
            **dataclasses.asdict(data.spec),
            "labelled": data.labelled,
            "unlabelled": data.unlabelled,
            "digest": data.digest(),
        },
        "training": {k: v for k, v in dataclasses.asdict(config).items() if k not in ("folder", "resume")},
        "versions": {"fasthash": version("fasthash"), "torch": torch.__version__, "python": platform.python_version()},
    }


def open_run(config: Config, description: Mapping[str, Any]) -> Run:
    """Make the run folder, or find the one to resume.

    Raises:
        FileExistsError: the folder holds a run and resume is off.
        ValueError: it holds a run with another method, options, items, seed or precision.
    """
    run = Run(config.folder)
    plain = json.loads(json.dumps(description))
    present = [name for name in ("config.json", "metrics.jsonl", "checkpoints") if (run.path / name).exists()]
    if present and not config.resume:
        raise FileExistsError(
            f"fit: config.folder {str(run.path)!r} holds a run; choose another, or resume it with resume=True "
            f"(there is {present[0]})"
        )
    if "config.json" in present:
        before = run.config()
        # How often to log may change; what is computed may not.
        fixed = ("seed", "precision")
        old = {**before, "training": {name: before["training"][name] for name in fixed}, "versions": None}
        new = {**plain, "training": {name: plain["training"][name] for name in fixed}, "versions": None}
        differing = [key for key in new if new[key] != old[key]]
        if differing:
            raise ValueError(
                f"fit: to resume {str(run.path)!r}, {differing[0]} must be {old[differing[0]]}, got {new[differing[0]]}"
            )
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    (run.path / "config.json").write_text(json.dumps(plain, indent=2) + "\n")
    return run
