"""Ctrl-C and SIGTERM ask the program to stop; a second one ends it within a second, whatever it is doing.

What has steps (a training, a round of questions) finishes the one under way, keeps what it has and says so:

    with stop_on_signals() as stop:
        train_adapter(..., stop=stop.asked)

Everything else is left by `KeyboardInterrupt`. The program ends with 128 and the number of the first signal: 130 after
Ctrl-C, 143 after SIGTERM.

Python runs a signal's handler only between two steps of the main thread, and that may be inside one long product of
matrices. So the program (`answer_signals`) has a thread of its own that is woken by the signal itself: it answers
the first at once, and after the second it gives the main thread `GRACE_SECONDS` to leave by itself. Then it ends
children and process (docs/decisions/106). Code that imports tunesmith gets the first two paragraphs only.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

ASKS = (signal.SIGINT, signal.SIGTERM)
GRACE_SECONDS = 0.5
ANSWER_SECONDS = 0.15
"""What leaves by itself within this time needs no word that it will."""
STEP = "stopping after this step; Ctrl-C again to leave now"
LEAVING = "stopping; Ctrl-C again to leave now"
LEFT = "left at once, as you asked twice; what was finished before is kept (tunesmith runs, tunesmith resume)"
SHOW_CURSOR = "\x1b[?25h"


class AskedTwice(KeyboardInterrupt):
    """A second signal; the program ends with `exit_code`."""

    def __init__(self, exit_code: int) -> None:
        super().__init__()
        self.exit_code = exit_code


class Stop:
    """Whether a stop was asked for, and by which signal."""

    def __init__(self) -> None:
        self.signal: str | None = None
        self.steps = 0
        """How many blocks are open that end by themselves when asked."""
        self._answered = threading.Lock()

    def asked(self) -> bool:
        """True once a stop was asked for; hand this method to whatever has steps."""
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """What the program ends with when it was stopped."""
        return 128 + signal.Signals[self.signal or "SIGINT"]

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The signal's handler, in the main thread."""
        if self.signal is not None:
            raise AskedTwice(self.exit_code)
        self.signal = signal.Signals(number).name
        if not self.steps:
            raise KeyboardInterrupt
        if self is _program:  # the step may end before the other thread has its turn
            self.answer(STEP)

    def answer(self, text: str) -> None:
        """Say once that it stops; whichever thread comes first."""
        if self._answered.acquire(blocking=False):
            _tell(text)


class _Answering(threading.Thread):
    """Reads the numbers of signals as they arrive, while the main thread may be anywhere."""

    def __init__(self, stop: Stop, arriving: int) -> None:
        super().__init__(name="signals", daemon=True)
        self._stop_asked = stop
        self._arriving = arriving
        self._first = 0

    def run(self) -> None:
        """Until the process ends."""
        while numbers := os.read(self._arriving, 16):
            for number in numbers:
                if number in ASKS:
                    self._answer(number)

    def _answer(self, number: int) -> None:
        if not self._first:
            self._first = number
            is_step = self._stop_asked.steps > 0
            if not is_step:
                time.sleep(ANSWER_SECONDS)
            self._stop_asked.answer(STEP if is_step else LEAVING)
            return
        time.sleep(GRACE_SECONDS)
        _tell(LEFT)
        _end_children()
        os._exit(128 + self._first)


_program: Stop | None = None


def answer_signals() -> None:
    """From now on this process is a program that answers both signals as said above. In its main thread only."""
    global _program
    arriving, waking = os.pipe()
    os.set_blocking(waking, False)
    _program = Stop()
    _Answering(_program, arriving).start()
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    for number in ASKS:
        signal.signal(number, _program.receive)


def exit_code_of_stop() -> int:
    """What the program ends with when it was stopped: 130, or 143 when SIGTERM came first."""
    return (_program or Stop()).exit_code


def leave_at_once(exit_code: int) -> None:
    """End a program that was asked to stop and has said so: Python's own end takes seconds where torch is loaded."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # its reader went away, or it is closed
            stream.flush()
    os._exit(exit_code)


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Catch SIGINT and SIGTERM inside the block; what handled them before does so again after it.

    Python delivers signals to the main thread only, so in any other thread nothing is caught and the flag stays down.
    """
    stop = _program or Stop()
    if threading.current_thread() is not threading.main_thread():
        yield Stop()
        return
    before = {number: signal.signal(number, stop.receive) for number in ASKS}
    stop.steps += 1
    try:
        yield stop
    finally:
        stop.steps -= 1
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _tell(text: str) -> None:
    """Past Python's buffers, which the main thread may hold."""
    is_terminal = os.isatty(2)
    line = f"\n{SHOW_CURSOR if text == LEFT else ''}{text}\n" if is_terminal else f"{text}\n"
    with suppress(OSError):  # nowhere to say it
        os.write(2, line.encode())


def _end_children() -> None:
    """Those that were begun by this program, and what they began; a scorer's child leads a group of its own."""
    import psutil

    with suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error, ProcessLookupError, PermissionError):
                if os.getpgid(child.pid) == child.pid:
                    os.killpg(child.pid, signal.SIGKILL)
                child.kill()
