"""How numbers are told to people: digits that mean something, true minus signs, names as one writes
them."""

import pytest

from tunesmith.records import Quantity
from tunesmith.records.quantity import (
    format_duration,
    format_metric_name,
    format_percent,
    format_points,
    format_points_number,
    format_usd,
    format_with_interval,
)


@pytest.mark.parametrize(
    ("amount", "told"),
    [
        (0, "$0.00"),
        (0.000033, "$0.000033"),
        (0.0042, "$0.0042"),
        (0.01, "$0.010"),
        (0.0996, "$0.10"),
        (1.3, "$1.30"),
        (0.004, "$0.0040"),
        (12345.6, "$12,345.60"),
    ],
)
def test_dollars_keep_two_digits_that_mean_something(amount: float, told: str) -> None:
    assert format_usd(amount) == told


def test_dollars_of_one_list_have_the_same_number_of_digits() -> None:
    amounts = [0.004, 0.0037, 0.012, 0.0]
    assert [format_usd(amount, amounts) for amount in amounts] == [
        "$0.0040",
        "$0.0037",
        "$0.0120",
        "$0.0000",
    ]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.0042, "0.0042 s"),
        (0.6, "0.60 s"),
        (2.345, "2.3 s"),
        (42.4, "42 s"),
        (214, "4 min"),
        (5999, "100 min"),
        (11520, "3.2 h"),
    ],
)
def test_durations_take_the_unit_that_fits(seconds: float, told: str) -> None:
    assert format_duration(seconds) == told


def test_scores_are_percentages_and_differences_points() -> None:
    assert format_percent(0.8125) == "81.2 %"
    assert format_points(0.1234) == "12.3 points"
    assert format_points(-0.0169) == "−1.7 points"
    assert format_points_number(-0.0001) == "0.0"
    score = Quantity(value=0.5, low=0.4, high=0.61, n=1234)
    assert format_with_interval(score) == "50.0 % (95 % interval 40.0 to 61.0 %, n = 1,234)"


def test_metric_names_are_spelled_as_people_do() -> None:
    names = ("field_f1", "macro_f1", "rouge_l", "chrf", "exact", "normalised_match", "json_valid")
    spelled = [
        "field F1",
        "macro F1",
        "ROUGE L",
        "chrF",
        "exact match",
        "normalised match",
        "JSON valid",
    ]
    assert [format_metric_name(name) for name in names] == spelled
