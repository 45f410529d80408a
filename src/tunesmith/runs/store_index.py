"""The store as the stages use it: an index of run folders. The folders are the source of truth, so
work continues without it.

Any failure (locked, missing, damaged, of a newer version) is a single warning; the next `tunesmith
runs`, `show` or `resume` updates the store from the folders.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from tunesmith.atomic_io import compute_sha256
from tunesmith.errors import InputError, InvalidStoreUrl, RunError, StoreError, StoreUnavailable
from tunesmith.progress_listener import NULL_LISTENER, ProgressListener
from tunesmith.records import (
    CheckReport,
    ContenderRecord,
    Decision,
    Evaluation,
    Run,
    Split,
    TestSetAccess,
    compute_fingerprint,
)
from tunesmith.records.test_set_access import fingerprint_test_set
from tunesmith.runs.run_folder import RunFolder
from tunesmith.runs.training_data import remove_training_data
from tunesmith.store.database import RETRY_LOCK_SECONDS
from tunesmith.store.store import Store
from tunesmith.store.stored_records import Artifact, StoredRun

T = TypeVar("T")


class StoreIndex:
    """The store, or nothing if it cannot be used: then reads return nothing and writes are left to
    a later command.
    """

    def __init__(self, listener: ProgressListener) -> None:
        self._listener = listener
        self._store: Store | None = None
        self._is_unavailable = False
        self._is_reported = False
        self._is_hurried = False

    @classmethod
    @contextmanager
    def open(cls, listener: ProgressListener = NULL_LISTENER) -> Iterator["StoreIndex"]:
        """Open the store for a block. Errors: `StoreError` for an invalid URL,
        `MissingExtraError`.
        """
        index = cls(listener)
        try:
            index._attempt(lambda store: None, None)
            yield index
        finally:
            index._close()

    def list_runs(self, limit: int) -> list[StoredRun]:
        """The newest runs that can be read."""
        return self._attempt(
            lambda store: [row for row in store.list_runs(limit) if isinstance(row, StoredRun)], []
        )

    def list_test_set_accesses(self, test: str) -> list[TestSetAccess]:
        """Every recorded access to the test set with this fingerprint."""
        return self._attempt(lambda store: store.list_test_set_accesses(test), [])

    def list_artifacts(self, run: str) -> list[Artifact]:
        """The artifacts of a run."""
        return self._attempt(lambda store: store.list_artifacts(run=run), [])

    def add_test_set_accesses(
        self, accesses: Sequence[TestSetAccess], folder: RunFolder | None = None
    ) -> None:
        """Record accesses to a test set, by the run in this folder."""

        def add(store: Store) -> None:
            if folder is not None and store.find_run_folder(folder.id) is None:
                record_folder(store, folder)  # the store was replaced since the run began
            store.add_test_set_accesses(accesses)

        self._attempt(add, None)

    def add_artifact(self, artifact: Artifact, folder: RunFolder) -> None:
        """Record an artifact of a run outside its folder."""

        def add(store: Store) -> None:
            record_folder(store, folder)
            store.add_artifact(artifact)

        self._attempt(add, None)

    def refresh(self, folder: RunFolder) -> None:
        """As `refresh_store`."""
        self._attempt(lambda store: refresh_store(store, folder.path), None)

    def record_run(self, folder: RunFolder) -> bool:
        """Make the store agree with the folder of a run; True if it did not before. Retries a store
        that failed.
        """
        self._is_unavailable = False
        return self._attempt(lambda store: record_folder(store, folder), False)

    def shorten_lock_wait(self) -> None:
        """Stop waiting for locks: a stop was requested, and the next command enters what is
        missing.
        """
        self._is_hurried = True

    def _attempt(self, action: Callable[[Store], T], otherwise: T) -> T:
        """The result of `action`, or `otherwise` if the store fails twice."""
        for is_last in (False, True):
            if self._is_unavailable:
                break
            try:
                return action(self._opened())
            except InvalidStoreUrl:
                raise  # a wrong setting of the user is reported before any work begins
            except StoreError as error:
                # A new connection may succeed where the old one failed: there is a second attempt,
                # but none where each takes long.
                self._close()
                self._is_unavailable = is_last or isinstance(error, StoreUnavailable)
                if self._is_unavailable and not self._is_reported:
                    self._is_reported = True
                    self._listener.warn(
                        "store/left-out",
                        f"run not recorded in the store: {error.summary}; the run folder "
                        "is complete, and `tunesmith runs` records it later",
                    )
        return otherwise

    def _opened(self) -> Store:
        if self._store is None:
            self._store = (
                Store.open(lock_seconds=RETRY_LOCK_SECONDS) if self._is_hurried else Store.open()
            )
        elif self._is_hurried:
            self._store.shorten_lock_wait()
        return self._store

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None


def record_folder(store: Store, folder: RunFolder) -> bool:
    """Make the store agree with the folder of a run; True if it did not before. Existing entries
    stay.

    A copy of a folder that the store knows elsewhere is not entered. Errors: `RunError`,
    `StoreError`.
    """
    run = folder.read(Run)
    known = store.find_run_folder(run.id)
    if known is not None and Path(known) != folder.path and Path(known).is_dir():
        return False
    is_new = store.put_run(run, folder.path)
    if folder.has(CheckReport):
        store.add_dataset(folder.read(CheckReport).dataset)
    for artifact in list_folder_artifacts(folder, run):
        store.add_artifact(artifact)
    if folder.has(Evaluation):
        store.add_evaluation(folder.read(Evaluation), run.id)
    if run.command != "train" and folder.has(Split):
        store.add_test_set_accesses(_list_missing_accesses(store, folder, run))
    return is_new


def list_folder_artifacts(folder: RunFolder, run: Run) -> list[Artifact]:
    """The artifacts of a run: its adapter or model, and its reports once there is a verdict."""
    found = []
    for place in (folder.adapter, folder.model):
        if run.adapter_files and place.is_dir():
            size = sum(path.stat().st_size for path in place.iterdir() if path.is_file())
            sha256 = compute_fingerprint(run.adapter_files)
            found.append(
                Artifact(
                    kind=place.name, path=str(place), sha256=sha256, size_bytes=size, run=run.id
                )
            )
    if folder.has(Decision):
        reports = [folder.path / f"report.{ending}" for ending in ("html", "md", "json")]
        found += [build_artifact("report", path, run.id) for path in reports if path.is_file()]
    return found


def build_artifact(kind: str, path: Path, run: str) -> Artifact:
    """A file, or a folder identified by the hash of its file list, as the store records it."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    hashes = {file.relative_to(path).as_posix(): compute_sha256(file) for file in files}
    sha256 = compute_fingerprint(hashes) if path.is_dir() else next(iter(hashes.values()))
    size = sum(file.stat().st_size for file in files)
    return Artifact(kind=kind, path=str(path.absolute()), sha256=sha256, size_bytes=size, run=run)


def _list_missing_accesses(store: Store, folder: RunFolder, run: Run) -> list[TestSetAccess]:
    """Test-set accesses of contenders whose answers are in the folder but that the store does not
    have.
    """
    test = fingerprint_test_set(folder.read(Split).test)
    known = {look.contender for look in store.list_test_set_accesses(test) if look.run == folder.id}
    looks = []
    for name in folder.list_contenders():
        if name in known:
            continue
        with suppress(RunError):  # damaged: the contender will be run again
            folder.read_record(ContenderRecord, f"answers/{name}.json")
            answers = folder.read_answers(name).records
            # The exact time was lost with the store; the file's modification time is close to it.
            at = (folder.path / "answers" / f"{name}.jsonl").stat().st_mtime
            when = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
            looks.append(
                TestSetAccess(
                    test_set=test,
                    contender=name,
                    run=folder.id,
                    accessed_at=when,
                    n=len(answers),
                    purpose=run.command,
                )
            )
    return looks


def remove_training_files(folder: RunFolder, run: Run) -> bool:
    """Remove what only training needs once it is finished; the caller holds the lock. True if there
    was something.
    """
    if run.status != "finished" or not has_training_files(folder):
        return False
    from tunesmith.engine.checkpoint import Checkpoints

    folder.remove_temporaries()
    Checkpoints(folder.checkpoints).clear()
    remove_training_data(folder)
    return True


def has_training_files(folder: RunFolder) -> bool:
    """Whether the folder holds files that only training needs."""
    return folder.checkpoints.is_dir() or (folder.path / "lesson").is_dir()


def refresh_store(store: Store, place: Path) -> Run | None:
    """The run of a folder, after store and folder were updated; None if it cannot be read."""
    try:
        folder = RunFolder.open(place)
        run = folder.read(Run)
        record_folder(store, folder)
        if run.status == "finished" and has_training_files(folder):
            with folder.lock():
                remove_training_files(folder, run)
    except InputError:  # in use, damaged or missing: the caller shows the store's entry
        return None
    return run


def add_unknown_runs(store: Store, places: Sequence[Path]) -> None:
    """Enter every run below these folders that the store does not know, for example after the store
    was lost.
    """
    known = set(store.list_run_ids())
    for place in dict.fromkeys(path.absolute() for path in places):
        for folder in RunFolder.list_all(place):
            if folder.id not in known:
                refresh_store(store, folder.path)
