"""How long the rest takes is said when it can be known, and by the recent pace."""

import pytest

from tunesmith.cli.progress import LOG_INTERVAL_SECONDS, LogDisplay, RateEstimator
from tunesmith.events import Progress


def pace_of(*advances: tuple[float, float]) -> RateEstimator:
    pace = RateEstimator()
    for now, done in advances:
        pace.add(now, done)
    return pace


def test_answers_that_come_in_a_lump_give_no_wild_first_estimate() -> None:
    """None is ready for 94 s, then 20 of 100 are at once: that says nothing of the other 80."""
    assert pace_of((94.0, 20)).estimate_seconds_left(94.0, 100) is None
    assert pace_of((94.0, 20), (95.0, 40), (96.0, 60)).estimate_seconds_left(96.0, 100) is None
    assert pace_of((94.0, 20), (95.0, 40), (96.0, 60), (97.0, 80)).estimate_seconds_left(
        97.0, 100
    ) == pytest.approx(1.0)


def test_an_even_pace_is_told_and_time_that_passes_is_taken_off() -> None:
    pace = pace_of(*((10.0 * i, i) for i in range(1, 6)))
    assert pace.estimate_seconds_left(50.0, 10) == pytest.approx(50.0)
    assert pace.estimate_seconds_left(56.0, 10) == pytest.approx(44.0)
    assert pace.estimate_seconds_left(500.0, 10) == 0.0


def test_only_the_recent_pace_counts() -> None:
    slow = [(100.0 * i, i) for i in range(1, 11)]
    fast = [(1000.0 + i, 10 + i) for i in range(1, 91)]
    assert pace_of(*slow, *fast).estimate_seconds_left(1090.0, 200) == pytest.approx(100.0)


def test_calls_without_anything_new_change_nothing_and_a_new_beginning_forgets() -> None:
    same = pace_of((1.0, 1), (1.5, 1), (2.0, 2), (2.5, 2), (3.0, 3), (4.0, 4))
    assert same.estimate_seconds_left(4.0, 8) == pytest.approx(4.0)
    same.add(5.0, 0)
    assert same.estimate_seconds_left(5.0, 8) is None


def test_a_line_is_written_now_and_then_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr("tunesmith.cli.progress.time.monotonic", lambda: clock[0])
    display = LogDisplay()
    for done in range(11):
        clock[0] = done * LOG_INTERVAL_SECONDS / 2
        display(Progress("asking", done, 10))
    assert capsys.readouterr().err.splitlines() == [
        "   asking  20 %",
        "   asking  40 %  45 s left",
        "   asking  60 %  30 s left",
        "   asking  80 %  15 s left",
        "   asking 100 %",
    ]
