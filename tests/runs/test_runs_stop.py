"""The first signal asks, the second interrupts, and afterwards everything is as before."""

import os
import signal
import threading
import time

import pytest

from tunesmith.runs.stop import stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_interrupts(number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt), stop_on_signals() as stop:
        assert not stop.asked()
        os.kill(os.getpid(), number)
        assert stop.asked()
        assert stop.signal == number.name
        assert stop.exit_code == 128 + number
        os.kill(os.getpid(), number)
        time.sleep(5)  # never reached: the signal comes first


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
            told.append(stop.asked())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert told == [False]
