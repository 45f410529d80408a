"""The whole program killed, stopped, out of room or moved, and gone on with: it ends as the run
left alone."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from door import Door

from tunesmith import failpoints
from tunesmith.atomic_io import compute_sha256
from tunesmith.cli.main import run
from tunesmith.records import Run
from tunesmith.runs.run_folder import RunFolder

Start = Callable[..., "subprocess.Popen[str]"]
Failing = Callable[[str], RunFolder]
EVERY_STEP = ("--set", "training.checkpoint_minutes=0", "--set", "training.num_evals=2")


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm(None)


@pytest.fixture(scope="session")
def words(
    labels_csv: Path, settings: list[str], tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """The command line of a training that saves after every step."""
    recipe = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    recipe.write_text(f"data: {{path: {labels_csv}}}\nadapter: {{dropout: 0.1}}\n")
    return ["train", str(recipe), *settings, *EVERY_STEP]


@pytest.fixture
def killed(start: Start, words: list[str], tmp_path: Path) -> Callable[[str], RunFolder]:
    """The folder of a training that died by SIGKILL at this point, in a process of its own."""

    def kill(point: str) -> RunFolder:
        process = start(
            *words, "--out", tmp_path / "killed", env={failpoints.ENV_VARIABLE: f"{point}:kill9"}
        )
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
        return only_run(tmp_path / "killed")

    return kill


@pytest.fixture
def failed(tunesmith: Door, words: list[str], tmp_path: Path) -> Callable[[str], RunFolder]:
    """The folder of a training that an unforeseen error ended at this point; quicker to make than a
    killed one."""

    def fail(point: str) -> RunFolder:
        failpoints.arm(f"{point}:raise")
        assert tunesmith(*words, "--out", tmp_path / "failed").code == 70
        failpoints.arm(None)
        return only_run(tmp_path / "failed")

    return fail


def only_run(out: Path) -> RunFolder:
    (path,) = out.iterdir()
    return RunFolder.open(path)


def outcome(folder: RunFolder) -> Any:
    """What a run leaves, without what a clock said."""
    lines = [line.model_dump(exclude={"seconds"}) for line in folder.read_metrics().records]
    adapter = {path.name: compute_sha256(path) for path in folder.adapter.iterdir()}
    result = folder.read(Run).result
    assert result is not None
    ended = result.model_dump(
        exclude={
            "seconds",
            "validation_seconds",
            "peak_memory_bytes",
            "plan",
            "training_length",
            "waiting",
        }
    )
    return json.dumps(
        [lines, [sample.model_dump() for sample in folder.read_samples().records], adapter, ended]
    )


@pytest.fixture(scope="session")
def clean(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("clean")
    assert run([*words, "--out", str(out)]) == 0
    folder = only_run(out)
    assert [path.name for path in folder.path.iterdir() if path.is_dir()] == ["adapter"], (
        "nothing is left over"
    )
    return outcome(folder)


@pytest.mark.parametrize(
    "point",
    [
        "checkpoint.write:200000",
        "files.rename:15",
        pytest.param("train.step:1", marks=pytest.mark.slow),
        pytest.param("files.rename:12", marks=pytest.mark.slow),
    ],
)
def test_killed_and_gone_on_with(killed: Failing, tunesmith: Door, clean: Any, point: str) -> None:
    """Inside a save, before run.json is done, before the first step, before the adapter of the
    first look stands."""
    folder = killed(point)
    assert folder.read(Run).status == "running"
    listed = tunesmith("runs", "--all", "--json").document["runs"]
    assert next(row["status"] for row in listed if row["id"] == folder.id) == "killed"
    resumed = tunesmith("resume", folder.path)
    assert resumed.code == 0, resumed.err
    assert resumed.out.splitlines()[-1] == f"next: tunesmith chat {folder.path}"
    assert outcome(folder) == clean
    assert (folder.read(Run).status, folder.read(Run).resume_count) == ("finished", 1)
    assert not folder.checkpoints.exists() and not list(folder.path.rglob(".tmp-*"))
    again = tunesmith("resume", folder.path)
    assert again.code == 2 and "error[run/finished]" in again.err


def test_failed_again_and_again(failed: Failing, tunesmith: Door, clean: Any) -> None:
    folder = failed("train.stepped:2")
    assert folder.read(Run).status == "failed"
    for _ in range(2):
        failpoints.arm("train.stepped:2:raise")
        assert tunesmith("resume", folder.id).code == 70
    failpoints.arm(None)
    assert tunesmith("resume", folder.id, "--json").document["status"] == "finished"
    assert outcome(folder) == clean
    assert folder.read(Run).resume_count == 3


@pytest.mark.parametrize(
    ("point", "number"),
    [
        ("train.step:3", signal.SIGTERM),
        ("train.look:2", signal.SIGTERM),
        ("checkpoint.fsync:9", signal.SIGINT),
        pytest.param("train.stepped:2", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("files.rename:12", signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_asked_to_stop_in_a_step_a_save_or_a_look(
    start: Start,
    words: list[str],
    tunesmith: Door,
    clean: Any,
    tmp_path: Path,
    point: str,
    number: int,
) -> None:
    process = start(*words, "--out", tmp_path, env={failpoints.ENV_VARIABLE: f"{point}:pause"})
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    process.send_signal(number)
    process.send_signal(signal.SIGCONT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number, err
    folder = only_run(tmp_path)
    assert f"Next: tunesmith resume {folder.path}" in err and "Traceback" not in err
    assert folder.read(Run).status == "interrupted"
    if point.startswith("train.look"):  # may take long: it is given up half-way, and comes again
        assert [
            line.step for line in folder.read_metrics().records if line.kind == "validation"
        ] == [0]
        assert folder.read_samples().records == ()
    assert tunesmith("resume", folder.path).code == 0
    assert outcome(folder) == clean


def test_the_data_file_may_move(
    failed: Failing, tunesmith: Door, labels_csv: Path, clean: Any
) -> None:
    folder = failed("train.step:4")
    elsewhere = labels_csv.rename(labels_csv.with_suffix(".elsewhere"))
    try:
        assert tunesmith("resume", folder.path).code == 0
    finally:
        elsewhere.rename(labels_csv)
    assert outcome(folder) == clean


def test_what_differs_is_named_and_may_be_allowed(failed: Failing, tunesmith: Door) -> None:
    folder = failed("train.step:4")
    before = folder.read(Run)
    folder.write(
        before.model_copy(
            update={
                "reproducibility_key": {
                    **before.reproducibility_key,
                    "torch": "2.12.1",
                    "threads": "64",
                }
            }
        )
    )
    recipe = folder.path / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("weight_decay: 0.0", "weight_decay: 0.01"))
    refused = tunesmith("resume", folder.path)
    assert (
        refused.code == 2 and "error[run/drift]" in refused.err and "--allow-drift" in refused.err
    )
    assert re.search(
        r"recipe: \w{12} -> \w{12}; threads: 64 -> 1; torch: 2\.12\.1 -> ", refused.err
    )
    allowed = tunesmith("resume", folder.path, "--allow-drift")
    assert allowed.code == 0 and "resuming despite a difference: threads: 64" in allowed.err
    assert [entry.split(":")[0] for entry in folder.read(Run).environment_changes] == [
        "recipe",
        "threads",
        "torch",
    ]
    folder.check_integrity("recipe.yaml")  # the edited recipe is the run's own now


def test_a_recipe_with_an_open_number_is_refused_by_its_key(
    failed: Failing, tunesmith: Door
) -> None:
    folder = failed("train.step:4")
    recipe = folder.path / "recipe.yaml"
    learning_rate = re.search(r"learning_rate: \S+", recipe.read_text())
    assert learning_rate is not None
    recipe.write_text(recipe.read_text().replace(learning_rate[0], "learning_rate: null"))
    refused = tunesmith("resume", folder.path, "--allow-drift")
    assert refused.code == 2
    assert "error[record/incomplete]: recipe of a run must be complete" in refused.err
    assert "recipe.yaml training.learning_rate" in refused.err


def test_a_damaged_checkpoint_is_named_and_passed_over(
    failed: Failing, tunesmith: Door, clean: Any
) -> None:
    folder = failed("train.step:5")
    newest = max(folder.checkpoints.glob("step-*"))
    failpoints.flip_bit(newest / "optimizer.safetensors", 5000)
    resumed = tunesmith("resume", folder.path)
    assert (
        resumed.code == 0
        and f"skipping a damaged checkpoint: {newest.name}/optimizer.safetensors" in resumed.err
    )
    assert "resuming after step 3" in resumed.err
    assert outcome(folder) == clean


def test_no_room(tunesmith: Door, words: list[str], clean: Any, tmp_path: Path) -> None:
    failpoints.arm("checkpoint.write:300000:enospc")
    full = tunesmith(*words, "--out", tmp_path)
    folder = only_run(tmp_path)
    assert full.code == 1 and "error[training/disk-full]" in full.err
    assert f"tunesmith resume {folder.path}" in full.err and folder.read(Run).status == "failed"
    assert not list(folder.path.rglob(".tmp-*"))
    assert tunesmith("resume", folder.path).code == 0
    assert outcome(folder) == clean


def test_a_run_in_use_is_not_gone_on_with(failed: Failing, tunesmith: Door) -> None:
    folder = failed("train.step:2")
    with folder.lock():
        refused = tunesmith("resume", folder.path)
    assert (
        refused.code == 2
        and "error[run/in-use]" in refused.err
        and f"pid {os.getpid()}" in refused.err
    )


def test_a_run_whose_lesson_is_damaged_is_refused(failed: Failing, tunesmith: Door) -> None:
    folder = failed("train.step:2")
    tokens = folder.path / "lesson/train.safetensors"
    failpoints.flip_bit(tokens, tokens.stat().st_size // 2)
    refused = tunesmith("resume", folder.path)
    assert (
        refused.code == 2
        and "error[run/damaged]" in refused.err
        and "train.safetensors" in refused.err
    )


def test_lines_that_are_lost_are_not_made_up(failed: Failing, tunesmith: Door) -> None:
    folder = failed("train.step:4")
    (folder.path / "metrics.jsonl").write_text("")
    refused = tunesmith("resume", folder.path)
    assert (
        refused.code == 2 and "error[run/damaged]" in refused.err and "metrics.jsonl" in refused.err
    )
