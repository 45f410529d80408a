"""SQL: a query and its reference on the same small in-memory database, compared by their result
rows.

    {"schema", "query", "reference"} -> {"right", "rows", "why"}

Rows are a multiset: their order counts only if the reference requires one (ORDER BY), column names
never. Numbers are equal up to rounding. Empty tables of the schema are filled with generated rows,
the same for both queries, in which the constants of the reference query occur: with empty tables
every query would be right. Multiple fillings are tried, as two queries can agree on one by chance
(Zhong, Yu, Klein 2020, "Semantic Evaluation for Text-to-SQL with Distilled Test Suites").

The schema comes from a data file and the query from a model, so neither is trusted. SQLite's
authorizer is set before the first statement: a schema may create, change and fill tables, indexes,
views and triggers of the in-memory database, a query may read them, and nothing else is possible
(no second database, no virtual tables, no extensions; only the pragmas that concern the schema).
Limits on steps and on the length of a value end what takes too long or too much, and if the system
has Landlock the process has no access to files at all.
"""

import random
import re
import sqlite3
from collections import Counter
from collections.abc import Callable
from typing import Any

from tunesmith.evaluation.sandbox_worker.confinement import confine_to

NUM_FILLINGS = 4
ROWS_PER_FILLING = 24
MAX_ROWS = 100_000
MAX_STEPS = 100_000_000
STEPS_BETWEEN_CHECKS = 1_000_000
MAX_VALUE_BYTES = 10_000_000
QUERY_ACTIONS = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
"""Actions that a query may perform."""
SCHEMA_ACTIONS = QUERY_ACTIONS | {
    sqlite3.SQLITE_ALTER_TABLE,
    sqlite3.SQLITE_ANALYZE,
    sqlite3.SQLITE_CREATE_INDEX,
    sqlite3.SQLITE_CREATE_TABLE,
    sqlite3.SQLITE_CREATE_TEMP_INDEX,
    sqlite3.SQLITE_CREATE_TEMP_TABLE,
    sqlite3.SQLITE_CREATE_TEMP_TRIGGER,
    sqlite3.SQLITE_CREATE_TEMP_VIEW,
    sqlite3.SQLITE_CREATE_TRIGGER,
    sqlite3.SQLITE_CREATE_VIEW,
    sqlite3.SQLITE_DELETE,
    sqlite3.SQLITE_DROP_INDEX,
    sqlite3.SQLITE_DROP_TABLE,
    sqlite3.SQLITE_DROP_TEMP_INDEX,
    sqlite3.SQLITE_DROP_TEMP_TABLE,
    sqlite3.SQLITE_DROP_TEMP_TRIGGER,
    sqlite3.SQLITE_DROP_TEMP_VIEW,
    sqlite3.SQLITE_DROP_TRIGGER,
    sqlite3.SQLITE_DROP_VIEW,
    sqlite3.SQLITE_INSERT,
    sqlite3.SQLITE_REINDEX,
    sqlite3.SQLITE_SAVEPOINT,
    sqlite3.SQLITE_TRANSACTION,
    sqlite3.SQLITE_UPDATE,
}
"""Actions that a schema may perform in addition."""
SCHEMA_PRAGMAS = frozenset(
    {"defer_foreign_keys", "foreign_keys", "legacy_alter_table", "table_info"}
)
REFUSED_FUNCTIONS = frozenset({"fts3_tokenizer", "load_extension", "readfile", "writefile"})
_LITERAL = re.compile(r"'((?:[^']|'')*)'|\"([^\"]*)\"|(?<![\w.])(\d+(?:\.\d+)?)(?![\w.])")
_ORDER_BY = re.compile(r"\border\s+by\b(?!.*\))", re.IGNORECASE | re.DOTALL)
Rows = list[tuple[Any, ...]]


def make_worker(setup: Any) -> Callable[[Any], Any]:
    """The function that compares one pair of queries."""
    confine_to(None)
    return lambda piece: compare_queries(piece["schema"], piece["query"], piece["reference"])


def compare_queries(schema: str, query: str, reference: str) -> dict[str, Any]:
    """The comparison on every filling. `rows` counts those of the reference, whatever the query
    does: whether a pair can be judged must not depend on the query.

    Errors: ValueError if the schema or the reference itself does not run.
    """
    databases: list[tuple[sqlite3.Connection, Rows]] = []
    for filling in range(NUM_FILLINGS):
        database, is_filled = _build_database(schema, reference, filling)
        try:
            databases.append((database, _fetch_rows(database, reference)))
        except sqlite3.Error as error:
            raise ValueError(f"the reference query does not run: {error}") from None
        if not is_filled:  # nothing was generated, so further fillings would be the same
            break
    why = next(
        filter(
            None,
            (
                _find_mismatch(database, query, reference, expected)
                for database, expected in databases
            ),
        ),
        "",
    )
    return {"right": not why, "rows": sum(len(expected) for _, expected in databases), "why": why}


def _find_mismatch(database: sqlite3.Connection, query: str, reference: str, expected: Rows) -> str:
    """Why the query is wrong on this database; empty if it is right."""
    try:
        predicted = _fetch_rows(database, query)
    except (sqlite3.Error, sqlite3.Warning, UnicodeEncodeError, ValueError, MemoryError) as error:
        return str(error)[:200] or type(error).__name__
    return (
        ""
        if have_same_rows(predicted, expected, is_ordered=_ORDER_BY.search(reference) is not None)
        else "different rows"
    )


def have_same_rows(predicted: Rows, expected: Rows, is_ordered: bool) -> bool:
    """Whether both have the same rows equally often, and in the same order if that matters."""
    ours, theirs = (
        [_normalize_row(row) for row in predicted],
        [_normalize_row(row) for row in expected],
    )
    return ours == theirs if is_ordered else Counter(ours) == Counter(theirs)


def _normalize_row(row: tuple[Any, ...]) -> tuple[Any, ...]:
    # 9 significant digits: sums may be computed in another order.
    return tuple(float(f"{cell:.9g}") if isinstance(cell, int | float) else cell for cell in row)


def _build_database(schema: str, reference: str, filling: int) -> tuple[sqlite3.Connection, bool]:
    """(the database with its empty tables filled, whether any table was filled)."""
    database = _open_database()
    try:
        database.executescript(schema)
        tables = [
            name
            for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        empty = [
            name
            for name in tables
            if database.execute(f"SELECT 1 FROM {_quote_identifier(name)}").fetchone() is None
        ]
        draw = random.Random(filling)
        for name in empty:
            _fill_table(database, name, _extract_constants(reference), draw)
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise ValueError(f"the schema does not run: {error}") from None
    # From here on only reading: the query must not change what the reference has seen.
    database.set_authorizer(_make_authorizer(QUERY_ACTIONS))
    return database, bool(empty)


def _open_database() -> sqlite3.Connection:
    """An empty in-memory database, guarded and limited before its first statement."""
    database = sqlite3.connect(":memory:")
    database.execute("PRAGMA temp_store = MEMORY")  # else temporary tables become files
    database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)  # also blocks VACUUM INTO, which attaches
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    database.set_authorizer(_make_authorizer(SCHEMA_ACTIONS))
    _limit_steps(database)
    return database


def _make_authorizer(allowed: frozenset[int]) -> Callable[..., int]:
    """The authorizer: SQLite calls it for each action while it compiles a statement, also in
    triggers and views."""

    def authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_PRAGMA:
            is_allowed = allowed is SCHEMA_ACTIONS and (first or "").lower() in SCHEMA_PRAGMAS
        elif action == sqlite3.SQLITE_FUNCTION:
            is_allowed = (second or "").lower() not in REFUSED_FUNCTIONS
        else:
            is_allowed = action in allowed
        return sqlite3.SQLITE_OK if is_allowed else sqlite3.SQLITE_DENY

    return authorize


def _fill_table(
    database: sqlite3.Connection, table: str, constants: list[str], draw: random.Random
) -> None:
    """Insert generated rows; those that violate a constraint are skipped."""
    columns = [
        (row[1], row[2].upper())
        for row in database.execute(f"PRAGMA table_info({_quote_identifier(table)})")
    ]
    places = ", ".join("?" for _ in columns)
    for number in range(ROWS_PER_FILLING):
        values = [_generate_value(kind, constants, number, draw) for _, kind in columns]
        database.execute(
            f"INSERT OR IGNORE INTO {_quote_identifier(table)} VALUES ({places})", values
        )


def _generate_value(kind: str, constants: list[str], number: int, draw: random.Random) -> Any:
    """A constant of the query, a number near one, or a small value that other rows and tables also
    have, so that joins match."""
    numbers = [float(constant) for constant in constants if _is_number(constant)]
    if any(word in kind for word in ("INT", "REAL", "FLOA", "DOUB", "NUM", "DEC")):
        near = [one + step for one in numbers for step in (-1, 0, 1)]
        value = draw.choice([*near, float(draw.randrange(6)), float(number)])
        return int(value) if value.is_integer() else value
    texts = [*constants, *(f"w{draw.randrange(6)}" for _ in range(3)), str(draw.randrange(6))]
    return draw.choice(texts)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal() and text.isascii()


def _extract_constants(query: str) -> list[str]:
    return [
        single.replace("''", "'") or double or digits
        for single, double, digits in _LITERAL.findall(query)
    ]


def _quote_identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _limit_steps(database: sqlite3.Connection) -> None:
    """Make the database abort after `MAX_STEPS` further virtual machine steps."""
    steps = 0

    def count_steps() -> int:
        nonlocal steps
        steps += STEPS_BETWEEN_CHECKS
        return int(steps > MAX_STEPS)  # a result other than 0 interrupts the statement

    database.set_progress_handler(count_steps, STEPS_BETWEEN_CHECKS)


def _fetch_rows(database: sqlite3.Connection, query: str) -> Rows:
    _limit_steps(database)
    rows = database.execute(query).fetchmany(MAX_ROWS + 1)
    if len(rows) > MAX_ROWS:
        raise ValueError(f"more than {MAX_ROWS:,} rows")
    return rows
