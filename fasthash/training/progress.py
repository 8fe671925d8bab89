"""What a run shows while it goes on: a bar on a terminal, else a plain line every so often."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol, TextIO


class Progress(Protocol):
    """What `fit` tells; pass an object of your own to show it in another way."""

    def start(self, total: int, done: int) -> None:
        """The run has `total` optimiser steps, of which `done` were done before."""

    def advance(self, stage: str) -> None:
        """One more step, in this stage."""

    def show(self, losses: Mapping[str, float]) -> None:
        """Newest values of the losses, each weighted."""

    def note(self, text: str) -> None:
        """Something to tell in a line of its own."""

    def close(self) -> None:
        """The run is over or was stopped."""


class Silent:
    """Shows nothing."""

    def start(self, total: int, done: int) -> None:
        """Nothing."""

    def advance(self, stage: str) -> None:
        """Nothing."""

    def show(self, losses: Mapping[str, float]) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Bar:
    """A tqdm bar with a name."""

    def __init__(self, name: str = "train", stream: TextIO | None = None) -> None:
        self._name, self._stream = name, stream or sys.stderr
        self._bar: Any = None

    def start(self, total: int, done: int) -> None:
        """Draw the bar."""
        from tqdm import tqdm

        self._bar = tqdm(total=total, initial=done, desc=self._name, file=self._stream, unit="step", dynamic_ncols=True)

    def advance(self, stage: str) -> None:
        """Move it."""
        self._bar.update()

    def show(self, losses: Mapping[str, float]) -> None:
        """Set the values behind it."""
        self._bar.set_postfix({name: f"{value:.4f}" for name, value in losses.items()}, refresh=False)

    def note(self, text: str) -> None:
        """Print above it."""
        self._bar.write(text, file=self._stream)

    def close(self) -> None:
        """Leave it as it stands."""
        self._bar.close()


class Lines:
    """A plain line at the start, every `seconds`, and at the end: for log files."""

    def __init__(self, name: str = "train", stream: TextIO | None = None, seconds: float = 10.0) -> None:
        self._name, self._stream, self._seconds = name, stream or sys.stderr, seconds
        self._total = self._done = self._before = 0
        self._stage, self._losses = "", ""
        self._began = self._last = time.monotonic()

    def start(self, total: int, done: int) -> None:
        """First line."""
        self._total, self._done, self._before = total, done, done
        self._began = self._last = time.monotonic()
        self.note(f"{self._name}: {total} steps" + (f", {done} done before" if done else ""))

    def advance(self, stage: str) -> None:
        """A line if it is time."""
        self._done, self._stage = self._done + 1, stage
        if time.monotonic() - self._last >= self._seconds and self._done < self._total:
            self._last = time.monotonic()
            self._line()

    def show(self, losses: Mapping[str, float]) -> None:
        """Values for the next line."""
        self._losses = " ".join(f"{name} {value:.4f}" for name, value in losses.items())

    def note(self, text: str) -> None:
        """A line."""
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Last line."""
        self._line()

    def _line(self) -> None:
        seconds = time.monotonic() - self._began
        left, made = self._total - self._done, self._done - self._before
        remaining = f", about {seconds / made * left:.0f} s left" if left and made else ""
        values = f" {self._stage} {self._losses}".rstrip()
        self.note(f"{self._name}: step {self._done}/{self._total} after {seconds:.1f} s{remaining}{values}")


def default_progress(name: str = "train") -> Progress:
    """A bar if stderr is a terminal, else lines."""
    return Bar(name) if sys.stderr.isatty() else Lines(name)
