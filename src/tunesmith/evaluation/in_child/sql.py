"""SQL: a query and its reference on the same small database in memory, compared by the rows that they give.

    {"schema", "query", "reference"} -> {"right", "rows", "why"}

Rows are a bag: their order counts only where the reference asks for one (ORDER BY), the columns' names never. Numbers
are equal within rounding. Tables of the schema that hold no row are filled with invented ones, the same for both, in
which the constants of the reference query occur: with empty tables every query would be right. Several fillings are
tried, as two queries can agree on one by chance (Zhong, Yu, Klein 2020, "Semantic Evaluation for Text-to-SQL with
Distilled Test Suites").

A query only reads: SQLite's authorizer refuses everything else, a progress handler ends what takes too many steps.
"""

import random
import re
import sqlite3
from collections import Counter
from collections.abc import Callable
from typing import Any

FILLINGS = 4
ROWS_OF_A_FILLING = 24
MOST_ROWS = 100_000
MOST_STEPS = 100_000_000
STEPS_BETWEEN_LOOKS = 1_000_000
ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_LITERAL = re.compile(r"'((?:[^']|'')*)'|\"([^\"]*)\"|(?<![\w.])(\d+(?:\.\d+)?)(?![\w.])")
_ORDERED = re.compile(r"\border\s+by\b(?!.*\))", re.IGNORECASE | re.DOTALL)
Rows = list[tuple[Any, ...]]


def open_work(setup: Any) -> Callable[[Any], Any]:
    """The comparison of one pair."""
    return lambda piece: compare(piece["schema"], piece["query"], piece["reference"])


def compare(schema: str, query: str, reference: str) -> dict[str, Any]:
    """On every filling; `rows` are those of the reference, whatever the query does: what cannot be judged must not
    depend on who is right. Errors: ValueError when the schema or the reference itself does not run."""
    databases: list[tuple[sqlite3.Connection, Rows]] = []
    for filling in range(FILLINGS):
        database, is_filled = _database(schema, reference, filling)
        try:
            databases.append((database, _rows(database, reference)))
        except sqlite3.Error as error:
            raise ValueError(f"the reference query does not run: {error}") from None
        if not is_filled:
            break
    why = next(filter(None, (_fault(database, query, reference, wanted) for database, wanted in databases)), "")
    return {"right": not why, "rows": sum(len(wanted) for _, wanted in databases), "why": why}


def _fault(database: sqlite3.Connection, query: str, reference: str, wanted: Rows) -> str:
    """Why the query is wrong on this database; empty where it is right."""
    try:
        found = _rows(database, query)
    except (sqlite3.Error, sqlite3.Warning, UnicodeEncodeError, ValueError) as error:
        return str(error)[:200] or type(error).__name__
    return "" if same_rows(found, wanted, is_ordered=_ORDERED.search(reference) is not None) else "other rows"


def same_rows(found: Rows, wanted: Rows, is_ordered: bool) -> bool:
    """The same rows as often; in the same order where that was asked for."""
    ours, theirs = [_plain(row) for row in found], [_plain(row) for row in wanted]
    return ours == theirs if is_ordered else Counter(ours) == Counter(theirs)


def _plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(float(f"{cell:.9g}") if isinstance(cell, int | float) else cell for cell in row)


def _database(schema: str, reference: str, filling: int) -> tuple[sqlite3.Connection, bool]:
    """The schema run, empty tables filled; and whether any was."""
    database = sqlite3.connect(":memory:")
    try:
        database.executescript(schema)
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        empty = [name for name in tables if database.execute(f"SELECT 1 FROM {_quoted(name)}").fetchone() is None]
        draw = random.Random(filling)
        for name in empty:
            _fill(database, name, _constants(reference), draw)
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise ValueError(f"the schema does not run: {error}") from None
    _read_only(database)
    return database, bool(empty)


def _fill(database: sqlite3.Connection, table: str, constants: list[str], draw: random.Random) -> None:
    """Invented rows; those that a constraint refuses are left out."""
    columns = [(row[1], row[2].upper()) for row in database.execute(f"PRAGMA table_info({_quoted(table)})")]
    places = ", ".join("?" for _ in columns)
    for number in range(ROWS_OF_A_FILLING):
        values = [_invented(kind, constants, number, draw) for _, kind in columns]
        database.execute(f"INSERT OR IGNORE INTO {_quoted(table)} VALUES ({places})", values)


def _invented(kind: str, constants: list[str], number: int, draw: random.Random) -> Any:
    """A constant of the query, one near it, or a small value that other rows and tables have, too."""
    numbers = [float(constant) for constant in constants if _is_number(constant)]
    if any(word in kind for word in ("INT", "REAL", "FLOA", "DOUB", "NUM", "DEC")):
        near = [one + step for one in numbers for step in (-1, 0, 1)]
        value = draw.choice([*near, float(draw.randrange(6)), float(number)])
        return int(value) if value.is_integer() else value
    texts = [*constants, *(f"w{draw.randrange(6)}" for _ in range(3)), str(draw.randrange(6))]
    return draw.choice(texts)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal() and text.isascii()


def _constants(query: str) -> list[str]:
    return [single.replace("''", "'") or double or digits for single, double, digits in _LITERAL.findall(query)]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _read_only(database: sqlite3.Connection) -> None:
    """From here on: SELECT only, and a bounded number of steps for each query."""
    database.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in ALLOWED else sqlite3.SQLITE_DENY)


def _rows(database: sqlite3.Connection, query: str) -> Rows:
    steps = 0

    def look() -> int:
        nonlocal steps
        steps += STEPS_BETWEEN_LOOKS
        return int(steps > MOST_STEPS)

    database.set_progress_handler(look, STEPS_BETWEEN_LOOKS)
    rows = database.execute(query).fetchmany(MOST_ROWS + 1)
    if len(rows) > MOST_ROWS:
        raise ValueError(f"more than {MOST_ROWS:,} rows")
    return rows
