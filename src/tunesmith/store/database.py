"""The database behind the store: its location, opening, migrations and transactions.

SQLite is the default and serves one machine; a PostgreSQL URL in `TUNESMITH_STORE` serves a team.
Both behave alike:

- A writer takes its lock when its transaction begins (SQLite `BEGIN IMMEDIATE`; PostgreSQL locks
  rows), waits for it at most `lock_seconds`, and readers never wait (SQLite in WAL mode). A SQLite
  transaction that began by reading could not wait to write: SQLite fails it immediately.
  Source: https://www.sqlite.org/lang_transaction.html, https://www.sqlite.org/wal.html
- After a lock wait has timed out, this process remembers it: until a write succeeds, every wait
  lasts only `RETRY_LOCK_SECONDS`, so that a locked store delays a command once and not at every
  write.
- Tables are created under one lock, so that two processes that open a new store concurrently both
  succeed.
- Every failure becomes a `StoreError` that contains no password.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    NullPool,
    create_engine,
    event,
    inspect,
    make_url,
    text,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError

from tunesmith.atomic_io import get_home_folder
from tunesmith.errors import InvalidStoreUrl, MissingExtraError, StoreError, StoreUnavailable
from tunesmith.store.tables import HEAD_REVISION, VERSION_TABLE

CONNECT_SECONDS = 10
"""Timeout for connecting to a PostgreSQL server."""
RETRY_LOCK_SECONDS = 0.05
"""Lock timeout after a previous one has expired."""
RETRY_CONNECT_SECONDS = 2
"""Connection timeout after a previous one has expired; the minimum that libpq accepts."""
_locked_urls: set[URL] = set()
_unreachable_urls: set[URL] = set()
_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x74756E65  # "tune" in ASCII: the key of PostgreSQL's advisory lock
_SQLITE_LOCKED = ("database is locked", "database table is locked", "database schema is locked")
# words in messages of SQLite, PostgreSQL or its driver; slug; what is wrong; what to do
_KNOWN_FAILURES = (
    (
        ("readonly", "unable to open"),
        "unwritable",
        "cannot write to the store",
        "make the folder writable; or set TUNESMITH_HOME or TUNESMITH_STORE to another location",
    ),
    (
        ("not a database", "malformed"),
        "damaged",
        "store is damaged",
        "move the file away; runs can still be read from their folders",
    ),
    (
        ("permission denied",),
        "not-allowed",
        "missing permissions on the store",
        "GRANT USAGE, CREATE ON SCHEMA public TO this user; or give it a database of its own",
    ),
    (
        ("connection", "failed to resolve"),
        "unreachable",
        "database server cannot be reached",
        "check that the server runs and that TUNESMITH_STORE is correct",
    ),
)


class Database:
    """An open database whose schema matches this version of tunesmith."""

    def __init__(self, url: str | None, lock_seconds: float) -> None:
        self._url = _parse_url(url or os.environ.get("TUNESMITH_STORE") or None)
        self._lock_seconds = lock_seconds
        self.location = _hide_password(self._url)
        self.engine = self._create_engine()
        try:
            with self._translate_errors():
                self._migrate_if_needed()
            _unreachable_urls.discard(self._url)
        except BaseException:
            self.engine.dispose()
            raise

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def shorten_lock_wait(self) -> None:
        """Stop waiting for locks: a stop was requested."""
        self._lock_seconds = min(self._lock_seconds, RETRY_LOCK_SECONDS)

    @property
    def lock_seconds(self) -> float:
        """The current lock timeout in seconds."""
        return (
            min(self._lock_seconds, RETRY_LOCK_SECONDS)
            if self._url in _locked_urls
            else self._lock_seconds
        )

    @contextmanager
    def open_read_transaction(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with self._translate_errors(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def open_write_transaction(self) -> Iterator[Connection]:
        """A transaction that writes; rolled back if the block fails."""
        with (
            self._translate_errors(),
            self.engine.execution_options(tunesmith_writes=True).begin() as connection,
        ):
            yield connection
        _locked_urls.discard(self._url)

    def _create_engine(self) -> Engine:
        if self._url.get_backend_name() == "sqlite":
            assert self._url.database is not None
            with self._translate_errors():
                Path(self._url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            engine = create_engine(
                self._url,
                poolclass=NullPool,
                connect_args={"timeout": self.lock_seconds},
                json_deserializer=_read_json,
            )
            event.listen(engine, "connect", self._prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        try:
            options = (
                f"{self._url.query.get('options', '')} -c"
                f" lock_timeout={int(self.lock_seconds * 1000)}"
            )
            reach_seconds = (
                RETRY_CONNECT_SECONDS if self._url in _unreachable_urls else CONNECT_SECONDS
            )
            engine = create_engine(
                self._url,
                pool_pre_ping=True,
                connect_args={"connect_timeout": reach_seconds, "options": options},
            )
        except ImportError:
            raise MissingExtraError("postgres", "A PostgreSQL store") from None
        return engine

    def _prepare_sqlite(self, connection: Any, record: object) -> None:
        connection.isolation_level = None  # transactions are begun explicitly, see `_begin_sqlite`
        connection.execute("PRAGMA foreign_keys = ON")
        # may have been shortened since the engine was created
        connection.execute(f"PRAGMA busy_timeout = {int(self.lock_seconds * 1000)}")
        # Switching to WAL ignores busy_timeout, so this loop does the waiting.
        deadline = time.monotonic() + self.lock_seconds
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except connection.OperationalError as error:
                if not _is_locked(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def _migrate_if_needed(self) -> None:
        with self.engine.begin() as connection:
            if _read_revision(connection) == HEAD_REVISION:
                return
        with self.engine.execution_options(tunesmith_writes=True).begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(
                    text("SELECT pg_advisory_xact_lock(:number)"), {"number": _MIGRATION_LOCK}
                )
            # another process may have migrated while this one waited
            if _read_revision(connection) != HEAD_REVISION:
                self._migrate(connection)

    def _migrate(self, connection: Connection) -> None:
        from alembic import command  # takes 0.1 s to import and is needed once in a store's life
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        config = Config()
        # configparser interpolates %, so a path with one must double it.
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        config.attributes["connection"] = connection
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        present = _read_revision(connection)
        if present is not None and present not in known:
            raise StoreError(
                "newer",
                "store was written by a newer version of tunesmith",
                at=self.location,
                got=f"schema {present}; this version supports up to {HEAD_REVISION}",
                hint="pip install --upgrade tunesmith; or set TUNESMITH_STORE to another store",
            )
        command.upgrade(config, "head")

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Turn database errors into `StoreError`."""
        try:
            yield
        except IntegrityError:
            raise  # a violated constraint: the caller knows what it means
        except (DBAPIError, OSError) as error:
            raise self._convert_error(error) from None
        except SQLAlchemyError as error:
            raise self._make_error(
                "failed", "store error", error, "read the message above; report it if it persists"
            ) from None

    def _convert_error(self, error: DBAPIError | OSError) -> StoreError:
        message = str(error.orig if isinstance(error, DBAPIError) else error).lower()
        if _is_locked(message):
            is_known, waited = self._url in _locked_urls, self.lock_seconds
            _locked_urls.add(self._url)
            what = "store is still locked" if is_known else f"store was locked for {waited:g} s"
            hint = "wait until the other program has finished, then try again"
            return self._make_error("locked", what, error, hint, StoreUnavailable)
        for words, slug, what, hint in _KNOWN_FAILURES:
            if any(word in message for word in words) or (
                slug == "unwritable" and isinstance(error, OSError)
            ):
                if slug == "unreachable":
                    _unreachable_urls.add(self._url)
                    return self._make_error(slug, what, error, hint, StoreUnavailable)
                return self._make_error(slug, what, error, hint)
        return self._make_error(
            "failed",
            "store error",
            error,
            "check the location and its free space, then try again",
        )

    def _make_error(
        self,
        slug: str,
        what: str,
        error: Exception,
        hint: str,
        error_type: type[StoreError] = StoreError,
    ) -> StoreError:
        cause = (
            error.orig
            if isinstance(error, DBAPIError)
            else getattr(error, "strerror", None) or error
        )
        lines = str(cause).strip().splitlines()
        return error_type(
            slug,
            what,
            at=self.location,
            got=_remove_secrets(lines[0] if lines else "", self._url),
            hint=hint,
        )


def _read_json(text: str) -> object:
    """A damaged record must not hide those in the other rows: it becomes a text, which fits no
    record.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return "not JSON"


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("tunesmith_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _read_revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one_or_none()


def _is_locked(error: object) -> bool:
    said = str(error).lower()
    return any(words in said for words in _SQLITE_LOCKED) or "lock timeout" in said


def _parse_url(url: str | None) -> URL:
    """The URL for SQLAlchemy; None is `store.db` in the home folder."""
    if url is None:
        return URL.create("sqlite", database=str((get_home_folder() / "store.db").absolute()))
    refused = InvalidStoreUrl(
        "bad-url",
        "invalid store URL",
        got=(
            f"a {url.partition(':')[0][:20]!r} URL"
            if "://" in url
            else "no scheme such as postgresql://"
        ),
        hint="use postgresql://USER@HOST/DATABASE or sqlite:////absolute/path.db",
    )
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the URL is not shown: it may contain a password
        raise refused from None
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if (
        parsed.drivername == "sqlite"
        and parsed.database
        and parsed.database != ":memory:"
        and not parsed.query
    ):
        return parsed.set(database=str(Path(parsed.database).absolute()))
    raise refused


def _hide_password(url: URL) -> str:
    """The URL without its password and without options, which may contain another."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    # `sslpassword` and `passfile` are query options.
    return url.set(drivername="postgresql", password=None, query={}).render_as_string()


def _remove_secrets(said: str, url: URL) -> str:
    secrets = [
        str(url.password or ""),
        *(str(value) for key, value in url.query.items() if "pass" in key),
    ]
    for secret in filter(None, secrets):
        said = said.replace(secret, "***")
    return said
