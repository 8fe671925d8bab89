"""The run folder: what it holds, and who may write into it."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from fasthash.data import Modalities, Source, Standardisation, TrainingSet
from fasthash.methods import Method, create
from fasthash.training.checkpoint import REST, flush, latest_checkpoint, load_tensors
from fasthash.training.config import Config, found_accelerator
from fasthash.training.environment import environment, versions
from fasthash.training.validation import Validation

# What a resumed run must find as it was: all that decides about the weights.
FIXED = ("seed", "precision", "clip", "ema", "validate_every", "patience", "ranks")


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
    def report_path(self) -> Path:
        """report.json, which `report_run` writes; report.md and plots/ lie beside it."""
        return self.path / "report.json"

    @property
    def finished(self) -> bool:
        """Whether training came to its end."""
        state = self._state()
        return state is not None and state["cursor"] is None

    @property
    def best(self) -> dict[str, Any] | None:
        """The best validation "score" of the last checkpoint, at which "steps", and how many scores came "since"."""
        state = self._state()
        return None if state is None else state.get("best")

    def _state(self) -> dict[str, Any] | None:
        latest = latest_checkpoint(self.checkpoints)
        return None if latest is None else json.loads((latest / REST).read_text())

    def tensors(self) -> dict[str, Tensor]:
        """What the stages had handed on to each other at the last checkpoint, by name, as the method tells of it.

        Raises:
            FileNotFoundError: there is no checkpoint.
        """
        latest = latest_checkpoint(self.checkpoints)
        if latest is None:
            raise FileNotFoundError(f"Run.tensors: folder must hold a checkpoint, got {str(self.path)!r}")
        return load_tensors(latest)

    def config(self) -> dict[str, Any]:
        """config.json: method, options, items, reading, validation, training, versions.

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

    def accelerator(self) -> Literal["cpu", "cuda"]:
        """Where its network encodes fastest here: what "auto" takes; the CPU for a run that was kept to it."""
        return "cpu" if self.config()["training"]["accelerator"] == "cpu" else found_accelerator()

    def standardisation(self) -> Standardisation | None:
        """What was done to the training items and is to be done to others before the network; None = nothing."""
        path = self.path / "standardisation.safetensors"
        return Standardisation.load(path) if path.exists() else None

    def environment(self) -> list[dict[str, Any]]:
        """environment.json: machine, versions and threads of each start of the run."""
        path = self.path / "environment.json"
        starts: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
        return starts

    def metrics(self) -> list[dict[str, Any]]:
        """Lines of metrics.jsonl: total steps, seconds since the start of this process, stage, step, and the losses or
        "validation_mAP"."""
        text = (self.path / "metrics.jsonl").read_text()
        # A process that was killed may have left half a line.
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def save_codes(self, name: str, codes: Tensor, bits: int) -> Path:
        """Keep packed codes as codes/NAME.safetensors, with their width in the metadata.

        Args:
            name: of the file.
            codes: uint8 (n, ceil(bits / 8)).
            bits: width.

        Returns:
            The file; its key is "codes".

        Raises:
            ValueError: codes of another dtype or width.
        """
        if codes.dtype != torch.uint8 or codes.ndim != 2 or codes.shape[1] != -(-bits // 8):
            raise ValueError(
                f"Run.save_codes: codes must be uint8 (n, {-(-bits // 8)}) for {bits} bits, "
                f"got {codes.dtype} {tuple(codes.shape)}"
            )
        path = self.path / "codes" / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        save_file({"codes": codes.detach().cpu().contiguous()}, temporary, metadata={"bits": str(bits)})
        flush(temporary)
        temporary.replace(path)
        return path

    def codes(self, name: str) -> tuple[Tensor, int]:
        """Codes that `save_codes` kept, and their width in bits.

        Raises:
            FileNotFoundError: no such codes.
        """
        path = self.path / "codes" / f"{name}.safetensors"
        if not path.exists():
            raise FileNotFoundError(f"Run.codes: name must be one of {self.path / 'codes'}, got {name!r}")
        with safe_open(path, framework="pt") as file:
            return file.get_tensor("codes"), int(file.metadata()["bits"])


def describe(
    method: Method, data: TrainingSet, config: Config, *, own_network: bool, validation: Validation | None, ranks: int
) -> dict[str, Any]:
    """What config.json holds, in plain values."""
    training = {k: v for k, v in dataclasses.asdict(config).items() if k not in ("folder", "resume", "devices")}
    described = {
        "method": method.name,
        "options": dataclasses.asdict(method),
        "own_network": own_network,
        "items": {
            **dataclasses.asdict(data.spec),
            "labelled": data.labelled,
            "unlabelled": data.unlabelled,
            "digest": data.digest(),
        },
        "reading": _reading(data.source),
        "validation": None if validation is None else validation.describe(),
        "training": {**training, "ranks": ranks},
        "versions": versions(),
    }
    plain: dict[str, Any] = json.loads(json.dumps(described))
    return plain


def _reading(source: Source) -> dict[str, Any] | None:
    """How arrays are read; of several modalities by name."""
    if isinstance(source, Modalities):
        return {name: _reading(source.modality(name)) for name in source.names}
    return None if source.reading is None else dataclasses.asdict(source.reading)


def find_run(config: Config, description: Mapping[str, Any], hint: str) -> Run:
    """The run folder, to be made or to be resumed; nothing is written.

    Args:
        config: of the run to be.
        description: what its config.json will hold.
        hint: how to resume, for the message.

    Raises:
        FileExistsError: the folder holds a run and resume is off.
        ValueError: it holds a run with another method, options, items, or training that differs in what is computed.
    """
    run = Run(config.folder)
    present = [name for name in ("config.json", "metrics.jsonl", "checkpoints") if (run.path / name).exists()]
    if present and not config.resume:
        # Not begun anew unasked, even without a checkpoint: another process may be at its first steps there.
        kept = "" if latest_checkpoint(run.checkpoints) else ", with no checkpoint yet, which starts again if resumed"
        raise FileExistsError(
            f"fit: config.folder {str(run.path)!r} holds a run{kept} (there is {present[0]}); choose another, or {hint}"
        )
    if "config.json" in present:
        before = run.config()
        for key in ("method", "options", "own_network", "items", "validation"):
            _check_same(run, key, before.get(key), description[key])
        for name in FIXED:  # how often to log may change; what is computed may not
            _check_same(run, f"training.{name}", before["training"].get(name), description["training"][name])
    return run


def _check_same(run: Run, name: str, old: Any, new: Any) -> None:
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        for key in old:
            _check_same(run, f"{name}.{key}", old[key], new[key])
    elif old != new:
        raise ValueError(f"fit: to resume {str(run.path)!r}, {name} must be {old}, got {new}")


def write_start(
    run: Run, description: Mapping[str, Any], data: TrainingSet, ranks: int, attached: Mapping[str, str]
) -> None:
    """Make the folder, and write what it starts with."""
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    if data.standardisation is not None:
        path = run.path / "standardisation.safetensors"
        data.standardisation.save(path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)
    for name, text in attached.items():
        write_text(run.path / name, text)
    write_json(run.path / "config.json", description)
    write_json(run.path / "environment.json", [*run.environment(), environment(ranks)])


def write_json(path: Path, content: Any) -> None:
    """Write a file that is whole whenever the machine stops."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """The same of a text."""
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    flush(temporary)
    temporary.replace(path)
