"""The run folder: one owner, safe names, files that a stranger can read."""

import errno
import json
import multiprocessing
import os
import re
import stat
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.errors import RecipeError, RecordError, RunError
from tunesmith.records import (
    Answer,
    ContenderRecord,
    ContenderSpec,
    Decision,
    Machine,
    MetricLine,
    ModelIdentity,
    PreparedSplit,
    Recipe,
    ResolvedRecipe,
    Run,
    Split,
)
from tunesmith.records.decision import Requirements
from tunesmith.runs.run_folder import RECORD_FILES, RunFolder, ValidationSample
from tunesmith.testing.resolved_recipes import resolve_test_recipe

HOSTILE = [
    "../../etc/passwd",
    "..%2f..%2fetc",
    "%252e%252e",
    "..\\..\\x",
    "/etc/passwd",
    "C:\\x",
    "file:///etc",
    "a\0b",
    "x" * 5_000,
    "CON",
    "trailing.",
    "\u202egnp.exe",
    "",
    "..",
    "-",
    "$(touch x)",
    "--flag",
    "a\nb",
    "Ünïcode näme",
]


def step(number: int, kind: str = "step") -> MetricLine:
    return MetricLine(kind=kind, step=number, epoch=0.1, loss=0.1 + 0.2, seconds=1.5)  # type: ignore[arg-type]


def some_run(folder: RunFolder) -> Run:
    return Run(
        id=folder.id,
        created="2026-11-23T10:00:00+00:00",
        status="running",
        recipe="r",
        dataset="d",
        split="s",
        prepared={"train": "p"},
        model=ModelIdentity(
            name="m", source="folder", revision=None, folder="/m", files={"a": "b"}
        ),
        machine=Machine(platform="p", processor="c", cores=2, memory_bytes=1, accelerator=None),
        versions={"python": "3.11"},
        seeds={"recipe": 0},
    )


# --- names and places
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_makes_a_plain_folder_inside_the_parent(tmp_path: Path, name: str) -> None:
    folder = RunFolder.create(tmp_path / "runs", name)
    assert folder.path.parent == (tmp_path / "runs").resolve()
    assert re.fullmatch(r"[0-9]{8}-[0-9]{6}-[a-z0-9-]+-[0-9a-f]{6}", folder.id)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    assert RunFolder.open(folder.id, tmp_path / "runs").path == folder.path


@given(st.text(max_size=100))
def test_any_name_gives_an_id_that_opens_again(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    parent = tmp_path_factory.getbasetemp() / "any"
    folder = RunFolder.create(parent, name)
    assert RunFolder.open(folder.id, parent).path == folder.path
    folder.path.rmdir()


@pytest.mark.parametrize(
    ("umask", "folder_mode", "file_mode"), [(0o022, 0o755, 0o644), (0o077, 0o700, 0o600)]
)
def test_who_may_read_a_run_is_for_the_umask_to_say(
    tmp_path: Path, umask: int, folder_mode: int, file_mode: int
) -> None:
    """A team on a shared disk could not read the runs of each other."""
    before = os.umask(umask)
    try:
        folder = RunFolder.create(tmp_path, "x")
        folder.write(some_run(folder))
        folder.append_metric(step(1))
        with folder.lock():
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.path.stat().st_mode) == folder_mode
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir()} == {file_mode}


def test_many_at_once_get_folders_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(lambda _: RunFolder.create(tmp_path, "same").id, range(200)))
    assert len(set(ids)) == 200


def test_a_taken_id_is_not_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Noon(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Noon":
            return cls(2026, 11, 30, 12, tzinfo=tz)

    endings = iter(["aaaaaa", "aaaaaa", "bbbbbb"])
    monkeypatch.setattr("tunesmith.runs.run_folder.datetime", Noon)
    monkeypatch.setattr(
        "tunesmith.runs.run_folder.secrets.token_hex",
        lambda n: next(endings) if n == 3 else "0" * 8,
    )
    ids = [RunFolder.create(tmp_path, "x").id for _ in range(2)]
    assert ids == ["20261130-120000-x-aaaaaa", "20261130-120000-x-bbbbbb"]


def test_ids_sort_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(datetime(2026, 11, 30, 9, 59, second, tzinfo=UTC) for second in (58, 59))
    clock = SimpleNamespace(now=lambda zone: next(times))
    monkeypatch.setattr("tunesmith.runs.run_folder.datetime", clock)
    assert RunFolder.create(tmp_path, "zzz").id < RunFolder.create(tmp_path, "aaa").id


@pytest.mark.parametrize(
    "run", ["no-such-run", "20260101-000000-x-aaaaaa", "a\0b", "x" * 5_000, "../nowhere"]
)
def test_a_run_that_is_not_there_is_one_message(tmp_path: Path, run: str) -> None:
    with pytest.raises(RunError) as caught:
        RunFolder.open(run, tmp_path)
    assert caught.value.code == "run/missing"
    assert len(str(caught.value)) < 700


def test_a_file_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    with pytest.raises(RunError, match="got: a file"):
        RunFolder.open(tmp_path / "f")


def test_a_place_that_takes_no_folder_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    with pytest.raises(RunError) as caught:
        RunFolder.create(tmp_path / "f" / "runs", "x")
    assert caught.value.code == "run/cannot-create"
    assert "--out" in caught.value.hint


# --- the lock
# --------------------------------------------------------------------------------------------------

HOLDER = """
    import sys, time
    from pathlib import Path
    from tunesmith.runs.run_folder import RunFolder
    with RunFolder.open(Path(sys.argv[1])).lock():
        print("held", flush=True)
        time.sleep(60)
"""


def test_a_second_process_is_refused_at_once_and_a_killed_one_leaves_no_stale_lock(
    tmp_path: Path,
) -> None:
    folder = RunFolder.create(tmp_path, "x")
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), str(folder.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        began = time.monotonic()
        with pytest.raises(RunError) as caught, folder.lock():
            pass
        assert time.monotonic() - began < 30, "the holder sleeps for 60 seconds"
        assert caught.value.code == "run/in-use"
        assert caught.value.got == f"pid {holder.pid} on {os.uname().nodename}"
        assert folder.is_in_use()
        holder.kill()
        holder.wait()
    with folder.lock():
        assert f"pid {os.getpid()} " in (folder.path / "lock").read_text()
    assert not folder.is_in_use()  # given back by the block


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "x")
    victim = tmp_path / "victim"
    victim.write_text("precious\n")
    for name in ("lock", "metrics.jsonl", "recipe.yaml", "run.json"):
        (folder.path / name).symlink_to(victim)
    with pytest.raises(RunError, match="cannot write to the run folder"), folder.lock():
        pass
    with pytest.raises(RunError, match="symbolic links"):
        folder.append_metric(step(1))
    folder.write_recipe(Recipe())
    folder.write(some_run(folder))
    assert victim.read_text() == "precious\n"


# --- what is in it
# --------------------------------------------------------------------------------------------------


def test_everything_comes_back_and_is_readable_without_us(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "x")
    run = some_run(folder)
    split = Split(
        seed=0,
        method="hash",
        grouped_by=None,
        stratified=False,
        train=("a",),
        validation=("b",),
        test=("c",),
    )
    decision = Decision(
        verdict="stop",
        winner=None,
        metric="m",
        requirements=Requirements(),
        reasons=("because",),
        evaluation="e",
    )
    prepared = PreparedSplit(
        split="train",
        examples=1,
        tokens_read=9,
        tokens_trained=4,
        longest_tokens=9,
        max_tokens=64,
        tokenizer_sha256="t",
        template_sha256="c",
        content_sha256="x",
    )
    sample = ValidationSample(
        step=3, example="a", question="q", expected="é\n", answer="\u2028", score=0.5
    )
    answer = Answer(
        example="a",
        text="{}",
        scores={"f1": 1.0},
        tokens_in=1,
        tokens_out=1,
        seconds=0.1,
        is_complete=True,
    )

    folder.write(run)
    folder.write(split)
    folder.write(decision)
    folder.write_recipe(Recipe(seed=7))
    folder.write_versions({"python": "3.11.2", "torch": "2.13.0"})
    folder.write_prepared({"train": prepared})
    folder.write_mask("[answer]\n")
    folder.append_sample(sample)
    folder.write_answers(
        ContenderRecord(spec=ContenderSpec(name="tuned+rag", kind="tuned+rag", description="")),
        [answer],
    )

    assert (folder.read(Run), folder.read(Split), folder.read(Decision)) == (run, split, decision)
    assert folder.read_recipe() == Recipe(seed=7)
    assert folder.read_prepared() == {"train": prepared}
    assert folder.read_samples().records == (sample,)
    assert folder.read_answers("tuned+rag").records == (answer,)
    assert folder.read_answers("zero-shot").records == ()
    assert folder.list_contenders() == ("tuned+rag",)
    assert folder.has(Run)
    assert json.loads((folder.path / "run.json").read_text())["id"] == folder.id
    assert yaml.safe_load((folder.path / "recipe.yaml").read_text())["seed"] == 7
    assert (folder.path / "versions.txt").read_text() == "# python==3.11.2\ntorch==2.13.0\n"
    assert json.loads((folder.path / "samples.jsonl").read_text())["expected"] == "é\n"


@pytest.mark.parametrize("name", [*sorted(set(HOSTILE) - {"CON"}), "a/b", ".", "a..b", "a" * 65])
def test_a_contenders_name_is_no_path(tmp_path: Path, name: str) -> None:
    folder = RunFolder.create(tmp_path, "x")
    with pytest.raises(RunError) as caught:
        folder.write_answers(
            ContenderRecord(spec=ContenderSpec(name=name, kind="rag", description="")), []
        )
    assert caught.value.code == "run/bad-name"
    assert list(folder.path.iterdir()) == []


@pytest.mark.parametrize("content", [None, b"", b'{"id": "x"', b"\xff", b"[]"])
def test_a_missing_or_cut_record_is_damage_with_its_file(
    tmp_path: Path, content: bytes | None
) -> None:
    folder = RunFolder.create(tmp_path, "x")
    for kind, name in RECORD_FILES.items():
        if content is not None:
            (folder.path / name).write_bytes(content)
        with pytest.raises(RunError) as caught:
            folder.read(kind)
        assert caught.value.code == "run/damaged"
        assert caught.value.at == str(folder.path / name)
        assert caught.value.got


def test_a_full_disk_is_one_message_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder.create(tmp_path, "x")
    folder.write_recipe(Recipe(seed=1))
    folder.append_metric(step(1))
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(os, "write", refuse)
    for attempt in (
        lambda: folder.write_recipe(Recipe(seed=2)),
        lambda: folder.write(some_run(folder)),
        lambda: folder.append_metric(step(2)),
        lambda: folder.write_answers(
            ContenderRecord(spec=ContenderSpec(name="a", kind="rag", description="")), []
        ),
    ):
        with pytest.raises(RunError) as caught:
            attempt()
        assert caught.value.code == "run/unwritable"
        assert caught.value.got == "No space left on device"
    assert {
        path.name: path.read_bytes() for path in folder.path.iterdir() if path.is_file()
    } == before


def test_a_folder_in_place_of_a_file_is_damage(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "x")
    for name in ("run.json", "prepared.json", "metrics.jsonl"):
        (folder.path / name).mkdir()
    for attempt in (lambda: folder.read(Run), folder.read_prepared, folder.read_metrics):
        with pytest.raises(RunError) as caught:
            attempt()
        assert (caught.value.code, caught.value.got) == ("run/damaged", "Is a directory")


def test_a_folder_that_nobody_works_on_is_not_in_use_and_stays_untouched(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "x")
    assert not folder.is_in_use()
    assert list(folder.path.iterdir()) == []


def test_damaged_prepared_and_recipe_are_told(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "x")
    with pytest.raises(RunError, match=r"prepared\.json is missing"):
        folder.read_prepared()
    (folder.path / "prepared.json").write_text('{"train": 3}')
    with pytest.raises(RunError, match=r"prepared\.json is missing"):
        folder.read_prepared()
    with pytest.raises(RecipeError):
        folder.read_recipe()


def _append(path: Path, begin: int) -> None:
    folder = RunFolder(path)
    for number in range(begin, begin + 200):
        folder.append_metric(step(number))


def test_two_processes_that_append_never_mix_their_lines(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "x")
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append, args=(folder.path, begin)) for begin in (0, 1_000)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    records, cut = folder.read_metrics()
    assert cut is None
    assert sorted(line.step for line in records) == [*range(200), *range(1_000, 1_200)]


def test_a_complete_recipe_is_read_back_as_a_resolved_one(tmp_path: Path) -> None:
    folder, resolved = RunFolder.create(tmp_path, "data"), resolve_test_recipe()
    folder.write_recipe(resolved)
    assert type(folder.read_recipe()) is Recipe
    assert type(folder.read_resolved_recipe()) is ResolvedRecipe
    assert folder.read_resolved_recipe() == folder.read_recipe() == resolved
    assert folder.read_resolved_recipe().fingerprint == folder.read_recipe().fingerprint
    folder.write_recipe(Recipe())
    with pytest.raises(RecordError, match="recipe of a run must be complete"):
        folder.read_resolved_recipe()
