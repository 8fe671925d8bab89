"""The numbers of a run as they come: lines of metrics.jsonl, and for TensorBoard if asked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Log:
    """Writes a run's numbers.

    Args:
        path: of metrics.jsonl.
        size: bytes of it that count; what a stopped process wrote after its last checkpoint goes.
        steps: optimiser steps done, for TensorBoard.
        tensorboard: folder for it; None = not wanted.
    """

    def __init__(self, path: Path, *, size: int = 0, steps: int = 0, tensorboard: Path | None = None) -> None:
        self._file = path.open("ab")
        # Never more than there is: a file that grew by truncation would hold zeros.
        self._file.truncate(min(size, path.stat().st_size))
        self._writer = None
        if tensorboard is not None:
            self._writer = _summary_writer()(str(tensorboard), purge_step=steps + 1)

    def write(self, place: Mapping[str, Any], values: Mapping[str, float]) -> None:
        """One line: where the run stands, with "steps" and "stage", and the values."""
        self._file.write((json.dumps({**place, **values}) + "\n").encode())
        self._file.flush()
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{place['stage']}/{name}", value, place["steps"])

    def sync(self) -> int:
        """Wait until all lines are on the disk; returns their bytes."""
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """No more lines."""
        self._file.close()
        if self._writer is not None:
            self._writer.close()


def check_tensorboard() -> None:
    """Raise ImportError with its cure where TensorBoard is missing."""
    _summary_writer()


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError("Config: tensorboard needs it; pip install 'fasthash[tensorboard]'") from error
    return SummaryWriter
