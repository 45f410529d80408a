"""The calibration of the statistics, made small: its rows are whole, and a wrong interval would be
found out."""

import numpy as np

from benchmarks.calibrate_stats import DIFFERENCES, QUICK, SCORES, rows


def test_every_row_is_told_in_full_and_holds_what_it_says() -> None:
    found = rows(quick=True)
    assert len({row["name"] for row in found}) == len(found) > 100
    for row in found:
        assert list(row) == ["name", "value", "low_bar", "high_bar", "holds"]
        low, high = row["low_bar"], row["high_bar"]
        assert row["holds"] == (
            (low is None or row["value"] >= low) and (high is None or row["value"] <= high)
        )
        assert 0 <= row["value"] <= 1
    held = [
        row for row in found if row["name"].startswith("coverage") and row["low_bar"] is not None
    ]
    assert np.mean([row["value"] for row in held]) > 0.93  # a few worlds each, but many rows
    assert QUICK < 100


def test_the_truth_that_coverage_is_held_against_is_the_mean_of_what_is_drawn() -> None:
    for kind in (*SCORES, *DIFFERENCES):
        drawn = kind.draw(np.random.default_rng(1), (400_000,))
        assert abs(drawn.mean() - kind.mean) < 4 * drawn.std() / 400_000**0.5, kind.name
