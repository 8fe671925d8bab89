"""What a run ran on, for its folder."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

LIBRARIES = ("fasthash", "torch", "numpy", "safetensors", "lightning-fabric")


def versions() -> dict[str, str]:
    """Of python and the libraries that compute."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def environment(ranks: int) -> dict[str, Any]:
    """Start, command, versions, machine, threads, processes, and the git commit of the working folder if it has one."""
    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": sys.argv,
        "versions": versions(),
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "gpus": _gpus(),
        },
        "threads": torch.get_num_threads(),
        "ranks": ranks,
        "git": _git(),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _gpus() -> list[str]:
    # A run on the CPU must not start CUDA only to ask.
    count = torch.cuda.device_count() if torch.cuda.is_initialized() else 0
    return [torch.cuda.get_device_name(i) for i in range(count)]


def _git() -> dict[str, Any] | None:
    def ask(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "changed": bool(ask("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None
