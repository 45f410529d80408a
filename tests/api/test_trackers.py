"""The callbacks log to the real packages, in their modes without a network.

They are extras, so a package that is not installed leaves its test out; `make test-trackers` runs
all of them.
"""

import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tunesmith.callbacks import (
    MLflowCallback,
    TensorBoardCallback,
    TrackerCallback,
    TrackioCallback,
    WandbCallback,
)
from tunesmith.errors import MissingExtraError
from tunesmith.events import Finished, MetricLogged, StageStarted, Started
from tunesmith.records import Decision, MetricLine, Recipe, Requirements, TrainingRecipe

QUERY = "select run_name, step, metrics from metrics order by id"
NAME = "20261130-101500-tickets-abcdef"


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    yield


def play(callback: TrackerCallback, folder: Path) -> None:
    """A short decision: two steps, a validation pass, a verdict."""
    recipe = Recipe(training=TrainingRecipe(epochs=2.0))
    callback(StageStarted("reading and checking the data"))
    callback(Started("decide", recipe, folder / NAME))
    for step, loss in ((1, 1.5), (2, 1.25)):
        line = MetricLine(kind="step", step=step, epoch=step / 2, loss=loss, seconds=1.0 * step)
        callback(MetricLogged(line))
    line = MetricLine(kind="validation", step=2, epoch=1.0, loss=1.0, seconds=3.0, score=0.5)
    callback(MetricLogged(line))
    decision = Decision(
        verdict="prompt",
        winner="zero-shot+labels",
        reasons=(),
        warnings=(),
        requirements=Requirements(),
        metric="accuracy",
        evaluation="e" * 64,
    )
    callback(Finished("decide", "finished", folder / NAME, decision=decision))


def test_tensorboard_reads_the_event_files(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    play(TensorBoardCallback(), tmp_path / "runs")
    read = accumulator.EventAccumulator(str(tmp_path / "runs/tensorboard" / NAME)).Reload()
    assert [(one.step, one.value) for one in read.Scalars("train/loss")] == [(1, 1.5), (2, 1.25)]
    assert [(one.step, one.value) for one in read.Scalars("validation/score")] == [(2, 0.5)]


def test_mlflow_has_parameters_points_and_the_verdict(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    play(MLflowCallback("tickets", tracking_uri=uri), tmp_path)
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("tickets")
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == NAME and run.info.status == "FINISHED"
    assert run.data.params["training.epochs"] == "2.0"
    assert run.data.tags["verdict"] == "prompt" and run.data.tags["winner"] == "zero-shot+labels"
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(one.step, one.value) for one in history] == [(1, 1.5), (2, 1.25)]


def test_trackio_keeps_the_points_on_this_machine(tmp_path: Path) -> None:
    pytest.importorskip("trackio")
    play(TrackioCallback("tickets"), tmp_path)
    with sqlite3.connect(tmp_path / "trackio/tickets.db") as database:
        rows = database.execute(
            "select run_name, step, metrics from metrics order by id"
        ).fetchall()
    assert [(name, step) for name, step, _ in rows] == [(NAME, 1), (NAME, 2), (NAME, 2), (NAME, 2)]
    assert '"train/loss":1.5' in bytes(rows[0][2]).decode()
    assert '"verdict":"prompt"' in bytes(rows[-1][2]).decode()


def test_wandb_writes_an_offline_run(tmp_path: Path) -> None:
    wandb = pytest.importorskip("wandb")
    play(WandbCallback("tickets", mode="offline", dir=str(tmp_path)), tmp_path)
    wandb.teardown()  # its own process writes the file, after the run has ended
    [file] = tmp_path.glob("wandb/offline-run-*/*.wandb")
    content = file.read_bytes()
    assert b"train/loss" in content and b"zero-shot+labels" in content and NAME.encode() in content


@pytest.mark.parametrize(
    ("make", "module", "extra"),
    [
        (MLflowCallback, "mlflow", "mlflow"),
        (WandbCallback, "wandb", "wandb"),
        (TrackioCallback, "trackio", "trackio"),
        (TensorBoardCallback, "tensorboard", "tensorboard"),
    ],
)
def test_a_missing_package_is_an_error_that_names_the_extra(
    make: type[TrackerCallback], module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [])
    for name in [one for one in sys.modules if one.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingExtraError, match=f"tunesmith\\[{extra}\\]"):
        make()
