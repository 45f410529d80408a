"""Ctrl-C and SIGTERM request a stop; a second one ends the program within a second, whatever it is
doing.

Work that can be discarded is left immediately, by `KeyboardInterrupt`: what was finished before is
in the run's folder. Work that must not be torn (a training step and its checkpoint) declares it,
and checks for a stop when it is complete:

    with stop_on_signals() as stop, stop.finishing():
        train_adapter(..., stop=stop.is_requested, at_once=stop.at_once)

The exit code is 128 plus the number of the first signal: 130 after Ctrl-C, 143 after SIGTERM.

Python runs a signal handler only between two bytecodes of the main thread, which may be inside one
long matrix product or one long read. So the program (`install_signal_handlers`) has a separate
thread that the signal itself wakes through a pipe. It acknowledges the first signal; if nothing is
being finished and the handler had no turn within `TAKEN_SECONDS`, it ends children and process.
After the second it gives the main thread `GRACE_SECONDS` to leave by itself, then does the same
(docs/decisions/106, 123). Code that imports tunesmith as a library gets the first three paragraphs
only.
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
"""Seconds for the main thread to leave by itself after a second signal."""
REPLY_DELAY_SECONDS = 0.15
"""Seconds before a stop is acknowledged: a program that ends within this time needs no message."""
TAKEN_SECONDS = 0.6
"""Further seconds for the main thread to take the first signal if it is finishing nothing."""
STEP_MESSAGE = "stopping after this step; press Ctrl-C again to quit now"
LEAVING_MESSAGE = "stopping; press Ctrl-C again to quit now"
NOTHING_SAVED = "Nothing was saved. Next: rerun the command"
SHOW_CURSOR = "\x1b[?25h"


class StopRequested(KeyboardInterrupt):
    """A first signal while nothing has to be finished; the program ends with `exit_code`."""

    def __init__(self, exit_code: int) -> None:
        super().__init__()
        self.exit_code = exit_code


class SecondSignal(StopRequested):
    """A second signal."""


class StopSignal:
    """Whether a stop was requested, and by which signal."""

    def __init__(self) -> None:
        self.signal: str | None = None
        self.is_finishing = False
        """Whether the work in progress ends by itself when a stop is requested."""
        self.told: Callable[[], str] = lambda: NOTHING_SAVED
        """The message about saved work for a forced exit."""
        self._acknowledged = threading.Lock()

    def is_requested(self) -> bool:
        """True once a stop was requested; pass this method to code that works in steps."""
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """The exit code of the program after a stop."""
        return 128 + signal.Signals[self.signal or "SIGINT"]

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """Within the block a first signal is only recorded; the code inside checks
        `is_requested`.
        """
        before, self.is_finishing = self.is_finishing, True
        try:
            yield
        finally:
            self.is_finishing = before

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within the block, which may be inside a `finishing` block, a signal interrupts
        immediately: its work can be discarded.

        Errors: `StopRequested`, also for a signal that came before.
        """
        before, self.is_finishing = self.is_finishing, False
        try:
            if self.is_requested():
                raise StopRequested(self.exit_code)
            yield
        finally:
            self.is_finishing = before

    def handle_signal(self, number: int, frame: FrameType | None) -> None:
        """The signal handler, in the main thread."""
        if self.signal is not None:
            raise SecondSignal(self.exit_code)
        self.signal = signal.Signals(number).name
        if not self.is_finishing:
            raise StopRequested(self.exit_code)
        if self is _program_stop:  # the step may end before the signal thread gets its turn
            self.acknowledge(STEP_MESSAGE)

    def acknowledge(self, text: str) -> None:
        """Print once that the program is stopping, from whichever thread comes first."""
        if self._acknowledged.acquire(blocking=False):
            _write_stderr(text)


class _SignalThread(threading.Thread):
    """Reads the numbers of signals as they arrive, wherever the main thread is."""

    def __init__(self, stop: StopSignal, arriving: int) -> None:
        super().__init__(name="signals", daemon=True)
        self._stop_signal = stop
        self._read_descriptor = arriving
        self._first_signal = 0

    def run(self) -> None:
        """Run until the process ends."""
        while numbers := os.read(self._read_descriptor, 16):
            for number in numbers:
                if number in STOP_SIGNALS:
                    self._respond(number)

    def _respond(self, number: int) -> None:
        stop = self._stop_signal
        if self._first_signal:
            time.sleep(GRACE_SECONDS)
            self._end("Aborted immediately (second interrupt).")
        self._first_signal = number
        if stop.is_finishing:
            stop.acknowledge(STEP_MESSAGE)
            return
        if not self._has_another_within(REPLY_DELAY_SECONDS):
            stop.acknowledge(LEAVING_MESSAGE)
        if self._has_another_within(TAKEN_SECONDS) or stop.is_requested() or stop.is_finishing:
            return
        self._end("Interrupted.")

    def _has_another_within(self, seconds: float) -> bool:
        return bool(select.select([self._read_descriptor], [], [], seconds)[0])

    def _end(self, how: str) -> None:
        """Kill children and process, after a message about saved work."""
        try:
            _write_stderr(f"{how} {self._stop_signal.told()}", ends=True)
            _kill_children()
        finally:
            # sys.exit in this thread would end the thread only; the main thread may be stuck in C
            # code.
            os._exit(128 + self._first_signal)


_program_stop: StopSignal | None = None


def install_signal_handlers() -> None:
    """Make this process a program that handles both signals as described above. Call it in the main
    thread.
    """
    global _program_stop
    arriving, waking = os.pipe()
    # set_wakeup_fd requires a non-blocking descriptor: a full pipe must not block a signal handler.
    os.set_blocking(waking, False)
    _program_stop = StopSignal()
    _SignalThread(_program_stop, arriving).start()
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    for number in STOP_SIGNALS:
        signal.signal(number, _program_stop.handle_signal)


def set_exit_message(told: Callable[[], str]) -> None:
    """Set the message about saved work for a forced exit. It is called in another thread, wherever
    the main thread is.
    """
    if _program_stop is not None:
        _program_stop.told = told


def describe_saved_work() -> str:
    """The present message about saved work."""
    return (_program_stop or StopSignal()).told()


def get_stop_exit_code() -> int:
    """The exit code after a stop: 130, or 143 if SIGTERM came first."""
    return (_program_stop or StopSignal()).exit_code


def exit_immediately(exit_code: int) -> None:
    """End a program whose stop was announced: Python's own shutdown takes seconds with torch
    loaded.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # closed, or its reader has gone
            stream.flush()
    os._exit(exit_code)


@contextmanager
def stop_on_signals() -> Iterator[StopSignal]:
    """Within the block SIGINT and SIGTERM are handled as described above; afterwards the earlier
    handlers are restored.

    Python delivers signals to the main thread only, so in any other thread nothing is caught and
    the returned signal is never set.
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
    """Write past Python's buffers, whose lock the main thread may hold."""
    is_terminal = os.isatty(2)
    line = f"\n{SHOW_CURSOR if ends else ''}{text}\n" if is_terminal else f"{text}\n"
    with suppress(OSError):  # stderr is closed
        os.write(2, line.encode())


def _kill_children() -> None:
    """Kill all descendants of this process; a scorer's child leads its own process group."""
    import psutil

    with suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error, ProcessLookupError, PermissionError):
                if os.getpgid(child.pid) == child.pid:
                    os.killpg(child.pid, signal.SIGKILL)
                child.kill()
