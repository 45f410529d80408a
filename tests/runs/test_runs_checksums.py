"""Every file of a run has a checksum that holds wherever the process dies, and every flipped bit is
named."""

import json
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_runs_folder import some_run, step

from tunesmith import failpoints
from tunesmith.errors import RunError
from tunesmith.records import Answer, ContenderRecord, ContenderSpec, Recipe, Run, SelectionRecord
from tunesmith.runs.checksums import CHECKSUMS_FILE
from tunesmith.runs.run_folder import RunFolder


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm(None)


def answered(name: str = "tuned", text: str = "x") -> tuple[ContenderRecord, list[Answer]]:
    answer = Answer(
        example="a",
        text=text,
        scores={"accuracy": 0.0},
        tokens_in=1,
        tokens_out=1,
        seconds=1,
        is_complete=True,
    )
    return ContenderRecord(spec=ContenderSpec(name=name, kind="tuned", description="")), [answer]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run with a bit of everything."""
    made = RunFolder.create_hidden(tmp_path, "x")
    made.write_recipe(Recipe())
    made.write(some_run(made))
    made.publish()
    with made.allow_rewriting("adapter", "metrics.jsonl"):
        made.adapter.mkdir()
        (made.adapter / "adapter_model.safetensors").write_bytes(b"weights")
        made.append_metric(step(1))
    made.write_answers(*answered())
    made.append_selection(SelectionRecord(purpose="shots", trials=(), seconds=1.0, usd_charged=0.0))
    made.finalize_checksums()
    return made


def names_of(folder: RunFolder) -> list[str]:
    return sorted(
        path.relative_to(folder.path).as_posix()
        for path in folder.path.rglob("*")
        if path.is_file()
    )


def test_one_bit_flipped_anywhere_in_any_file_is_named(folder: RunFolder) -> None:
    assert len(names_of(folder)) == 8 and not folder.find_damage()
    for name in names_of(folder):
        path = folder.path / name
        whole = path.read_bytes()
        for offset in range(len(whole)):
            failpoints.flip_bit(path, offset)
            assert folder.find_damage() == (f"{name} (modified)",), (name, offset)
            path.write_bytes(whole)
    assert not folder.find_damage()


def test_a_flipped_score_is_not_read(folder: RunFolder) -> None:
    path = folder.path / "answers/tuned.jsonl"
    failpoints.flip_bit(path, path.read_bytes().index(b"0.0"))
    with pytest.raises(RunError) as caught:
        folder.read_answers("tuned")
    assert (caught.value.code, caught.value.at) == ("run/damaged", str(path))
    with pytest.raises(RunError, match="answers/tuned\\.jsonl \\(modified\\)"):
        folder.check_integrity()
    folder.check_integrity("run.json", "adapter")


def test_a_file_that_is_gone_is_named(folder: RunFolder) -> None:
    (folder.path / "answers/tuned.json").unlink()
    assert folder.find_damage() == ("answers/tuned.json (missing)",)


def test_a_run_of_a_version_without_checksums_is_read(folder: RunFolder) -> None:
    (folder.path / CHECKSUMS_FILE).unlink()
    assert not folder.has_checksums() and not folder.find_damage()
    assert folder.read(Run).id == folder.id
    folder.write_answers(*answered("zero-shot"))
    assert folder.has_checksums() and not folder.find_damage()


def test_a_damaged_list_says_so_itself(folder: RunFolder) -> None:
    failpoints.flip_bit(folder.path / CHECKSUMS_FILE, 40)
    with pytest.raises(RunError) as caught:
        folder.read(Run)
    assert caught.value.at == str(folder.path / CHECKSUMS_FILE) and "remove it" in caught.value.hint


Step = Callable[[RunFolder], object]
STEPS: dict[str, Step] = {
    "answers": lambda folder: folder.write_answers(*answered("rag")),
    "answers again": lambda folder: folder.write_answers(*answered(text="y")),
    "run.json": lambda folder: folder.write(
        folder.read(Run).model_copy(update={"resume_count": 1})
    ),
    "a choice": lambda folder: folder.append_selection(
        SelectionRecord(purpose="rag", trials=(), seconds=1.0, usd_charged=0.0)
    ),
    "training": lambda folder: train_on(folder),
}


def train_on(folder: RunFolder) -> None:
    with folder.allow_rewriting("adapter", "metrics.jsonl"):
        for number in (2, 3):
            folder.append_metric(step(number))
            (folder.adapter / "adapter_model.safetensors").write_bytes(b"better" * number)
            failpoints.hit("test.trained")
        failpoints.hit("test.trained")


@pytest.mark.parametrize("what", STEPS)
@pytest.mark.parametrize("point", ["files.rename", "files.renamed", "test.trained"])
def test_killed_anywhere_no_whole_file_is_called_damaged_and_the_step_can_be_done_again(
    folder: RunFolder, what: str, point: str
) -> None:
    for nth in range(1, 8):
        pid = os.fork()
        if pid == 0:
            failpoints.arm(f"{point}:{nth}:kill9")
            STEPS[what](folder)
            os._exit(0)
        is_killed = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) < 0
        assert not folder.find_damage()
        folder.remove_temporaries()
        STEPS[what](folder)
        folder.finalize_checksums()
        assert not folder.find_damage()
        if not is_killed:
            return
    raise AssertionError("the sweep did not come to its end")


# --- what is no file
# --------------------------------------------------------------------------------------------------


def plant_link(path: Path, victim: Path) -> str:
    path.symlink_to(victim)
    return "a symbolic link"


def plant_pipe(path: Path, victim: Path) -> str:
    os.mkfifo(path)
    return "a pipe"


def plant_socket(path: Path, victim: Path) -> str:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))
    return "a socket"


def plant_device(path: Path, victim: Path) -> str:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("this user may make no device")
    return "a device"


PLACES = (
    "run.json",
    "recipe.yaml",
    "metrics.jsonl",
    "lock",
    CHECKSUMS_FILE,
    "report.html",
    "answers",
    "adapter",
    "lesson",
    "checkpoints",
    "prompts",
    "index",
    "adapter/x",
    "answers/x.jsonl",
    "checkpoints/step-00000000",
    "lesson/train.safetensors",
    "checkpoints/step-00000000/weights.safetensors",
)


@pytest.mark.parametrize("plant", [plant_link, plant_pipe, plant_socket, plant_device])
@pytest.mark.parametrize("place", PLACES)
def test_what_is_neither_a_file_nor_a_folder_is_named_and_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[[Path, Path], str], place: str
) -> None:
    (victim := tmp_path / "victim").mkdir()
    for name in ("precious", ".tmp-precious", "train.safetensors"):
        (victim / name).write_text("x")
    path = RunFolder.create(tmp_path / "runs", "x").path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(path.parent)
    found = plant(path, victim)
    run = next((tmp_path / "runs").iterdir())
    with pytest.raises(RunError) as caught:
        RunFolder.open(run)
    assert (caught.value.code, caught.value.at, caught.value.got) == (
        "run/special-file",
        str(path),
        found,
    )
    RunFolder(run).remove_temporaries()
    assert len(list(victim.iterdir())) == 3


def test_a_folder_is_swept_without_entering_links(tmp_path: Path) -> None:
    """`.tmp-*` files of the folder behind a link were deleted."""
    (victim := tmp_path / "victim").mkdir()
    (victim / ".tmp-precious").write_text("x")
    folder = RunFolder.create(tmp_path / "runs", "x")
    for name in ("adapter", "model", "answers", "lesson", "checkpoints"):
        (folder.path / name).symlink_to(victim)
    folder.remove_temporaries()
    assert (victim / ".tmp-precious").exists()


# --- whole or absent
# --------------------------------------------------------------------------------------------------


def test_a_folder_is_not_there_before_all_is_in_it(tmp_path: Path) -> None:
    folder = RunFolder.create_hidden(tmp_path, "x")
    with folder.lock():
        folder.write(some_run(folder))
        assert RunFolder.list_all(tmp_path) == []
        folder.publish()
        assert folder.is_in_use()
    (found,) = RunFolder.list_all(tmp_path)
    assert found.path == folder.path == tmp_path / folder.id and found.read(Run).id == folder.id
    assert not found.find_damage() and (folder.path / "lock").stat().st_size == 0


def test_a_folder_that_a_killed_process_began_goes_away_with_the_next_one(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        RunFolder.create_hidden(tmp_path, "x").write_recipe(Recipe())
        os._exit(0)
    os.waitpid(pid, 0)
    assert len(list(tmp_path.iterdir())) == 1
    folder = RunFolder.create(tmp_path, "y")
    assert list(tmp_path.iterdir()) == [folder.path]


def test_a_folder_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    folder = RunFolder.create_hidden(tmp_path, "x")
    folder.write_recipe(Recipe())
    folder.discard()
    assert list(tmp_path.iterdir()) == []
    (kept := RunFolder.create(tmp_path, "x")).discard()
    assert kept.path.is_dir(), "one that appeared stays"


# --- versions
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change", [{"swarm": 3}, {"status": "paused"}, {"model": {"name": "m", "shape": "odd"}}]
)
def test_a_run_of_a_newer_version_is_called_newer_and_its_key_is_named(
    folder: RunFolder, change: dict[str, object]
) -> None:
    """It was called damaged, with the advice to restore it from a copy."""
    (folder.path / CHECKSUMS_FILE).unlink()
    document = folder.read(Run).model_dump(mode="json")
    if isinstance(change.get("model"), dict):
        change = {"model": {**document["model"], "shape": "odd"}}

    (folder.path / "run.json").write_text(json.dumps({**document, **change}))
    with pytest.raises(RunError) as caught:
        folder.read(Run)
    assert caught.value.code == "run/newer" and "newer version" in caught.value.what
    assert next(iter(change)) in caught.value.got and "upgrade" in caught.value.hint
