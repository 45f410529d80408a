"""Ctrl-C and SIGTERM ask a training to save a checkpoint and stop after its current step; a second one ends it at once.

The program then ends with 128 and the number of the first signal: 130 after Ctrl-C, 143 after SIGTERM.

with stop_on_signals() as stop:
    train_adapter(..., stop=stop.asked)
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Whether somebody asked to stop, and by which signal."""

    def __init__(self) -> None:
        self.signal: str | None = None

    def asked(self) -> bool:
        """True once a stop was asked for; hand this method to whatever has steps."""
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """What the program ends with when it was stopped."""
        return 128 + signal.Signals[self.signal or "SIGINT"]

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number).name


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Catch SIGINT and SIGTERM inside the block; what handled them before does so again after it.

    Python delivers signals to the main thread only, so in any other thread nothing is caught and the flag stays down.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop._receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
