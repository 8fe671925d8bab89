"""`fasthash info`: what this installation is made of, for bug reports."""

from __future__ import annotations

import importlib.metadata
import json as json_files
import os
import platform

import torch

import fasthash
from fasthash._native import cpu_level

# Of the extras: what is there is found without importing it.
OPTIONAL = ("lightning-fabric", "scikit-learn", "torchvision", "timm", "pillow", "matplotlib", "tensorboard")


def run(json: bool) -> None:
    """Print it."""
    rows = describe()
    if json:
        print(json_files.dumps(rows, indent=2))
        return
    for name, value in rows.items():
        text = ", ".join(value) if isinstance(value, list) else value
        print(f"{name.replace('_', ' '):<20}{text or 'none'}")
    told = ["fasthash", "compiler", "CPU_level", "processor", "CUDA_kernels", "GPU", "Python", "torch", "numpy"]
    words = [f"{name.replace('_', ' ')} {rows[name] or 'none'}" for name in [*told, "system"]]
    print("\nFor a bug report: " + "; ".join(words))


def describe() -> dict[str, str | list[str] | None]:
    """The rows; None where there is nothing."""
    build = fasthash.build_info()
    return {
        "fasthash": build["version"],
        "compiler": build["compiler"],
        "CPU_levels": build["cpu_levels"],
        "CPU_level": cpu_level(),
        "processor": _processor(),
        "threads": str(torch.get_num_threads()),
        "CUDA_kernels": build["cuda"],
        "CUDA_architectures": build["cuda_architectures"] or None,
        "CUDA_path": os.environ.get("FASTHASH_CUDA_PATH", "auto") if build["cuda"].startswith("on") else None,
        "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "CUDA_of_torch": torch.version.cuda,
        "Python": platform.python_version(),
        "system": platform.platform(),
        **{name: _version(name) for name in ("torch", "numpy", "safetensors", "tyro", *OPTIONAL)},
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
