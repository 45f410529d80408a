"""Price rows: the shipped table keeps its own rules, the user's rows go first, wrong rows are
named."""

from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tunesmith.errors import InputError
from tunesmith.providers.prices import (
    BUNDLED_PRICES_PATH,
    EXAMPLE_PRICES,
    build_token_price,
    compute_age_days,
    find_price,
    get_user_prices_path,
    is_old,
    load_prices,
    read_prices,
    write_example,
)

OWN = """
[[price]]
model = "gpt-6-*"
provider = "our contract"
host = "api.openai.com"
usd_per_million_in = 0.01
usd_per_million_out = 0.02
source = "contract"
date = 2026-05-20
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path))
    return tmp_path


def test_every_shipped_row_has_a_source_a_host_and_a_day_that_was() -> None:
    rows = read_prices(BUNDLED_PRICES_PATH)
    assert len({(row.model, row.host) for row in rows}) == len(rows) > 5
    for row in rows:
        assert row.source.startswith("https://") and row.host, row.model
        assert 0 < row.usd_per_million_in <= row.usd_per_million_out, row.model
        assert date(2026, 1, 1) <= date.fromisoformat(row.date) <= date(2026, 11, 26), row.model


VENDORS = {"OpenAI": "openai.com", "Anthropic": "claude.com", "Google": "google.dev"}


def test_every_shipped_row_says_whether_the_vendor_itself_says_so() -> None:
    """A manager signs by the vendor's page; a number that was read elsewhere is called that."""
    for row in read_prices(BUNDLED_PRICES_PATH):
        assert row.source_kind in ("vendor", "third party"), row.model
        host = str(urlsplit(row.source).hostname)
        is_vendors = row.provider in VENDORS and host.endswith(VENDORS[row.provider])
        assert is_vendors == (row.source_kind == "vendor"), row.model
        if row.vendor_page is not None:
            assert row.vendor_page.startswith("https://") and row.provider in VENDORS, row.model
        said = build_token_price(row).source
        assert said.startswith("third party: ") == (row.source_kind == "third party"), row.model


def test_the_users_rows_go_before_the_shipped_ones(tmp_path: Path) -> None:
    get_user_prices_path().write_text(OWN)
    row = find_price("gpt-6-luna", load_prices(), "https://api.openai.com/v1")
    assert row is not None and row.provider == "our contract"
    assert build_token_price(row).model_dump() == {
        "usd_per_million_in": 0.01,
        "usd_per_million_out": 0.02,
        "source": "contract",
        "date": "2026-05-20",
    }
    other = tmp_path / "other.toml"
    other.write_text(OWN.replace("our contract", "theirs"))
    row = find_price("gpt-6-luna", load_prices(other), "https://api.openai.com/v1")
    assert row is not None and row.provider == "theirs"


@pytest.mark.parametrize(
    ("model", "url", "provider"),
    [
        ("gpt-6-luna", "https://api.openai.com/v1", "OpenAI"),
        ("GPT-6-Luna", "https://eu.api.openai.com/v1", "OpenAI"),
        ("gpt-6-luna", None, "OpenAI"),
        ("claude-haiku-4-5-20251001", "https://api.anthropic.com/v1/", "Anthropic"),
        ("gpt-6-luna", "http://localhost:8000/v1", None),
        ("gpt-6-luna", "https://notapi.openai.com.example.org/v1", None),
        ("gpt-6-lunatic", "https://api.openai.com/v1", None),
    ],
)
def test_a_price_is_that_of_the_provider_who_is_asked(
    model: str, url: str | None, provider: str | None
) -> None:
    row = find_price(model, load_prices(), url)
    assert (row and row.provider) == provider


def test_prices_are_old_after_half_a_year() -> None:
    assert compute_age_days("2026-05-01", date(2026, 5, 31)) == 30
    assert not is_old("2026-05-01", date(2026, 10, 28)) and is_old("2026-05-01", date(2026, 10, 29))


def test_the_example_is_all_comments_and_its_rows_are_right_without_them(home: Path) -> None:
    path = write_example()
    assert path == home / "prices.toml" and read_prices(path) == ()
    rows = [
        line.removeprefix("# ")
        for line in EXAMPLE_PRICES.splitlines()
        if "=" in line or "[[" in line
    ]
    path.write_text("\n".join(rows))
    assert [row.model for row in read_prices(path)] == ["our-model-*"]
    with pytest.raises(InputError) as caught:
        write_example()
    assert str(caught.value) == (
        f"error[input/prices-there]: price file already exists\n  at: {path}\n  hint: open "
        "it in an editor"
    )


@pytest.mark.parametrize(
    ("content", "code", "found"),
    [
        (
            "[[price]\n",
            "input/prices-unreadable",
            "Expected ']]' at the end of an array declaration",
        ),
        ("price = 3\n", "input/prices-shape", "price is not a list of rows"),
        (f"[other]\na = 1\n{OWN}", "input/prices-shape", "other"),
        (OWN.replace('contract"\ndate', 'contract"\nday'), "input/price-row", "date: "),
        (OWN.replace("2026-05-20", '"soon"'), "input/price-row", "date: "),
        (OWN.replace('source = "contract"\n', ""), "input/price-row", "source: Field required"),
        (OWN.replace("0.01", "-1"), "input/price-row", "usd_per_million_in: "),
        ("price = [3]\n", "input/price-row", ": "),
    ],
)
def test_a_wrong_file_is_named_with_its_row(
    home: Path, content: str, code: str, found: str
) -> None:
    get_user_prices_path().write_text(content)
    with pytest.raises(InputError) as caught:
        load_prices()
    assert caught.value.code == code and found in caught.value.got
    assert str(home / "prices.toml") in caught.value.at


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"cannot read the price file\n  at: .*none.toml\n  got: No such file"
    ):
        load_prices(tmp_path / "none.toml")
