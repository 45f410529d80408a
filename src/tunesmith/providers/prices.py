"""Prices are rows in TOML with a source and a date, never numbers in code.

Two tables: the one that ships with tunesmith (`prices.toml` next to this file) and the user's own,
whose rows take precedence. The user's table is the file that the recipe names (`cost.prices`), or
else `prices.toml` in the home folder. A row belongs to one provider: it applies only if the URL is
that provider's, because the same open model has another price elsewhere, and on one's own server it
costs machine time only.
"""

import tomllib
from collections.abc import Sequence
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from tunesmith.atomic_io import get_home_folder, read_regular_file, write_atomically
from tunesmith.errors import InputError
from tunesmith.records import PriceRow, TokenPrice

BUNDLED_PRICES_PATH = Path(__file__).with_name("prices.toml")
MAX_PRICE_AGE_DAYS = 180
"""Days after which a price is marked as old: in the half year before this was written, the cheapest
models of two providers fell to a half and to a tenth of their price.
"""

EXAMPLE_PRICES = """\
# Your own prices; they take precedence over the built-in ones (`tunesmith prices` lists both).
# Uncomment the lines below and fill them in. `model` may contain * for any letters; without
# `host` the row applies to every endpoint. Prices are in USD per million tokens.

# [[price]]
# model = "our-model-*"
# provider = "our gateway"
# host = "gateway.example.com"
# usd_per_million_in = 0.20
# usd_per_million_out = 0.80
# tuning_usd_per_million = 3.00    # omit if the model cannot be tuned
# source = "contract of May, page 3"
# date = "2026-05-20"
"""


def get_user_prices_path() -> Path:
    """Path of the user's price table if the recipe names no other file. Does not create it."""
    return get_home_folder() / "prices.toml"


def load_prices(own: str | Path | None = None) -> tuple[PriceRow, ...]:
    """All price rows: the user's own first (from `own`, which must exist, or else from the home
    folder), then the shipped ones.

    Errors: `InputError` for a file that cannot be read or a row that is invalid.
    """
    path = Path(own) if own is not None else get_user_prices_path()
    mine = read_prices(path) if own is not None or path.exists() else ()
    return (*mine, *read_prices(BUNDLED_PRICES_PATH))


def read_prices(path: Path) -> tuple[PriceRow, ...]:
    """The rows of one price file. Errors: `InputError`, naming the row."""
    try:
        content = tomllib.loads(read_regular_file(path).decode("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise InputError(
            "prices-unreadable",
            "cannot read the price file",
            at=str(path),
            got=cause,
            hint="fix the file, or create an example with tunesmith prices --init",
        ) from None
    rows = content.pop("price", [])
    if content or not isinstance(rows, list):
        raise InputError(
            "prices-shape",
            "price file has something other than [[price]] rows",
            at=str(path),
            got=", ".join(content) or "price is not a list of rows",
            hint="start each row with [[price]]",
        )
    return tuple(_parse_row(row, number, path) for number, row in enumerate(rows, 1))


def _parse_row(row: object, number: int, path: Path) -> PriceRow:
    try:
        # TOML parses an unquoted date into a `datetime.date`; the record stores ISO text.
        values = {**row, "date": str(row.get("date", ""))} if isinstance(row, dict) else row
        return PriceRow.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            "price-row",
            "invalid row in the price file",
            at=f"{path} row {number}",
            got=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            hint=(
                "a row needs model, provider, usd_per_million_in, usd_per_million_out, source and"
                " date (2026-05-20)"
            ),
        ) from None


def find_price(model: str, rows: Sequence[PriceRow], url: str | None = None) -> PriceRow | None:
    """The first row that matches this model at this URL; None if there is no price for it. Without
    a URL every provider matches.
    """
    host = urlsplit(url).hostname if url else None
    for row in rows:
        # Subdomains count as the provider's (eu.api.example.com), other hosts that merely end alike
        # do not.
        is_there = (
            url is None
            or row.host is None
            or host == row.host
            or (host or "").endswith(f".{row.host}")
        )
        if is_there and fnmatchcase(model.lower(), row.model.lower()):
            return row
    return None


def build_token_price(row: PriceRow) -> TokenPrice:
    """The row as a contender's record stores it."""
    return TokenPrice(
        usd_per_million_in=row.usd_per_million_in,
        usd_per_million_out=row.usd_per_million_out,
        source=format_source(row),
        date=row.date,
    )


def format_source(row: PriceRow) -> str:
    """The source of a price; marked if it is not the vendor's own page, with the page to compare it
    with.
    """
    if row.source_kind != "third party":
        return row.source
    return f"third party: {row.source}" + (
        f"; compare {row.vendor_page}" if row.vendor_page else ""
    )


def compute_age_days(row_date: str, today: date | None = None) -> int:
    """Days between the date of a row and today."""
    return ((today or date.today()) - date.fromisoformat(row_date)).days


def is_old(row_date: str, today: date | None = None) -> bool:
    """Whether a price of this date is older than `MAX_PRICE_AGE_DAYS`."""
    return compute_age_days(row_date, today) > MAX_PRICE_AGE_DAYS


def write_example() -> Path:
    """Create the user's price file with a commented example. Errors: `InputError` if the file
    exists.
    """
    path = get_user_prices_path()
    if path.exists():
        raise InputError(
            "prices-there",
            "price file already exists",
            at=str(path),
            hint="open it in an editor",
        )
    write_atomically(path, EXAMPLE_PRICES)
    return path
