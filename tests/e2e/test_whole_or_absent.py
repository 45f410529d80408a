"""What a killed command leaves is whole or not there; what a folder from elsewhere holds is not
trusted."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from door import Door

from tunesmith import failpoints
from tunesmith.cli.main import run
from tunesmith.records import Run, TestSet
from tunesmith.runs.run_folder import RunFolder

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="session")
def words(
    labels_csv: Path, settings: list[str], tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    recipe = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    recipe.write_text(f"data: {{path: {labels_csv}}}\n")
    return ["train", str(recipe), *settings, "--set", "training.checkpoint_minutes=0"]


@pytest.fixture(scope="session")
def trained(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished training."""
    out = tmp_path_factory.mktemp("trained")
    assert run([*words, "--out", str(out)]) == 0
    (folder,) = out.iterdir()
    return folder


@pytest.fixture(scope="session")
def cut_short(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that failed after two steps, for copies."""
    out = tmp_path_factory.mktemp("cut")
    failpoints.arm("train.stepped:3:raise")
    try:
        assert run([*words, "--out", str(out)]) == 70
    finally:
        failpoints.arm(None)
    (folder,) = out.iterdir()
    return folder


@pytest.fixture
def copy(cut_short: Path, tmp_path: Path) -> Path:
    """A copy of it, as it comes from another machine."""
    return Path(shutil.copytree(cut_short, tmp_path / "copy" / cut_short.name))


def killed(start: Start, point: str, *words: object) -> None:
    process = start(*words, env={failpoints.ENV_VARIABLE: f"{point}:kill9"})
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL


def test_a_training_killed_before_its_folder_is_whole_leaves_nothing(
    start: Start, tunesmith: Door, words: list[str], tmp_path: Path
) -> None:
    """A folder without run.json could not be read, resumed or removed."""
    killed(start, "files.rename:4", *words, "--out", tmp_path)
    (left,) = tmp_path.iterdir()
    assert (
        left.name.startswith(".tmp-")
        and (left / "recipe.yaml").exists()
        and not (left / "run.json").exists()
    )
    assert left.name not in tunesmith("runs", "--all").out
    assert tunesmith(*words, "--out", tmp_path).code == 0
    (folder,) = tmp_path.iterdir()
    assert RunFolder.open(folder).read(Run).status == "finished"


def test_an_export_killed_in_the_middle_leaves_nothing_after_the_next_one(
    start: Start, tunesmith: Door, trained: Path, tmp_path: Path
) -> None:
    """Each left a whole model behind, for good."""
    killed(start, "files.renamed:2", "export", trained, "--to", tmp_path / "model")
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".tmp-")
    exported = tunesmith("export", trained, "--to", tmp_path / "model")
    assert exported.code == 0, exported.err
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_evaluation_killed_before_its_folder_is_whole_is_not_there(
    start: Start, tiny_model: Path, labels_csv: Path, tmp_path: Path
) -> None:
    words = [
        "evaluate",
        tiny_model,
        "--data",
        labels_csv,
        "--set",
        "evaluation.max_test_examples=4",
        "--out",
        tmp_path,
    ]
    killed(start, "files.rename:2", *words)
    assert all(path.name.startswith(".tmp-") for path in tmp_path.iterdir())


def test_a_link_in_place_of_a_checkpoint_is_refused_and_its_target_is_left_alone(
    tunesmith: Door, copy: Path, tmp_path: Path
) -> None:
    """Every file behind the link was deleted."""
    (victim := tmp_path / "victim").mkdir()
    (victim / "precious").write_text("x")
    link = copy / "checkpoints/step-00000000"
    link.symlink_to(victim)
    refused = tunesmith("resume", copy)
    assert refused.code == 2 and "error[run/special-file]" in refused.err
    assert str(link) in refused.err and "a symbolic link" in refused.err
    assert (victim / "precious").exists()
    link.unlink()
    assert tunesmith("resume", copy).code == 0


def test_a_pipe_in_a_run_folder_is_not_waited_for(tunesmith: Door, copy: Path) -> None:
    (copy / "split.json").unlink()
    os.mkfifo(copy / "split.json")
    for command in ("show", "resume"):
        refused = tunesmith(command, copy)
        assert (
            refused.code == 2
            and "error[run/special-file]" in refused.err
            and "a pipe" in refused.err
        )


def test_a_scorer_that_a_folder_from_elsewhere_names_does_not_run_before_the_folder_is_compared(
    tunesmith: Door, labels_csv: Path, settings: list[str], tmp_path: Path
) -> None:
    failpoints.arm("train.step:1:raise")
    try:
        assert tunesmith("decide", labels_csv, *settings, "--out", tmp_path / "runs").code == 70
    finally:
        failpoints.arm(None)
    (folder,) = (tmp_path / "runs").iterdir()
    own = folder / "own.py"
    own.write_text(
        f"from pathlib import Path\nPath({str(tmp_path / 'marker')!r}).touch()\ndef fit(a, b):"
        " return 1.0\n"
    )
    recipe = folder / "recipe.yaml"
    text = recipe.read_text()
    assert "scorer: auto" in text
    recipe.write_text(text.replace("scorer: auto", f"scorer: {own}:fit"))
    for flags in ((), ("--allow-drift",)):  # nothing makes scores of two scorers comparable
        refused = tunesmith("resume", folder, *flags)
        assert refused.code == 2 and "error[run/other-scorer]" in refused.err
        assert not (tmp_path / "marker").exists()
    recipe.write_text(text.replace("scorer: auto", "scorer: number"))
    refused = tunesmith("resume", folder, "--allow-drift")
    assert refused.code == 2 and "label -> number" in refused.err
    recipe.write_text(text)
    assert tunesmith("resume", folder).code == 0


def test_damage_is_shown_with_every_file_and_refused_where_it_counts(
    tunesmith: Door, trained: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / trained.name))
    for name in ("split.json", "metrics.jsonl", "adapter/adapter_model.safetensors"):
        failpoints.flip_bit(folder / name, 100)
    shown = tunesmith("show", folder)
    assert shown.code == 1
    assert [line for line in shown.out.splitlines() if line.startswith("  ! ")] == [
        "  ! adapter/adapter_model.safetensors (modified)",
        "  ! metrics.jsonl (modified)",
        "  ! split.json (modified)",
    ]
    as_json = tunesmith("show", folder, "--json")
    assert as_json.code == 1 and len(as_json.document["damaged"]) == 3
    refused = tunesmith("chat", folder, "--message", "x")
    assert refused.code == 2 and "adapter/adapter_model.safetensors" in refused.err
    failpoints.flip_bit(folder / "run.json", 100)
    refused = tunesmith("export", folder, "--to", tmp_path / "model")
    assert refused.code == 2 and "run.json (modified)" in refused.err


def test_kept_answers_can_be_read_by_themselves(
    tunesmith: Door, tiny_model: Path, labels_csv: Path, tmp_path: Path
) -> None:
    """In the order of the file, each with its question and the answer that is right."""
    words = [
        "--set",
        "evaluation.max_test_examples=10",
        "--set",
        "evaluation.max_new_tokens=4",
        "--out",
        tmp_path,
    ]
    assert tunesmith("evaluate", tiny_model, "--data", labels_csv, *words).code == 0
    (folder,) = map(RunFolder.open, tmp_path.iterdir())
    rows = dict(line.split(",") for line in labels_csv.read_text().splitlines()[1:])
    (name,) = folder.list_contenders()
    lines = [
        json.loads(line)
        for line in (folder.path / "answers" / f"{name}.jsonl").read_text().splitlines()
    ]
    asked = [(line["question"], line["expected"]) for line in lines]
    assert len(asked) == 10 and asked == [row for row in rows.items() if row in asked]
    tested = folder.read(TestSet).examples
    assert [(one.id, one.question, one.answer) for one in tested] == [
        (line["example"], line["question"], line["expected"]) for line in lines
    ]
    assert not folder.find_damage()


def test_two_who_go_on_with_one_run_do_not_meet(start: Start, tunesmith: Door, copy: Path) -> None:
    process = start("resume", copy, env={failpoints.ENV_VARIABLE: "train.step:2:pause"})
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    refused = tunesmith("resume", copy)
    assert (
        refused.code == 2
        and "error[run/in-use]" in refused.err
        and f"pid {process.pid}" in refused.err
    )
    process.send_signal(signal.SIGCONT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert RunFolder.open(copy).read(Run).status == "finished"


def printed(script: str, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *words],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_a_bit_flipped_in_any_file_of_a_finished_decision_is_named() -> None:
    found = json.loads(printed("bit_flips.py", "--places", "2"))
    assert (
        found["files"] > 40
        and found["show"] == found["flips"]
        and "show" not in found["passed over"]
    )
    assert all(names == ["to_label.csv"] for names in found["passed over"].values())


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], ["--points"]])
def test_no_random_kill_of_any_command_leaves_what_cannot_go_on(words: list[str]) -> None:
    table = printed("kill_random.py", "--kills", "3", *words)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[4:]]
    assert [row[0] for row in rows] == ["train", "decide", "resume", "export", "evaluate"]
    assert all(row[1] == "3" and sum(map(int, row[2:6])) == 3 and row[6] == "0" for row in rows)
