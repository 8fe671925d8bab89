"""The machine card of a GPU, and its clocks while a run goes on."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from types import TracebackType
from typing import Any

import numpy as np
import torch
from machine import card

SAMPLED = ("clocks.sm", "clocks.mem", "power.draw", "temperature.gpu")  # MHz, MHz, W, degrees Celsius
FIXED = ("driver_version", "power.limit", "clocks.max.sm", "clocks.max.mem", "ecc.mode.current")
EVERY = 250  # milliseconds between samples


def gpu_card() -> dict[str, Any]:
    """The CPU's card with what is known of torch's current GPU."""
    properties = torch.cuda.get_device_properties()
    return {
        **card(),
        "gpu": properties.name,
        "capability": [properties.major, properties.minor],
        "multiprocessors": properties.multi_processor_count,
        "memory_bytes": properties.total_memory,
        "cache_bytes": properties.L2_cache_size,
        "cuda_of_torch": torch.version.cuda,
        "nvcc": nvcc_version(),
        **_ask(FIXED),
    }


def nvcc_version() -> str | None:
    if (compiler := shutil.which("nvcc")) is None:
        return None
    text = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout
    return text.partition("release ")[2].partition(",")[0] or None


def _command(fields: tuple[str, ...]) -> list[str]:
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    identity = getattr(torch.cuda.get_device_properties(), "uuid", None)
    return command + ([f"--id=GPU-{identity}"] if identity else [])


def _ask(fields: tuple[str, ...]) -> dict[str, str]:
    """What nvidia-smi says; nothing where it is not installed."""
    if shutil.which("nvidia-smi") is None:
        return {}
    done = subprocess.run(_command(fields), capture_output=True, text=True)
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    return dict(zip(fields, (value.strip() for value in lines[0].split(",")), strict=True)) if lines else {}


def summarised(samples: str) -> dict[str, Any]:
    """Least, median and most of what nvidia-smi wrote line by line."""
    columns: dict[str, list[float]] = {name: [] for name in SAMPLED}
    for line in samples.splitlines():
        values = line.split(",")
        if len(values) != len(SAMPLED):
            continue  # the last line may be cut
        for name, value in zip(SAMPLED, values, strict=True):
            try:
                columns[name].append(float(value))
            except ValueError:
                continue  # "[N/A]"
    return {
        name: dict(zip(("least", "median", "most"), np.percentile(column, [0, 50, 100]).tolist(), strict=True))
        for name, column in columns.items()
        if column
    }


class Clocks:
    """Samples clocks, power and temperature in a process of its own, inside a `with`; then `.found`."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def __enter__(self) -> Clocks:
        self._file = tempfile.TemporaryFile("w+")
        self._process = None
        if shutil.which("nvidia-smi"):
            self._process = subprocess.Popen([*_command(SAMPLED), f"--loop-ms={EVERY}"], stdout=self._file)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._file.seek(0)
            self.found = summarised(self._file.read())
        self._file.close()
