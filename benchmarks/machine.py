"""The machine card that goes with every figure."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

import fasthash


def cpu_model() -> str:
    """The processor's name, and its family and model where the name says little."""
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    if not fields:
        return platform.processor() or platform.machine()
    return f"{fields.get('model name')} (family {fields.get('cpu family')}, model {fields.get('model')})"


def commit() -> str:
    """The commit measured, marked when the tree has changes other than what a run writes."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, cwd=here).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", ":/", ":(exclude,top)benchmarks/results", ":(exclude,top)docs")
        return git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def scheduling() -> str:
    """How the kernel schedules this process: real-time ("fifo") keeps others away."""
    names = {os.SCHED_OTHER: "usual", os.SCHED_FIFO: "fifo", os.SCHED_RR: "round robin"}
    return names.get(os.sched_getscheduler(0), "other")


def card(*packages: str) -> dict[str, Any]:
    """CPU, cores, level, threads, versions, commit and date."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "cpu_level": fasthash._native._C.cpu_level(),
        "threads": torch.get_num_threads(),
        "scheduling": scheduling(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "compiler": fasthash.build_info()["compiler"],
        "versions": {name: importlib.metadata.version(name) for name in ("fasthash", "torch", "numpy", *packages)},
        "commit": commit(),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
    }
