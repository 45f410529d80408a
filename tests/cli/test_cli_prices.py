"""`tunesmith prices` as it is typed."""

from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Printed

Door = Callable[..., Printed]


def test_every_row_is_listed_with_source_day_and_age(tunesmith: Door) -> None:
    shown = tunesmith("prices")
    assert shown.code == 0 and shown.out.splitlines()[-1] == "next: tunesmith prices --init"
    line = next(line for line in shown.out.splitlines() if line.startswith("gpt-6-luna"))
    assert "OpenAI" in line and "$0.10" in line and "2026-09-22" in line and "https://" in line
    listed = tunesmith("prices", "--json").document
    assert not listed["own_exists"] and {"model", "source", "date", "age_days", "is_old"} <= set(
        listed["prices"][0]
    )
    assert all(row["is_old"] == (row["age_days"] > 180) for row in listed["prices"])


def test_init_makes_the_users_file_once(tunesmith: Door, world: Path) -> None:
    path = world / "home" / "prices.toml"
    shown = tunesmith("prices", "--init")
    assert shown.code == 0 and f"your own prices: {path}\n" in shown.out
    assert path.read_text().count("[[price]]") == 1
    again = tunesmith("prices", "--init")
    assert again.code == 2 and "input/prices-there" in again.message


def test_a_file_of_ones_own_is_shown_first_and_marked_when_old(
    tunesmith: Door, world: Path
) -> None:
    own = world / "here" / "own.toml"
    own.write_text(
        '[[price]]\nmodel = "m"\nprovider = "p"\nusd_per_million_in = 1\nusd_per_million_out ='
        ' 2.5\nsource = "a letter"\ndate = 2020-01-01\n'
    )
    lines = tunesmith("prices", "own.toml").out.splitlines()
    assert (
        lines[1].split()[:5] == ["m", "p", "$1.00", "$2.50", "2020-01-01"]
        and "days, old" in lines[1]
    )
    wrong = tunesmith("prices", "own.toml", "--init")
    assert wrong.code == 2 and "usage/two-files" in wrong.message


def test_a_wrong_row_is_named(tunesmith: Door, world: Path) -> None:
    (world / "here" / "own.toml").write_text('[[price]]\nmodel = "m"\n')
    shown = tunesmith("prices", "own.toml")
    assert shown.code == 2
    assert shown.message == (
        "error[input/price-row]: invalid row in the price file\n  at: own.toml row 1\n  got: "
        "provider: Field required\n  hint: a row needs model, provider, usd_per_million_in, "
        "usd_per_million_out, source and date (2026-05-20)"
    )
