"""What every store must do, as a test class: SQLite and PostgreSQL subclass it and provide the
`url` of an empty database.

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def url(self) -> str: ...
"""

import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from sqlalchemy import text

from tunesmith.errors import RunNotFound, StoreError, StoreUnavailable
from tunesmith.records import (
    Contender,
    DatasetInfo,
    Evaluation,
    Machine,
    ModelIdentity,
    Quantity,
    Run,
    SourceFile,
    TestSetAccess,
)
from tunesmith.store.database import Database
from tunesmith.store.store import Store
from tunesmith.store.stored_records import Artifact, StoredRun, UnreadableRun
from tunesmith.store.tables import VERSION_TABLE

SPECIAL_CHARACTERS = "name with 'quotes', \"more\", %s, a\ttab, é, 漢, 🙂, \u2028 and \\"


def make_run(number: int = 1, run_id: str | None = None, **changed: object) -> Run:
    """A run; a higher number is a later one."""
    run = Run(
        id=run_id or f"20260101-0000{number:02}-names-{number:06x}",
        created=f"2026-01-01T00:00:{number:02}+00:00",
        status="running",
        recipe="r" * 64,
        dataset="d" * 64,
        split="s" * 64,
        prepared={"train": "t"},
        model=ModelIdentity(
            name=SPECIAL_CHARACTERS,
            source="folder",
            revision=None,
            folder="/m",
            files={"a": "b"},
            parameters=2**40,
        ),
        machine=Machine(platform="p", processor="c", cores=2, memory_bytes=2**40, accelerator=None),
        versions={"python": "3.11"},
        seeds={"recipe": 0},
    )
    return run.replace(**changed)


def make_dataset(name: str = SPECIAL_CHARACTERS, examples: int = 3) -> DatasetInfo:
    """A data set with special characters in its name."""
    file = SourceFile(path="/d.jsonl", sha256="0" * 64, size_bytes=2**40, examples=examples)
    return DatasetInfo(
        name=name,
        format="messages",
        files=(file,),
        columns={"b": "1", "a": "2"},
        examples=examples,
        content="c" * 64,
    )


def make_evaluation(value: float = 0.1 + 0.2) -> Evaluation:
    """An evaluation with floats and text that are easily damaged by a database."""
    contender = Contender(
        name="tuned",
        kind="tuned",
        description="nothing",
        metrics={"f1": Quantity(value=value, low=5e-324, high=1.7976931348623157e308, n=7)},
        seconds_per_request=1 / 3,
        tokens_in_per_request=1.0,
        tokens_out_per_request=1.0,
        usd_per_1000=1e-7,
    )
    return Evaluation(
        task="t",
        scorer="json",
        scorer_reason="NUL \0 and " + SPECIAL_CHARACTERS,
        metric="f1",
        examples=("a", "b"),
        contenders=(contender,),
        comparisons=(),
        machine_usd_per_hour=0.1,
    )


def make_artifact(run: str | None, kind: str = "adapter", name: str = "a") -> Artifact:
    """An artifact of a run."""
    return Artifact(kind=kind, path=f"/runs/{name}", sha256="0" * 64, size_bytes=2**40, run=run)


def make_test_set_access(
    run: str | None, contender: str = "tuned", second: int = 0, test: str = "t" * 64
) -> TestSetAccess:
    """An access to a test set."""
    at = f"2026-01-01T00:00:{second:02}+00:00"
    return TestSetAccess(
        test_set=test, contender=contender, run=run, accessed_at=at, n=80, purpose="decide"
    )


def open_after_barrier(url: str, ready: Barrier, number: int) -> None:
    """The work of each process in a race."""
    ready.wait(60)
    with Store.open(url) as store:
        store.add_dataset(make_dataset())
        for each in range(5):
            store.put_run(make_run(number * 10 + each), Path(f"/runs/{number}"))


@contextmanager
def hold_write_lock(url: str) -> Iterator[None]:
    """Another client is in the middle of a write transaction."""
    database = Database(url, 5)
    with database.open_write_transaction() as connection:
        # PostgreSQL locks rows; this locks whole tables
        if connection.dialect.name == "postgresql":
            connection.execute(text("LOCK TABLE datasets, runs IN SHARE ROW EXCLUSIVE MODE"))
        yield
    database.close()


class StoreConformance:
    """Subclass it and provide `url`."""

    @pytest.fixture
    def url(self) -> str:
        """The URL of an empty database that no other test uses."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, url: str) -> Iterator[Store]:
        """A new store."""
        with Store.open(url) as store:
            yield store

    def test_records_come_back_equal(self, store: Store) -> None:
        run, dataset, evaluation = make_run(), make_dataset(), make_evaluation()
        store.add_dataset(dataset)
        store.put_run(run, Path("relative/folder"))
        store.add_evaluation(evaluation, run.id)
        store.add_artifact(make_artifact(run.id))
        assert store.list_datasets() == [dataset]
        assert store.list_datasets()[0].fingerprint == dataset.fingerprint
        assert store.list_runs() == [StoredRun(run=run, folder=str(Path.cwd() / "relative/folder"))]
        assert store.list_evaluations(run.id) == [evaluation]
        assert store.list_evaluations(run.id)[0].fingerprint == evaluation.fingerprint
        assert store.list_artifacts() == [make_artifact(run.id)]

    def test_adding_twice_changes_nothing(self, store: Store) -> None:
        run = make_run()
        for _ in range(2):
            store.add_dataset(make_dataset())
            store.put_run(run, Path("/runs/a"))
            store.add_evaluation(make_evaluation(), run.id)
            store.add_artifact(make_artifact(run.id))
        counts = [
            len(found)
            for found in (
                store.list_datasets(),
                store.list_runs(),
                store.list_evaluations(run.id),
                store.list_artifacts(),
            )
        ]
        assert counts == [1, 1, 1, 1]

    def test_what_was_added_is_there_after_opening_again(self, url: str) -> None:
        with Store.open(url) as store:
            store.put_run(make_run(), Path("/runs/a"))
        with Store.open(url) as store:
            assert store.get_run(make_run().id).run == make_run()

    def test_a_run_goes_on(self, store: Store) -> None:
        run = make_run()
        store.put_run(run, Path("/runs/a"))
        store.put_run(run.replace(status="finished"), Path("/runs/a"))
        assert store.get_run(run.id).run.status == "finished"
        assert store.get_run(run.id).folder == "/runs/a"

    def test_a_run_that_moved_or_went_on_stands_in_the_place_of_what_was_known(
        self, store: Store
    ) -> None:
        assert store.put_run(make_run(), Path("/runs/a"))
        assert not store.put_run(make_run(), Path("/runs/a")), "nothing is new"
        for run, folder in ((make_run(), "/runs/b"), (make_run(status="failed"), "/runs/b")):
            assert store.put_run(run, Path(folder))
            assert store.list_runs() == [StoredRun(run=run, folder=folder)]
        assert (store.find_run_folder(make_run().id), store.find_run_folder("nobody")) == (
            "/runs/b",
            None,
        )
        assert store.list_run_ids() == [make_run().id]

    def test_a_run_that_was_never_added_is_an_error(self, store: Store) -> None:
        attempts = (
            lambda: store.get_run(make_run().id),
            lambda: store.get_run(""),
            lambda: store.add_evaluation(make_evaluation(), "nobody"),
            lambda: store.add_artifact(make_artifact("nobody")),
        )
        for attempt in attempts:
            with pytest.raises(StoreError) as caught:
                attempt()
            assert type(caught.value) is RunNotFound
        assert store.list_artifacts() == []

    def test_runs_come_newest_first(self, store: Store) -> None:
        for number in (2, 3, 1):
            store.put_run(make_run(number), Path("/runs/a"))
        expected = [StoredRun(run=make_run(number), folder="/runs/a") for number in (3, 2, 1)]
        assert store.list_runs() == expected
        assert store.list_runs(limit=1) == expected[:1]

    def test_runs_of_a_folder_are_those_in_it_and_below_it(self, store: Store) -> None:
        places = ("/a/runs", "/a", "/a%", "/A/runs", "/a_/runs", "/ab/runs", "/b/a/runs")
        for number, place in enumerate(places):
            store.put_run(make_run(number, f"r{number}"), Path(place))
        found = {
            place: [row.folder for row in store.list_runs(within=Path(place))]
            for place in ("/a", "/a_", "/a%", "/a/runs", "/c")
        }
        assert found == {
            "/a": ["/a", "/a/runs"],
            "/a_": ["/a_/runs"],
            "/a%": ["/a%"],
            "/a/runs": ["/a/runs"],
            "/c": [],
        }
        assert len(store.list_runs(within=Path("/"))) == len(places)
        assert [row.folder for row in store.list_runs(1, Path("/a"))] == ["/a"]

    def test_a_run_is_found_by_the_beginning_of_its_id(self, store: Store) -> None:
        ids = ("ab", "abc", "abd", "a_x", "a%y", "Zed")
        for number, run_id in enumerate(ids):
            store.put_run(make_run(number, run_id), Path("/runs/a"))
        found = {asked: store.get_run(asked).run.id for asked in ("ab", "abc", "a_", "a%", "Z")}
        assert found == {"ab": "ab", "abc": "abc", "a_": "a_x", "a%": "a%y", "Z": "Zed"}
        with pytest.raises(StoreError) as caught:
            store.get_run("a")
        assert caught.value.code == "store/ambiguous"
        assert "5 runs" in caught.value.what
        for asked in ("z", "%", "_", "abcd"):
            with pytest.raises(StoreError, match="is not in the store"):
                store.get_run(asked)

    def test_evaluations_belong_to_their_run_and_keep_their_order(self, store: Store) -> None:
        for number in (1, 2):
            store.put_run(make_run(number), Path("/runs/a"))
        for value in (0.9, 0.1, 0.5):
            store.add_evaluation(make_evaluation(value), make_run(1).id)
        store.add_evaluation(make_evaluation(0.9), make_run(2).id)
        assert store.list_evaluations(make_run(1).id) == [
            make_evaluation(value) for value in (0.9, 0.1, 0.5)
        ]
        assert store.list_evaluations(make_run(2).id) == [make_evaluation(0.9)]
        assert store.list_evaluations("nobody") == []

    def test_artifacts_are_found_by_run_and_by_kind(self, store: Store) -> None:
        for number in (1, 2):
            store.put_run(make_run(number), Path("/runs/a"))
        first, second = make_run(1).id, make_run(2).id
        kept = [
            make_artifact(first),
            make_artifact(first, "report"),
            make_artifact(second),
            make_artifact(None, "sample"),
        ]
        for artifact in kept:
            store.add_artifact(artifact)
        assert store.list_artifacts() == kept
        assert store.list_artifacts(run=first) == kept[:2]
        assert store.list_artifacts(kind="adapter") == [kept[0], kept[2]]
        assert store.list_artifacts(run=first, kind="report") == [kept[1]]

    def test_an_artifact_made_again_stands_in_the_place_of_the_one_before(
        self, store: Store
    ) -> None:
        """`show` listed an adapter twice after a resumed run."""
        store.put_run(make_run(), Path("/runs/a"))
        run = make_run().id
        store.add_artifact(make_artifact(run))
        again = make_artifact(run).replace(sha256="1" * 64)
        for artifact in (again, again, make_artifact(run, name="b"), make_artifact(run, "model")):
            store.add_artifact(artifact)
        assert store.list_artifacts(run=run) == [
            again,
            make_artifact(run, name="b"),
            make_artifact(run, "model"),
        ]

    def test_looks_are_kept_each_once_and_come_oldest_first(self, store: Store) -> None:
        store.put_run(make_run(), Path("/runs/a"))
        run = make_run().id
        looks = [
            make_test_set_access(run, second=2),
            make_test_set_access(run, SPECIAL_CHARACTERS, second=1),
            make_test_set_access(None, second=3),
        ]
        store.add_test_set_accesses([*looks, make_test_set_access(run, test="another")])
        store.add_test_set_accesses(looks[:1])
        store.add_test_set_accesses([])
        assert store.list_test_set_accesses(looks[0].test_set) == [looks[1], looks[0], looks[2]]
        assert store.list_test_set_accesses("never looked at") == []

    def test_of_several_looks_all_are_kept_or_none(self, store: Store) -> None:
        with pytest.raises(StoreError) as caught:
            store.add_test_set_accesses(
                [make_test_set_access(None), make_test_set_access("nobody")]
            )
        assert type(caught.value) is RunNotFound
        assert "'nobody'" in caught.value.what
        assert store.list_test_set_accesses(make_test_set_access(None).test_set) == []

    def test_processes_that_open_a_fresh_store_at_once_all_succeed(self, url: str) -> None:
        # a forked process would share this one's connections
        spawn = multiprocessing.get_context("spawn")
        ready = spawn.Barrier(3)
        racers = [
            spawn.Process(target=open_after_barrier, args=(url, ready, number))
            for number in range(3)
        ]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join(120)
        assert [racer.exitcode for racer in racers] == [0, 0, 0]
        with Store.open(url) as store:
            assert len(store.list_runs()) == 15
            assert store.list_datasets() == [make_dataset()]

    def test_a_locked_store_is_told_after_the_deadline_and_still_read(
        self, url: str, store: Store
    ) -> None:
        store.put_run(make_run(), Path("/runs/a"))
        with hold_write_lock(url), Store.open(url, lock_seconds=0.3) as other:
            assert other.get_run(make_run().id).run == make_run()
            began = time.monotonic()
            with pytest.raises(StoreError) as caught:
                other.put_run(make_run(status="failed"), Path("/runs/a"))
            assert 0.2 < time.monotonic() - began < 5
            assert type(caught.value) is StoreUnavailable and caught.value.code == "store/locked"
            assert caught.value.hint
        assert store.get_run(make_run().id).run.status == "running"

    def test_a_lock_that_ends_in_time_is_waited_for(self, url: str, store: Store) -> None:
        def hold() -> None:
            with hold_write_lock(url):
                held.set()
                time.sleep(0.5)

        held = threading.Event()
        holder = threading.Thread(target=hold)
        holder.start()
        assert held.wait(30)
        store.add_dataset(make_dataset())
        holder.join()
        assert store.list_datasets() == [make_dataset()]

    def test_a_store_of_a_newer_version_is_refused_and_left_alone(
        self, url: str, store: Store
    ) -> None:
        store.add_dataset(make_dataset())
        database = Database(url, 5)
        with database.open_write_transaction() as connection:
            connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
        with pytest.raises(StoreError) as caught:
            Store.open(url)
        assert caught.value.code == "store/newer"
        assert "9999" in caught.value.got
        assert "upgrade" in caught.value.hint
        with database.open_read_transaction() as connection:
            assert connection.execute(text("SELECT count(*) FROM datasets")).scalar_one() == 1
        database.close()

    def test_a_run_whose_row_is_damaged_does_not_hide_the_others(
        self, url: str, store: Store
    ) -> None:
        for number in (1, 2):
            store.put_run(make_run(number), Path("/runs/a"))
        damaged = make_run(2)
        database = Database(url, 5)
        with database.open_write_transaction() as connection:
            connection.execute(
                text("UPDATE runs SET record = '{\"id\": 1}' WHERE id = :id"), {"id": damaged.id}
            )
        database.close()
        first, second = store.list_runs()
        assert isinstance(first, UnreadableRun) and (first.id, first.folder) == (
            damaged.id,
            "/runs/a",
        )
        assert second == StoredRun(run=make_run(1), folder="/runs/a")
        assert store.get_run_folder(damaged.id) == "/runs/a"
        with pytest.raises(StoreError) as caught:
            store.get_run(damaged.id)
        assert caught.value.code == "store/unreadable-record"
        assert store.put_run(damaged, Path("/runs/a")), "it can be entered again"
        assert store.get_run(damaged.id).run == damaged

    def test_a_record_that_no_longer_fits_is_an_error(self, url: str, store: Store) -> None:
        store.add_dataset(make_dataset())
        database = Database(url, 5)
        with database.open_write_transaction() as connection:
            connection.execute(text("UPDATE datasets SET record = '{\"name\": 1}'"))
        database.close()
        with pytest.raises(StoreError) as caught:
            store.list_datasets()
        assert caught.value.code == "store/unreadable-record"
