"""What happens during a command comes as typed events, in order, to every callback."""

import logging

import pytest

from tunesmith.callbacks import LoggingCallback, flatten_recipe
from tunesmith.cli.progress import LogDisplay
from tunesmith.events import Event, Finished, MetricLogged, Notice, Progress, StageStarted, Started
from tunesmith.progress_listener import ProgressListener
from tunesmith.records import MetricLine, Recipe, TrainingRecipe
from tunesmith.testing.recording_listener import RecordingListener

STEP = MetricLine(kind="step", step=3, epoch=0.5, loss=1.25, seconds=2.0, learning_rate=0.01)
PASS = MetricLine(
    kind="validation", step=3, epoch=0.5, loss=1.5, seconds=2.0, score=0.75, score_name="accuracy"
)


def test_every_callback_gets_every_event_in_order() -> None:
    first: list[Event] = []
    second: list[Event] = []
    listener = ProgressListener([first.append, second.append])
    listener.start_stage("tuning")
    listener.update_progress("tuning", 1, 2, "step 1")
    listener.warn("data/duplicates", "2 examples are the same", count=2)
    listener.log_metric(STEP)
    assert first == second
    assert first == [
        StageStarted("tuning"),
        Progress("tuning", 1, 2, "step 1"),
        Notice("data/duplicates", "2 examples are the same", "warning", {"count": 2}),
        MetricLogged(STEP),
    ]


def test_an_error_in_a_callback_is_not_swallowed() -> None:
    def fail(event: Event) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        ProgressListener([fail]).start_stage("tuning")


def test_the_numbers_of_a_metric_are_named_by_their_side() -> None:
    assert MetricLogged(STEP).values == {
        "train/loss": 1.25,
        "train/learning_rate": 0.01,
        "train/epoch": 0.5,
        "train/seconds": 2.0,
    }
    assert MetricLogged(PASS).values == {
        "validation/loss": 1.5,
        "validation/accuracy": 0.75,
        "validation/epoch": 0.5,
        "validation/seconds": 2.0,
    }


def test_the_command_line_words_notices_and_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    listener = ProgressListener([LogDisplay()])
    listener.start_stage("tuning")
    listener.note("data/split-sizes", "8 train examples", train=8)
    listener.warn("data/duplicates", "2 examples are the same", count=2)
    listener.log_metric(PASS)
    listener.log_metric(STEP.replace(warning="the loss jumped"))
    assert capsys.readouterr().err.splitlines() == [
        "== tuning",
        "   8 train examples",
        "   warning[data/duplicates]: 2 examples are the same",
        "   step 3: validation loss 1.5000, accuracy 0.750",
        "   warning[training/anomaly]: step 3: the loss jumped",
    ]


def test_logging_takes_the_level_of_what_happened(caplog: pytest.LogCaptureFixture) -> None:
    callback = LoggingCallback(logging.getLogger("mine"))
    events: list[Event] = [
        StageStarted("tuning"),
        Progress("tuning", 1, 2),
        Notice("data/duplicates", "2 examples are the same", "warning"),
        MetricLogged(PASS),
        Finished("train", "failed", error=ValueError("x")),
    ]
    with caplog.at_level(logging.DEBUG, "mine"):
        for event in events:
            callback(event)
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
        ("INFO", "tuning"),
        ("DEBUG", "tuning 50%"),
        ("WARNING", "2 examples are the same [data/duplicates]"),
        (
            "INFO",
            "step 3: validation/loss 1.5, validation/epoch 0.5, validation/seconds 2, "
            "validation/accuracy 0.75",
        ),
        ("ERROR", "train failed"),
    ]
    assert [getattr(one, "event", None) for one in caplog.records] == events


def test_a_recipe_becomes_parameters_by_key_without_what_is_not_set() -> None:
    flat = flatten_recipe(Recipe(training=TrainingRecipe(epochs=2.0)))
    assert flat["training.epochs"] == 2.0 and flat["model"] == "smollm2-135m-instruct"
    assert "training.minutes" not in flat and "data.columns" not in flat


def test_a_recording_listener_keeps_what_was_sent() -> None:
    listener = RecordingListener()
    listener.start_run("train", Recipe(), None)
    listener.note("a/code", "a message", number=1)
    assert listener.codes == ["a/code"] and listener.messages == ["a message"]
    assert isinstance(listener.events[0], Started) and listener.events[0].run_name == "train"
