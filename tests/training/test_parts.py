import signal
import subprocess
import sys
import threading

import pytest

from fasthash.training.interrupt import Interrupt
from fasthash.training.progress import Bar, Lines, default_progress


def test_first_ctrl_c_asks_second_stops_and_the_handler_comes_back():
    before = signal.getsignal(signal.SIGINT)
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        assert interrupt.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_termination_counts_as_ctrl_c_where_it_is_asked_for():
    before = signal.getsignal(signal.SIGTERM)
    with Interrupt(terminate=True) as interrupt:
        signal.raise_signal(signal.SIGTERM)
        assert interrupt.asked
    assert signal.getsignal(signal.SIGTERM) is before
    with Interrupt():
        assert signal.getsignal(signal.SIGTERM) is before


def test_interrupt_does_nothing_in_another_thread():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with Interrupt() as interrupt:
            seen.append((interrupt.asked, signal.getsignal(signal.SIGINT) is before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, True)]


def test_bar_on_a_terminal_only(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert isinstance(default_progress("x"), Bar)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert isinstance(default_progress("x"), Lines)


def test_importing_the_room_starts_nothing_heavy():
    heavy = ("lightning_fabric", "sklearn", "matplotlib", "torchvision")
    code = f"import sys, fasthash.training; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
