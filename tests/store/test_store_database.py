"""What goes wrong with a database is one message with what to do, and never a password."""

import sqlite3
import stat
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError

from tunesmith.errors import MissingExtraError, StoreError
from tunesmith.store import database as database_module
from tunesmith.store.database import RETRY_LOCK_SECONDS, Database
from tunesmith.store.store import Store
from tunesmith.store.stored_records import UnreadableRun
from tunesmith.store.tables import HEAD_REVISION, VERSION_TABLE, Table
from tunesmith.testing.store_conformance import (
    make_artifact,
    make_dataset,
    make_run,
    make_test_set_access,
)

NOWHERE = "postgresql://tuner:{password}@127.0.0.1:1/x"  # nobody listens on port 1


def refusal(url: str | None = None) -> StoreError:
    with pytest.raises(StoreError) as caught:
        Store.open(url)
    return caught.value


# --- where the store is
# -----------------------------------------------------------------------------------------------


def test_by_default_it_lies_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "new" / "home"))
    monkeypatch.delenv("TUNESMITH_STORE", raising=False)
    Store.open().close()
    assert (tmp_path / "new" / "home" / "store.db").is_file()


def test_the_environment_names_another_and_the_argument_beats_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_STORE", f"sqlite:///{tmp_path}/env.db")
    Store.open().close()
    Store.open(f"sqlite:///{tmp_path}/argument.db").close()
    assert {path.name for path in tmp_path.glob("*.db")} == {"env.db", "argument.db"}


def test_sqlite_is_opened_for_many_readers_and_true_references(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/s.db", 5)
    with database.open_read_transaction() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() == 5_000


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:hunter2@h/x",
        "postgresql+asyncpg://u:hunter2@h/x",
        "sqlite://",
        "sqlite:///:memory:",
        "store.db",
        "sqlite:///x.db?mode=hunter2",
        "postgresql://u:hunter2@h:port/x",
        "://hunter2",
        "hunter2",
    ],
)
def test_what_is_no_store_is_refused_without_showing_it(url: str) -> None:
    error = refusal(url)
    assert error.code == "store/bad-url"
    assert "hunter2" not in str(error)
    assert "postgresql://USER@HOST/DATABASE" in error.hint


# --- the tables
# --------------------------------------------------------------------------------------------------


def test_the_migrations_build_exactly_the_tables(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/s.db", 5)
    with database.open_read_transaction() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, Table.metadata) == []
        assert context.get_current_revision() == HEAD_REVISION


def test_head_names_the_newest_migration() -> None:
    config = Config()
    config.set_main_option(
        "script_location", str(Path(database_module.__file__).parent / "migrations")
    )
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD_REVISION


def test_a_store_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    with Store.open(url) as store:
        store.add_dataset(make_dataset())
    old = sqlite3.connect(tmp_path / "s.db")
    old.execute("DROP TABLE looks")  # what revision 0001 did not have
    old.execute(f"UPDATE {VERSION_TABLE} SET version_num = '0001'")
    old.commit()
    old.close()
    with Store.open(url) as store:
        store.add_test_set_accesses([make_test_set_access(None)])
        assert store.list_test_set_accesses(make_test_set_access(None).test_set) == [
            make_test_set_access(None)
        ]
        assert store.list_datasets() == [make_dataset()]


def test_opening_again_needs_no_alembic_and_takes_no_write_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    Store.open(url).close()
    monkeypatch.setitem(sys.modules, "alembic", None)
    other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    Store.open(url, lock_seconds=0.1).close()
    other.close()


# --- what goes wrong
# --------------------------------------------------------------------------------------------------


def test_a_place_that_cannot_be_written_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    error = refusal(f"sqlite:///{tmp_path}/file/store.db")
    assert error.code == "store/unwritable"
    assert error.at == f"{tmp_path}/file/store.db"
    assert "TUNESMITH_HOME" in error.hint


def test_a_folder_in_place_of_the_file_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "store.db").mkdir()
    assert refusal(f"sqlite:///{tmp_path}/store.db").code == "store/unwritable"


@pytest.mark.parametrize(
    ("said", "slug"),
    [
        ("attempt to write a readonly database", "unwritable"),
        ("unable to open database file", "unwritable"),
        ("database disk image is malformed", "damaged"),
        ("permission denied for schema public", "not-allowed"),
        (
            "failed to resolve host 'no.such.host': [Errno -2] Name or service not known",
            "unreachable",
        ),
        ("server closed the connection unexpectedly", "unreachable"),
        ("database is locked", "locked"),
        ("canceling statement due to lock timeout", "locked"),
        ("database or disk is full", "failed"),
    ],
)
def test_what_fails_later_is_one_message_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, slug: str
) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/store.db")

    def fail(*_: object) -> None:
        raise DBAPIError("", None, sqlite3.OperationalError(said))

    monkeypatch.setattr("sqlalchemy.engine.base.Connection.execute", fail)
    with pytest.raises(StoreError) as caught:
        store.add_dataset(make_dataset())
    assert (caught.value.code, caught.value.got) == (f"store/{slug}", said)
    assert caught.value.hint


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"precious notes " * 100)
    assert refusal(f"sqlite:///{path}").code == "store/damaged"
    assert path.read_bytes() == b"precious notes " * 100


def test_somebody_elses_tables_are_left_as_they_are(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute("CREATE TABLE runs (theirs)")
    connection.close()
    assert refusal(f"sqlite:///{tmp_path}/store.db").code == "store/failed"
    connection = sqlite3.connect(tmp_path / "store.db")
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    connection.close()
    assert names == [("runs",)]


def test_an_artifact_of_no_run_is_told_by_the_runs_name(tmp_path: Path) -> None:
    with (
        Store.open(f"sqlite:///{tmp_path}/s.db") as store,
        pytest.raises(StoreError, match="'nobody'"),
    ):
        store.add_artifact(make_artifact("nobody"))


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError) as caught:
        Store.open("postgresql://h/x")
    assert caught.value.hint == 'pip install "tunesmith[postgres]"'


@pytest.mark.parametrize("damage", ['{"id": ', "", "\x00", "[[[[", "NaN,", "[" * 100_000])
def test_a_record_that_is_no_json_is_one_message(tmp_path: Path, damage: str) -> None:
    """A flipped bit or a program that wrote there ended with 70 and hid all rows."""
    with Store.open(f"sqlite:///{tmp_path}/s.db") as store:
        store.add_dataset(make_dataset())
        store.put_run(make_run(), tmp_path)
        other = sqlite3.connect(tmp_path / "s.db")
        for table in ("runs", "datasets"):
            other.execute(f"UPDATE {table} SET record = ?", (damage,))
        other.commit()
        other.close()
        (row,) = store.list_runs()
        assert isinstance(row, UnreadableRun) and row.id == make_run().id
        with pytest.raises(StoreError) as caught:
            store.list_datasets()
        assert caught.value.code == "store/unreadable-record"


# --- passwords
# --------------------------------------------------------------------------------------------------


def test_a_server_that_does_not_answer_is_one_message() -> None:
    error = refusal(NOWHERE.format(password="hunter2") + "?sslpassword=hunter3&options=-cx=hunter4")
    assert error.code == "store/unreachable"
    assert error.at == "postgresql://tuner:***@127.0.0.1:1/x"
    assert "hunter" not in str(error) + repr(error.as_dict())


@settings(max_examples=30, deadline=None)
@given(
    st.text(
        st.characters(min_codepoint=33, exclude_categories=["Cs", "Zs", "Cn"]),
        min_size=8,
        max_size=20,
    )
)
def test_no_password_appears_in_a_message(password: str) -> None:
    url = URL.create("postgresql", "tuner", password, "127.0.0.1", 1, "x").render_as_string(
        hide_password=False
    )
    told = str(refusal(url))
    assert password not in told
    assert url not in told


def test_a_password_that_the_driver_repeats_is_blotted_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DBAPIError("", None, Exception("connection failed for hunter2 with hunter3"))

    monkeypatch.setattr("sqlalchemy.engine.Engine.begin", fail)
    error = refusal(NOWHERE.format(password="hunter2") + "?sslpassword=hunter3")
    assert error.got == "connection failed for *** with ***"


def test_a_new_store_is_its_owners_alone(tmp_path: Path) -> None:
    Store.open(f"sqlite:///{tmp_path}/new/s.db").close()
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_a_lock_that_was_waited_for_in_vain_is_not_waited_for_again_until_a_writer_succeeds(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    with Store.open(url, lock_seconds=0.2) as store:
        with sqlite3.connect(tmp_path / "s.db", isolation_level=None) as holder:
            holder.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match=r"was locked for 0\.2 s"):
                store.add_dataset(make_dataset())
            with pytest.raises(StoreError, match="still locked"):
                store.add_dataset(make_dataset())
            another = Database(url, 0.2)  # of the same command
            with another.open_read_transaction() as connection:
                assert (
                    connection.execute(text("PRAGMA busy_timeout")).scalar_one()
                    == 1000 * RETRY_LOCK_SECONDS
                )
        holder.close()
        store.add_dataset(make_dataset())
        with another.open_read_transaction() as connection:
            assert connection.execute(text("PRAGMA busy_timeout")).scalar_one() == 200


def test_who_was_asked_to_stop_waits_for_no_lock(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/s.db", 10.0)
    assert database.lock_seconds == 10.0
    database.shorten_lock_wait()
    with database.open_read_transaction() as connection:
        assert (
            connection.execute(text("PRAGMA busy_timeout")).scalar_one()
            == 1000 * RETRY_LOCK_SECONDS
        )
