"""The store: records in, records out.

    with Store.open() as store:
        store.put_run(run, folder)
        store.list_runs(limit=20)

Adding an existing entry changes nothing, so repeating a step after a crash does no harm.
"""

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from pydantic import ValidationError
from sqlalchemy import Row, Select, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from tunesmith.errors import RunNotFound, StoreError, truncate_list
from tunesmith.records import DatasetInfo, Evaluation, Record, Run, TestSetAccess
from tunesmith.store.database import Database
from tunesmith.store.stored_records import Artifact, StoredRun, UnreadableRun
from tunesmith.store.tables import (
    ArtifactRow,
    DatasetRow,
    EvaluationRow,
    RunRow,
    Table,
    TestSetAccessRow,
)

RecordT = TypeVar("RecordT", bound=Record)
# The dialects' own insert: SQLAlchemy's generic one has no "on conflict do nothing".
_Insert = Callable[[type[Table]], sqlite.Insert | postgresql.Insert]
_INSERT_BY_DIALECT: dict[str, _Insert] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class Store:
    """Data sets, runs, evaluations, artifacts and test-set accesses. A context manager; create it
    with `open`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, url: str | None = None, *, lock_seconds: float = 10.0) -> Self:
        """The store at this URL, else at `$TUNESMITH_STORE`, else `store.db` in the home folder;
        created if new.

        Errors: `StoreError` if it cannot be opened or is newer; `MissingExtraError` without
        PostgreSQL's driver.
        """
        return cls(Database(url, lock_seconds))

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def shorten_lock_wait(self) -> None:
        """Stop waiting for locks: a stop was requested."""
        self._database.shorten_lock_wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def add_dataset(self, dataset: DatasetInfo) -> None:
        """Store a data set under its fingerprint."""
        self._insert(
            DatasetRow,
            id=dataset.fingerprint,
            name=dataset.name,
            content=dataset.content,
            added=_get_utc_now(),
            record=dataset.model_dump(mode="json"),
        )

    def list_datasets(self, limit: int = 100) -> list[DatasetInfo]:
        """The data sets, newest first."""
        query = (
            select(DatasetRow.record).order_by(DatasetRow.added.desc(), DatasetRow.id).limit(limit)
        )
        return [_validate_record(DatasetInfo, row.record) for row in self._fetch_rows(query)]

    def put_run(self, run: Run, folder: Path) -> bool:
        """Insert or update a run and the place of its folder; True if anything changed."""
        entry = StoredRun(run=run, folder=str(folder.absolute()))
        columns = {**_build_run_columns(run), "folder": entry.folder}
        insert = _INSERT_BY_DIALECT[self._database.engine.dialect.name](RunRow).values(
            id=run.id, **columns
        )
        with self._database.open_write_transaction() as connection:
            known = connection.execute(
                select(RunRow.record, RunRow.folder).where(RunRow.id == run.id)
            ).first()
            connection.execute(
                insert.on_conflict_do_update(index_elements=[RunRow.id], set_=columns)
            )
        return known is None or (known.record, known.folder) != (columns["record"], entry.folder)

    def list_runs(
        self, limit: int = 20, within: Path | None = None
    ) -> list[StoredRun | UnreadableRun]:
        """The runs, newest first; only those in or below the folder `within`, if given. An
        unreadable one does not hide the others.
        """
        query = select(RunRow.id, RunRow.created, RunRow.record, RunRow.folder)
        if within is not None:
            place = str(within.absolute())
            below = f"{place.rstrip(os.sep)}{os.sep}"
            # substr and not LIKE, in which % and _ of a folder's name are wildcards
            is_below = func.substr(RunRow.folder, 1, len(below)) == below
            query = query.where((RunRow.folder == place) | is_below)
        rows = self._fetch_rows(
            query.order_by(RunRow.created.desc(), RunRow.id.desc()).limit(limit)
        )
        return [_build_stored_run(row) for row in rows]

    def list_run_ids(self) -> list[str]:
        """The ids of all runs."""
        return [row.id for row in self._fetch_rows(select(RunRow.id))]

    def find_run_folder(self, run: str) -> str | None:
        """The folder of the run with exactly this id; None if unknown."""
        found = self._fetch_rows(select(RunRow.folder).where(RunRow.id == run))
        return found[0].folder if found else None

    def get_run(self, id_or_prefix: str) -> StoredRun:
        """The run with this id, or the only one whose id begins with it.

        Errors: `StoreError` if there is none, or more than one, or its row cannot be read.
        """
        row = self._find_run_row(id_or_prefix)
        return StoredRun(run=_validate_record(Run, row.record), folder=row.folder)

    def get_run_folder(self, id_or_prefix: str) -> str:
        """The folder of that run, even if its row cannot be read. Errors: as `get_run`."""
        return str(self._find_run_row(id_or_prefix).folder)

    def _find_run_row(self, id_or_prefix: str) -> Row[Any]:
        query = select(RunRow.id, RunRow.record, RunRow.folder).order_by(RunRow.id)
        begins_so = RunRow.id.startswith(id_or_prefix, autoescape=True)
        # SQLite's LIKE ignores case, hence the second filter.
        found = [
            row
            for row in self._fetch_rows(query.where(begins_so))
            if row.id.startswith(id_or_prefix)
        ]
        exact = [row for row in found if row.id == id_or_prefix]
        if len(exact or found) == 1:
            return (exact or found)[0]
        if not found or not id_or_prefix:
            raise self._make_no_run_error(id_or_prefix)
        raise StoreError(
            "ambiguous",
            f"{len(found):,} runs begin with {id_or_prefix!r}",
            at=self._database.location,
            got=truncate_list([row.id for row in found]),
            hint="give more characters of the id",
        )

    def add_evaluation(self, evaluation: Evaluation, run: str) -> None:
        """Store the evaluation of a run. Errors: `StoreError` if the store does not have that
        run.
        """
        self._insert(
            EvaluationRow,
            run=run,
            fingerprint=evaluation.fingerprint,
            metric=evaluation.metric,
            added=_get_utc_now(),
            record=evaluation.model_dump(mode="json"),
        )

    def list_evaluations(self, run: str) -> list[Evaluation]:
        """The evaluations of a run, oldest first."""
        query = select(EvaluationRow.record).where(EvaluationRow.run == run)
        query = query.order_by(EvaluationRow.added, EvaluationRow.fingerprint)
        return [_validate_record(Evaluation, row.record) for row in self._fetch_rows(query)]

    def add_artifact(self, artifact: Artifact) -> None:
        """Store an artifact, replacing an earlier one of the same run, kind and path.

        Errors: `StoreError` if the store does not have the run that it names.
        """
        columns = artifact.model_dump(mode="json")
        if artifact.run is not None:
            same = [getattr(ArtifactRow, name) == columns[name] for name in ("run", "kind", "path")]
            with self._database.open_write_transaction() as connection:
                connection.execute(
                    delete(ArtifactRow).where(*same, ArtifactRow.id != artifact.fingerprint)
                )
        self._insert(
            ArtifactRow, **columns, id=artifact.fingerprint, added=_get_utc_now(), record=columns
        )

    def list_artifacts(self, run: str | None = None, kind: str | None = None) -> list[Artifact]:
        """The artifacts of a run, of a kind, or both; oldest first."""
        query = select(ArtifactRow.record).order_by(ArtifactRow.added, ArtifactRow.id)
        if run is not None:
            query = query.where(ArtifactRow.run == run)
        if kind is not None:
            query = query.where(ArtifactRow.kind == kind)
        return [_validate_record(Artifact, row.record) for row in self._fetch_rows(query)]

    def add_test_set_accesses(self, accesses: Sequence[TestSetAccess]) -> None:
        """Store accesses to test sets: all of them, or none.

        Errors: `StoreError` if the store does not have a run that one names.
        """
        rows = []
        for look in accesses:
            record = look.model_dump(mode="json")
            columns = {
                "test": look.test_set,
                "contender": look.contender,
                "run": look.run,
                "at": look.accessed_at,
            }
            rows.append({**columns, "id": look.fingerprint, "record": record})
        if rows:
            self._insert_all(TestSetAccessRow, rows)

    def list_test_set_accesses(self, test: str) -> list[TestSetAccess]:
        """Every access to the test set with this `fingerprint_test_set`, oldest first."""
        query = (
            select(TestSetAccessRow.record)
            .where(TestSetAccessRow.test == test)
            .order_by(TestSetAccessRow.at, TestSetAccessRow.contender, TestSetAccessRow.id)
        )
        return [_validate_record(TestSetAccess, row.record) for row in self._fetch_rows(query)]

    def _fetch_rows(self, query: Select[Any]) -> list[Row[Any]]:
        with self._database.open_read_transaction() as connection:
            return list(connection.execute(query))

    def _insert(self, table: type[Table], **columns: Any) -> None:
        self._insert_all(table, [columns])

    def _insert_all(self, table: type[Table], rows: Sequence[dict[str, Any]]) -> None:
        insert = _INSERT_BY_DIALECT[self._database.engine.dialect.name]
        columns = rows[0]
        try:
            with self._database.open_write_transaction() as connection:
                for columns in rows:
                    connection.execute(insert(table).values(**columns).on_conflict_do_nothing())
        except IntegrityError:  # the only remaining constraint is the foreign key to the run
            raise self._make_no_run_error(columns["run"]) from None

    def _make_no_run_error(self, id_or_prefix: str) -> RunNotFound:
        return RunNotFound(
            "no-such-run",
            f"run {id_or_prefix[:80]!r} is not in the store",
            at=self._database.location,
            hint="see `tunesmith runs`",
        )


def _build_run_columns(run: Run) -> dict[str, Any]:
    return {
        "created": run.created,
        "status": run.status,
        "dataset": run.dataset,
        "model": ", ".join(run.model_names),
        "record": run.model_dump(mode="json"),
    }


def _build_stored_run(row: Row[Any]) -> StoredRun | UnreadableRun:
    try:
        return StoredRun(run=_validate_record(Run, row.record), folder=row.folder)
    except StoreError as error:
        return UnreadableRun(id=row.id, created=row.created, folder=row.folder, got=error.got)


def _validate_record(kind: type[RecordT], record: dict[str, Any]) -> RecordT:
    try:
        return kind.model_validate(record)
    except ValidationError as error:
        raise StoreError(
            "unreadable-record",
            f"store contains a {kind.__name__.lower()} record that this version of tunesmith "
            "cannot read",
            got=f"{'.'.join(map(str, error.errors()[0]['loc']))}: {error.errors()[0]['msg']}",
            hint=(
                "use the tunesmith version that created it; or move the store away: "
                "`tunesmith runs` indexes the run folders again"
            ),
        ) from None


def _get_utc_now() -> str:
    return datetime.now(UTC).isoformat()
