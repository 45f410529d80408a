"""Ctrl-C and SIGTERM ask the program to stop; a second one ends it within a second, whatever it is doing.

Work that can be thrown away is left at once, by `KeyboardInterrupt`: what was finished before is in the run's folder.
What must not be torn (a step of a training and its checkpoint) says so, and asks whether to stop when it is whole:

    with stop_on_signals() as stop, stop.finishing():
        train_adapter(..., stop=stop.asked, at_once=stop.at_once)

The program ends with 128 and the number of the first signal: 130 after Ctrl-C, 143 after SIGTERM.

Python runs a signal's handler only between two steps of the main thread, and that may be inside one long product of
matrices or one long read of a file. So the program (`install_signal_handlers`) has a thread of its own that is woken by
the
signal itself. It answers the first at once; where nothing is being finished and the handler had no turn within
`TAKEN_SECONDS`, it ends children and process. After the second it gives the main thread `GRACE_SECONDS` to leave by
itself, then does the same (docs/decisions/106, 123). Code that imports tunesmith gets the first three paragraphs only.
"""

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE_SECONDS = 0.5
REPLY_DELAY_SECONDS = 0.15
"""What leaves by itself within this time needs no word that it will."""
TAKEN_SECONDS = 0.6
"""How long the main thread has, after that, to take the first signal where it finishes nothing."""
STEP_MESSAGE = "stopping after this step; Ctrl-C again to leave now"
LEAVING_MESSAGE = "stopping; Ctrl-C again to leave now"
NOTHING_SAVED = "Nothing was kept. Next: run the command again"
SHOW_CURSOR = "\x1b[?25h"


class StopRequested(KeyboardInterrupt):
    """A first signal where nothing has to be finished; the program ends with `exit_code`."""

    def __init__(self, exit_code: int) -> None:
        super().__init__()
        self.exit_code = exit_code


class SecondSignal(StopRequested):
    """A second signal."""


class StopSignal:
    """Whether a stop was asked for, and by which signal."""

    def __init__(self) -> None:
        self.signal: str | None = None
        self.is_finishing = False
        """Whether what is under way ends by itself when asked."""
        self.has_unsaved = False
        """Whether only an orderly end keeps what there is: then it is waited for, however long it takes."""
        self.told: Callable[[], str] = lambda: NOTHING_SAVED
        """What an end that is not orderly says of what is kept."""
        self._acknowledged = threading.Lock()

    def is_requested(self) -> bool:
        """True once a stop was asked for; hand this method to whatever has steps."""
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """What the program ends with when it was stopped."""
        return 128 + signal.Signals[self.signal or "SIGINT"]

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """Inside the block a first signal is noted only; whoever works there asks `asked`."""
        before, self.is_finishing = self.is_finishing, True
        try:
            yield
        finally:
            self.is_finishing = before

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside the block, which may stand in one of `finishing`, a signal is not waited with: what is done there can
        be thrown away. Errors: `ContenderAnswers`, also for a signal that came before."""
        before, self.is_finishing = self.is_finishing, False
        try:
            if self.is_requested():
                raise StopRequested(self.exit_code)
            yield
        finally:
            self.is_finishing = before

    def handle_signal(self, number: int, frame: FrameType | None) -> None:
        """The signal's handler, in the main thread."""
        if self.signal is not None:
            raise SecondSignal(self.exit_code)
        self.signal = signal.Signals(number).name
        if not self.is_finishing:
            raise StopRequested(self.exit_code)
        if self is _program_stop:  # the step may end before the other thread has its turn
            self.acknowledge(STEP_MESSAGE)

    def acknowledge(self, text: str) -> None:
        """Say once that it stops; whichever thread comes first."""
        if self._acknowledged.acquire(blocking=False):
            _write_stderr(text)


class _SignalThread(threading.Thread):
    """Reads the numbers of signals as they arrive, while the main thread may be anywhere."""

    def __init__(self, stop: StopSignal, arriving: int) -> None:
        super().__init__(name="signals", daemon=True)
        self._stop_signal = stop
        self._read_descriptor = arriving
        self._first_signal = 0

    def run(self) -> None:
        """Until the process ends."""
        while numbers := os.read(self._read_descriptor, 16):
            for number in numbers:
                if number in STOP_SIGNALS:
                    self._respond(number)

    def _respond(self, number: int) -> None:
        stop = self._stop_signal
        if self._first_signal:
            time.sleep(GRACE_SECONDS)
            self._end("Stopped at once, as you asked twice.")
        self._first_signal = number
        if stop.is_finishing:
            stop.acknowledge(STEP_MESSAGE)
            return
        if not self._has_another_within(REPLY_DELAY_SECONDS):
            stop.acknowledge(LEAVING_MESSAGE)
        if self._has_another_within(TAKEN_SECONDS) or stop.is_requested() or stop.is_finishing or stop.has_unsaved:
            return
        self._end("Stopped as you asked.")

    def _has_another_within(self, seconds: float) -> bool:
        return bool(select.select([self._read_descriptor], [], [], seconds)[0])

    def _end(self, how: str) -> None:
        """Children and process, after a word of what is kept."""
        try:
            _write_stderr(f"{how} {self._stop_signal.told()}", ends=True)
            _kill_children()
        finally:
            os._exit(128 + self._first_signal)


_program_stop: StopSignal | None = None


def install_signal_handlers() -> None:
    """From now on this process is a program that answers both signals as said above. In its main thread only."""
    global _program
    arriving, waking = os.pipe()
    os.set_blocking(waking, False)
    _program_stop = StopSignal()
    _SignalThread(_program_stop, arriving).start()
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    for number in STOP_SIGNALS:
        signal.signal(number, _program_stop.handle_signal)


def set_exit_message(told: Callable[[], str]) -> None:
    """From now on an end of the program that is not orderly says this of what is kept. It is called in another thread,
    while the main thread may be anywhere."""
    if _program_stop is not None:
        _program_stop.told = told


def describe_saved_work() -> str:
    """What `set_exit_message` was given says now."""
    return (_program_stop or StopSignal()).told()


def get_stop_exit_code() -> int:
    """What the program ends with when it was stopped: 130, or 143 when SIGTERM came first."""
    return (_program_stop or StopSignal()).exit_code


def exit_immediately(exit_code: int) -> None:
    """End a program that was asked to stop and has said so: Python's own end takes seconds where torch is loaded."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # its reader went away, or it is closed
            stream.flush()
    os._exit(exit_code)


@contextmanager
def stop_on_signals() -> Iterator[StopSignal]:
    """Inside the block SIGINT and SIGTERM are answered as said above; what handled them before does so again after it.

    Python delivers signals to the main thread only, so in any other thread nothing is caught and the flag stays down.
    """
    stop = _program_stop or StopSignal()
    if threading.current_thread() is not threading.main_thread():
        yield StopSignal()
        return
    before = {number: signal.signal(number, stop.handle_signal) for number in STOP_SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _write_stderr(text: str, *, ends: bool = False) -> None:
    """Past Python's buffers, which the main thread may hold."""
    is_terminal = os.isatty(2)
    line = f"\n{SHOW_CURSOR if ends else ''}{text}\n" if is_terminal else f"{text}\n"
    with suppress(OSError):  # nowhere to say it
        os.write(2, line.encode())


def _kill_children() -> None:
    """Those that were begun by this program, and what they began; a scorer's child leads a group of its own."""
    import psutil

    with suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error, ProcessLookupError, PermissionError):
                if os.getpgid(child.pid) == child.pid:
                    os.killpg(child.pid, signal.SIGKILL)
                child.kill()
