"""`tunesmith prices`: providers' prices with their source and age."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.console import print_json, print_lines, print_next_command, print_table

if TYPE_CHECKING:
    from tunesmith.records import PriceRow


def prices(
    file: Annotated[
        Path | None,
        typer.Argument(help="File with your own price rows (recipe key cost.prices)."),
    ] = None,
    init: Annotated[
        bool, typer.Option("--init", help="Create a file for your own prices, with an example.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List all prices with source, date and age.

    Your own prices take precedence over the built-in ones."""
    from tunesmith.errors import UsageError
    from tunesmith.providers.prices import (
        compute_age_days,
        get_user_prices_path,
        is_old,
        load_prices,
        write_example,
    )

    if init and file:
        raise UsageError(
            "two-files",
            "--init creates the file in the tunesmith home folder and cannot be combined with "
            "--prices",
            got=str(file),
            hint="remove one of the two",
        )
    if init:
        write_example()
    own = file or get_user_prices_path()
    rows = load_prices(file)
    if json:
        listed = [
            {**row.model_dump(), "age_days": compute_age_days(row.date), "is_old": is_old(row.date)}
            for row in rows
        ]
        print_json({"own": str(own), "own_exists": own.exists(), "prices": listed})
        return
    _print_prices(rows)
    print_lines(
        f"your own prices: {own}"
        + ("" if own.exists() else " (does not exist yet; create it with tunesmith prices --init)")
    )
    (
        print_next_command("prices", "--init")
        if not own.exists()
        else print_next_command("decide", "DATA", "--set", f"cost.prices={own}")
    )


def _print_prices(rows: Sequence["PriceRow"]) -> None:
    """A table of prices, what its columns mean, and which prices need another look."""
    from tunesmith.providers.prices import compute_age_days, format_source, is_old
    from tunesmith.records.quantity import format_usd

    print_table(
        ("model", "provider", "in", "out", "tuning", "day", "age", "source"),
        [
            (
                row.model,
                row.provider,
                format_usd(row.usd_per_million_in),
                format_usd(row.usd_per_million_out),
                (
                    ""
                    if row.tuning_usd_per_million is None
                    else format_usd(row.tuning_usd_per_million)
                ),
                row.date,
                f"{compute_age_days(row.date)} days" + ", old" * is_old(row.date),
                format_source(row),
            )
            for row in rows
        ],
        right=(2, 3, 4),
    )
    print_lines(
        "",
        "USD per million tokens: input (in), output (out), training (tuning); re-check prices "
        "marked old",
    )
    if any(row.source_kind == "third party" for row in rows):
        print_lines(
            "third party: the price was not taken from the vendor's own page; check it there "
            "before you rely on it"
        )
