"""Ctrl-C (130) or SIGTERM (143) while a model is tuned: it says what was kept, and what was kept
can be used."""

import json
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from door import Door

from tunesmith.records import Run
from tunesmith.runs.run_folder import RunFolder
from tunesmith.runs.signals import STEP_MESSAGE
from tunesmith.testing.fake_openai import make_chat_completion
from tunesmith.testing.raw_service import Connection, RawService

Start = Callable[..., "subprocess.Popen[str]"]
LONG = ("--set", "training.epochs=100000", "--set", "training.num_evals=1")


def folder_when_tuning(
    out: Path, process: "subprocess.Popen[str]", seconds: float = 60
) -> RunFolder:
    """The run's folder once its first steps are on disk."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        for metrics in out.glob("*/metrics.jsonl"):
            if metrics.read_text().count('"kind":"step"') >= 2:
                return RunFolder.open(metrics.parent)
        time.sleep(0.05)
    raise AssertionError(f"no training began: {process.communicate()}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["decide", "train"])
def test_an_interrupted_run_can_be_used(
    start: Start,
    tunesmith: Door,
    labels_csv: Path,
    settings: list[str],
    tmp_path: Path,
    command: str,
    number: int,
) -> None:
    (recipe := tmp_path / "tiny.yaml").write_text(f"data: {{path: {labels_csv}}}\n")
    what = labels_csv if command == "decide" else recipe
    process = start(command, what, "--out", tmp_path / "runs", "--json", *settings, *LONG)
    folder = folder_when_tuning(tmp_path / "runs", process)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)

    assert process.returncode == 128 + number, err
    assert "Traceback" not in err
    assert err.count(STEP_MESSAGE) == 1 and "error[" not in err
    message = err.splitlines()[-1]
    assert message.startswith(
        f"Interrupted. Saved in {folder.path}: the tuned weights and the metrics"
    )
    assert f"Next: tunesmith resume {folder.path}" in message
    assert json.loads(out)["error"]["code"] == "interrupted/stopped"

    run = folder.read(Run)
    assert run.status == "interrupted" and run.result is not None and run.result.steps >= 2
    assert (
        tunesmith("chat", folder.path, "--message", "a red boat", "--max-new-tokens", 4).code == 0
    )
    assert tunesmith("show", folder.id, "--json").document["run"]["status"] == "interrupted"


INTERRUPTED_IMPORT = """
import signal, sys

# a shell that runs tests in the background lets SIGINT be ignored, and children inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "tunesmith.cli.console":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from tunesmith.__main__ import main
main()
"""


def test_while_the_program_is_still_imported() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IMPORT], capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (130, "Interrupted before anything was started.\n")


def test_while_a_model_waits_for_a_question(start: Start, tiny_model: Path) -> None:
    process = start("chat", tiny_model, "--json", "--max-new-tokens", "4", stdin=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("a question\n")
    process.stdin.flush()
    while process.stdout.readline() != "}\n":  # its answer: the model is loaded, and waits
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and json.loads(out)["error"]["code"] == "interrupted/stopped"
    assert err.startswith("Interrupted") and err.count("\n") == 1


def test_while_the_baselines_are_asked(
    start: Start, labels_csv: Path, settings: list[str], tmp_path: Path
) -> None:
    slow = ("--set", "evaluation.max_new_tokens=400", "--set", "evaluation.batch_size=1")
    process = start("decide", labels_csv, "--out", tmp_path / "runs", *settings, *slow)
    assert process.stderr is not None
    while "evaluating the baselines" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert err.count("Interrupted") == 1 and STEP_MESSAGE not in err
    assert "tuning" not in err and "Traceback" not in err and "error[" not in err


def test_two_impatient_ctrl_c_end_at_once(
    start: Start, labels_csv: Path, settings: list[str], tmp_path: Path
) -> None:
    process = start("decide", labels_csv, "--out", tmp_path / "runs", *settings, *LONG)
    folder = folder_when_tuning(tmp_path / "runs", process)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in err
    assert f"Saved in {folder.path}" in err.splitlines()[-1]
    assert f"Next: tunesmith resume {folder.path}" in err.splitlines()[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_leaves_a_service_that_never_answers(
    start: Start, labels_csv: Path, settings: list[str], tmp_path: Path, number: signal.Signals
) -> None:
    """One answer would be waited for two minutes; so would be the end of a pool of threads."""
    is_asked = threading.Event()

    def talk(connection: Connection) -> None:
        connection.read_request()
        if service.connection_count > 1:
            is_asked.set()
            connection.wait_for_stop()
        connection.send_reply(make_chat_completion("red"))

    with RawService(talk) as service:
        remote = [
            {
                "name": "far",
                "base_url": service.url,
                "model": "m",
                "usd_per_million_in": 0,
                "usd_per_million_out": 0,
            }
        ]
        words = (
            "--set",
            f"evaluation.remote={json.dumps(remote)}",
            "--set",
            "requirements.max_forgetting=null",
        )
        quick = ("--set", "evaluation.prompt_trials=0", "--set", "evaluation.constrained=false")
        process = start(
            "decide", labels_csv, "--out", tmp_path / "o u$t", *settings, *words, *quick
        )
        assert is_asked.wait(120)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert "Traceback" not in err and "error[" not in err
    (folder,) = (tmp_path / "o u$t").iterdir()
    assert f"Next: tunesmith resume {shlex.quote(str(folder))}" in err
    assert RunFolder.open(folder).read(Run).status == "interrupted"


SLOW_SCORER = """
import os, time

def own(answer, reference):
    while os.path.exists({flag!r}) and answer != reference:
        time.sleep(0.01)
    return answer == reference
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_a_scorers_child_is_at_work_and_the_answers_are_not_asked_for_again(
    start: Start,
    tunesmith: Door,
    labels_csv: Path,
    settings: list[str],
    tmp_path: Path,
    number: int,
) -> None:
    """The first signal was acted upon when all was scored, which may take an hour."""
    flag, scorer = tmp_path / "slow", tmp_path / "own.py"
    scorer.write_text(SLOW_SCORER.format(flag=str(flag)))
    words = (
        "--set",
        f"evaluation.scorer={scorer}:own",
        "--set",
        "requirements.max_forgetting=null",
    )
    quick = ("--set", "evaluation.prompt_trials=0", "--set", "evaluation.constrained=false")
    (tmp_path / "runs").mkdir()
    process = start("decide", labels_csv, "--out", tmp_path / "runs", *settings, *words, *quick)
    assert process.stderr is not None
    while "evaluating the baselines" not in process.stderr.readline():
        assert process.poll() is None
    flag.touch()
    (folder,) = RunFolder.list_all(tmp_path / "runs")
    while not folder.unscored():
        assert process.poll() is None and not folder.list_contenders()
        time.sleep(0.01)
    while not (children := psutil.Process(process.pid).children()):
        assert process.poll() is None
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number, err
    message = err.splitlines()[-1]
    assert message.startswith(
        f"Interrupted. Saved in {folder.path}: the answers of zero-shot, not scored yet"
    )
    assert message.endswith(f"Next: tunesmith resume {folder.path}")
    gone, alive = psutil.wait_procs(children, timeout=30)
    assert gone and not alive
    assert folder.read(Run).status == "interrupted" and not list(folder.path.rglob(".tmp-*"))

    flag.unlink()
    resumed = tunesmith("resume", folder.path)
    assert resumed.code == 0, resumed.err
    assert "zero-shot: scoring stored answers" in resumed.err
    assert (
        "zero-shot" in folder.list_contenders()
        and not (folder.path / "unscored").exists()
        and not folder.find_damage()
    )


def test_while_a_judge_that_is_examined_never_replies(
    start: Start, labels_csv: Path, settings: list[str], tiny_model: Path, tmp_path: Path
) -> None:
    def talk(connection: Connection) -> None:
        connection.read_request()
        is_asked.set()
        connection.wait_for_stop()

    is_asked = threading.Event()
    people = tmp_path / "people.csv"
    judged = [
        f"{number} boat is painted?,red,red,{('right', 'wrong')[number % 2]}"
        for number in range(60)
    ]
    people.write_text("\n".join(["question,answer,reference,label", *judged]) + "\n")
    with RawService(talk) as service:
        remote = [
            {
                "name": "far",
                "base_url": service.url,
                "model": "m",
                "usd_per_million_in": 0,
                "usd_per_million_out": 0,
            }
        ]
        words = ("--set", f"evaluation.remote={json.dumps(remote)}", "--set", "judge.model=far")
        process = start(
            "evaluate",
            tiny_model,
            "--data",
            labels_csv,
            "--out",
            tmp_path / "out",
            *settings,
            *words,
            "--set",
            f"judge.human_labels={people}",
        )
        assert is_asked.wait(120)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "Interrupted. Nothing was saved. Next: rerun the command"
    assert not list(tmp_path.glob("out/*"))
