"""`make calibrate`: what it prints, what it keeps, and when it fails."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import calibrate


def row(
    name: str, value: float, low: float | None, high: float | None, holds: bool = True
) -> dict[str, Any]:
    return {"name": name, "value": value, "low_bar": low, "high_bar": high, "holds": holds}


ROWS = [
    row("coverage", 0.95, 0.93, 0.97),
    row("false", 0.2, None, 0.05, False),
    row("seen", 0.5, None, None),
]


def test_the_table_says_what_holds_and_where_it_should_lie() -> None:
    assert calibrate.table(ROWS).splitlines() == [
        "ok   coverage        0.95  0.93 to 0.97",
        "FAIL false            0.2  at most 0.05",
        "     seen             0.5",
    ]


@pytest.mark.parametrize(("given", "is_kept"), [([], True), (["--quick"], False)])
def test_a_broken_bar_fails_and_only_a_whole_run_is_kept(
    given: list[str], is_kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in (calibrate.calibrate_stats, calibrate.calibrate_worlds, calibrate.calibrate_leaks):
        monkeypatch.setattr(part, "rows", lambda quick: [])
    monkeypatch.setattr(calibrate.calibrate_worlds, "rows", lambda quick: ROWS)
    monkeypatch.setattr(calibrate, "KEPT", tmp_path / "calibration.json")
    monkeypatch.setattr("sys.argv", ["calibrate", *given])
    assert calibrate.main() == 1
    assert (tmp_path / "calibration.json").exists() == is_kept
    if is_kept:
        assert json.loads((tmp_path / "calibration.json").read_text()) == ROWS
