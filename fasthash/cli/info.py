"""`fasthash info`: what this installation is made of, for bug reports."""

from __future__ import annotations

import importlib.metadata
import platform

import torch

import fasthash


def run() -> None:
    """Print it."""
    build = fasthash.build_info()
    rows = {
        "fasthash": build["version"],
        "compiler": build["compiler"],
        "CPU levels": ", ".join(build["cpu_levels"]),
        "CUDA kernels": build["cuda"],
        "CUDA architectures": build["cuda_architectures"] or "none",
        "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else "none that torch sees",
        "threads": str(torch.get_num_threads()),
        "Python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("torch", "numpy")},
    }
    for name, value in rows.items():
        print(f"{name:<20}{value}")
