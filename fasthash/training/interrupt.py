"""Ctrl-C and SIGTERM, kept until the run stands at a point from which it can go on exactly."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class Interrupt:
    """Context in which a first Ctrl-C only sets `asked`; a second one stops at once, as ever.

    Signals reach Python's main thread only: in any other this does nothing.

    Args:
        terminate: SIGTERM, with which a machine takes its time back, counts as Ctrl-C.
    """

    def __init__(self, *, terminate: bool = False) -> None:
        self.asked = False
        self._signals = (signal.SIGINT, signal.SIGTERM) if terminate else (signal.SIGINT,)
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in self._signals}
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
