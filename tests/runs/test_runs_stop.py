"""The first signal interrupts, or asks what must be finished; the second interrupts; then
everything is as before."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from tunesmith.runs.signals import (
    LEAVING_MESSAGE,
    NOTHING_SAVED,
    STEP_MESSAGE,
    SecondSignal,
    StopRequested,
    stop_on_signals,
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_what_is_being_finished_and_the_second_interrupts(
    number: signal.Signals,
) -> None:
    with pytest.raises(SecondSignal) as raised, stop_on_signals() as stop, stop.finishing():
        assert not stop.is_requested()
        os.kill(os.getpid(), number)
        assert stop.is_requested()
        assert stop.signal == number.name
        assert stop.exit_code == 128 + number
        os.kill(os.getpid(), number)
        time.sleep(5)  # never reached: the signal comes first
    assert raised.value.exit_code == 128 + number


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_can_be_thrown_away_is_left_at_the_first_signal(number: signal.Signals) -> None:
    with (
        pytest.raises(StopRequested) as raised,
        stop_on_signals() as stop,
        stop.finishing(),
        stop.at_once(),
    ):
        os.kill(os.getpid(), number)
        time.sleep(5)  # never reached
    assert type(raised.value) is StopRequested and raised.value.exit_code == 128 + number


def test_a_signal_that_came_while_something_was_finished_keeps_what_can_be_thrown_away_from_beginning() -> (  # noqa: E501
    None
):
    begun: list[str] = []
    with pytest.raises(StopRequested), stop_on_signals() as stop, stop.finishing():
        os.kill(os.getpid(), signal.SIGINT)
        with stop.at_once():
            begun.append("work")
    assert not begun and not stop.is_finishing


def test_handlers_are_put_back_also_after_an_error() -> None:
    before = (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    with pytest.raises(ZeroDivisionError), stop_on_signals():
        assert signal.getsignal(signal.SIGINT) != before[0]
        _ = 1 / 0
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_another_thread_may_use_it_and_is_never_asked() -> None:
    told: list[bool] = []

    def work() -> None:
        with stop_on_signals() as stop:
            told.append(stop.is_requested())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert told == [False]


PROGRAM = """
import hashlib, subprocess, sys
from tunesmith.runs.signals import install_signal_handlers, get_stop_exit_code, set_exit_message, stop_on_signals

def work_without_a_step_of_python():
    print("begun", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # half an hour; no handler runs meanwhile

install_signal_handlers()
{program}
"""  # noqa: E501
STEPS = """
with stop_on_signals() as stop, stop.finishing():
    set_exit_message(lambda: "Saved in runs/x. Next: tunesmith resume runs/x")
    work_without_a_step_of_python()
"""
UNSAVED = """
with stop_on_signals() as stop, stop.finishing():
    work_without_a_step_of_python()
"""
CHILDREN = """
for own in (True, False):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], start_new_session=own)
    print(child.pid, flush=True)
with stop_on_signals() as stop, stop.finishing():
    work_without_a_step_of_python()
"""  # noqa: E501
WAITS = """
try:
    print("begun", flush=True)
    sys.stdin.read()
except KeyboardInterrupt:
    sys.exit(get_stop_exit_code())
"""


class Program:
    """A program that answers signals, once it has begun its work; `lines` is what it said
    before."""

    def __init__(self, text: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(program=text)],
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.lines = list(iter(self.process.stdout.readline, "begun\n"))
        if "work_without_a_step_of_python" in text:
            self.wait_until_it_works()

    def wait_until_it_works(self) -> None:
        """Until it took processor time after its last line: a signal between the two would find
        Python running."""
        process, deadline = psutil.Process(self.process.pid), time.monotonic() + 60
        before = process.cpu_times().user
        while process.cpu_times().user < before + 0.1:
            assert time.monotonic() < deadline, "it does not begin its work"
            time.sleep(0.01)

    def says(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.readline().strip()


@pytest.fixture
def programs() -> "Iterator[list[Program]]":
    begun: list[Program] = []
    yield begun
    for program in begun:
        program.process.kill()
        program.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("text", "answer", "kept"),
    [
        (STEPS, STEP_MESSAGE, "Saved in runs/x. Next: tunesmith resume runs/x"),
        (UNSAVED, STEP_MESSAGE, NOTHING_SAVED),
    ],
)
def test_the_first_signal_is_answered_and_the_second_ends_what_runs_no_python(
    programs: list[Program], text: str, answer: str, kept: str, number: signal.Signals
) -> None:
    programs.append(program := Program(text))
    program.process.send_signal(number)
    assert program.says() == answer
    program.process.send_signal(number)
    assert program.says() == f"Aborted immediately (second interrupt). {kept}"
    assert program.process.wait(30) == 128 + number


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_what_runs_no_python_where_nothing_would_be_lost(
    programs: list[Program], number: signal.Signals
) -> None:
    programs.append(program := Program("work_without_a_step_of_python()"))
    program.process.send_signal(number)
    assert [program.says(), program.says()] == [
        LEAVING_MESSAGE,
        f"Interrupted. {NOTHING_SAVED}",
    ]
    assert program.process.wait(30) == 128 + number


def test_the_first_of_two_different_signals_gives_the_exit_code(programs: list[Program]) -> None:
    programs.append(program := Program(STEPS))
    program.process.send_signal(signal.SIGTERM)
    assert program.says() == STEP_MESSAGE
    program.process.send_signal(signal.SIGINT)
    assert program.process.wait(30) == 143


def test_children_end_with_the_program(programs: list[Program]) -> None:
    programs.append(program := Program(CHILDREN))
    children = [psutil.Process(int(line)) for line in program.lines]
    assert len(children) == 2
    program.process.send_signal(signal.SIGINT)
    assert program.says() == STEP_MESSAGE
    program.process.send_signal(signal.SIGINT)
    assert program.process.wait(30) == 130
    gone, alive = psutil.wait_procs(children, timeout=30)
    assert len(gone) == 2 and not alive


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_waits_for_input_leaves_at_the_first_signal(
    programs: list[Program], number: signal.Signals
) -> None:
    programs.append(program := Program(WAITS))
    program.process.send_signal(number)
    assert program.process.wait(30) == 128 + number
