"""`tunesmith prices`: what providers charge, who says so, and how long ago."""

from pathlib import Path
from typing import Annotated

import typer

from tunesmith.cli.output import print_json, print_table, say, say_next


def prices(
    file: Annotated[
        Path | None, typer.Argument(help="A file of price rows of your own (recipe key cost.prices).")
    ] = None,
    init: Annotated[bool, typer.Option("--init", help="Make a file for prices of your own, with an example.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List every price with its source, its day and its age; rows of your own go before those that come along."""
    from tunesmith.decision.prices import age_days, is_old, load_prices, own_prices_path, source_of, write_example
    from tunesmith.errors import UsageError
    from tunesmith.records.quantity import usd

    if init and file:
        raise UsageError(
            "two-files", "--init makes the file in the home folder; it takes no name.", found=str(file),
            do="leave out one of the two",
        )  # fmt: skip
    if init:
        write_example()
    own = file or own_prices_path()
    rows = load_prices(file)
    if json:
        listed = [{**row.model_dump(), "age_days": age_days(row.date), "is_old": is_old(row.date)} for row in rows]
        print_json({"own": str(own), "own_exists": own.exists(), "prices": listed})
        return
    print_table(
        ("model", "provider", "in", "out", "tuning", "day", "age", "source"),
        [
            (
                row.model, row.provider, usd(row.usd_per_million_in), usd(row.usd_per_million_out),
                "" if row.tuning_usd_per_million is None else usd(row.tuning_usd_per_million),
                row.date, f"{age_days(row.date)} days" + ", old" * is_old(row.date), source_of(row),
            )
            for row in rows
        ],
        right=(2, 3, 4),
    )  # fmt: skip
    say("", "USD for a million tokens read (in), written (out), trained on (tuning); old: look it up again")
    if any(row.source_kind == "third party" for row in rows):
        say("third party: the number was not read on the vendor's own page; compare it there before you rely on it")
    say(f"your own rows: {own}" + ("" if own.exists() else " (not there yet: tunesmith prices --init makes it)"))
    say_next("prices", "--init") if not own.exists() else say_next("decide", "DATA", "--set", f"cost.prices={own}")
