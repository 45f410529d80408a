"""Ready-made callbacks: what happens goes to a tracker, or to Python's `logging`.

    from tunesmith.callbacks import MLflowCallback
    tunesmith.train("quick", data="tickets.jsonl", callbacks=[MLflowCallback(experiment="tickets")])

A tracker's package is imported when its callback is made; if it is missing, `MissingExtraError`
names the extra to install. Each run becomes one run of the tracker, under the run's id: the recipe
as its parameters, one point for each training step and validation pass, and the results (scores of
all contenders, the verdict) at the end.
"""

import logging
import re
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from tunesmith.errors import MissingExtraError
from tunesmith.events import (
    Event,
    Finished,
    MetricLogged,
    Notice,
    Outcome,
    Progress,
    StageStarted,
    Started,
)

MAX_PARAMETER_CHARACTERS = 500
"""The longest value of a parameter that MLflow takes from its oldest servers on."""


class Tracker(Protocol):
    """One run of a tracker: what a callback for another one has to provide."""

    def start(self, name: str, parameters: Mapping[str, Any], folder: Path | None) -> None:
        """A run begins; `parameters` are the recipe's keys, such as `training.epochs`."""

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """The numbers of one step."""

    def finish(self, outcome: Outcome, summary: Mapping[str, float | str]) -> None:
        """The run ended."""


class TrackerCallback:
    """Passes the events that a tracker shows on to it; base of the callbacks below."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._is_started = False

    def __call__(self, event: Event) -> None:
        """Receive one event."""
        if isinstance(event, Started):
            self._tracker.start(event.run_name, flatten_recipe(event.recipe), event.folder)
            self._is_started = True
        elif isinstance(event, MetricLogged):
            self._tracker.log_metrics(event.values, event.step)
        # a command that failed before its work began leaves no run in the tracker
        elif isinstance(event, Finished) and self._is_started:
            self._is_started = False
            self._tracker.finish(event.outcome, event.summary)


def flatten_recipe(recipe: Any) -> dict[str, Any]:
    """The recipe's values by key, such as `training.epochs`, without those that are not set."""
    flat: dict[str, Any] = {}

    def add(prefix: str, tree: Mapping[str, Any]) -> None:
        for name, value in tree.items():
            if isinstance(value, Mapping) and value:
                add(f"{prefix}{name}.", value)
            elif value not in (None, [], {}):
                flat[f"{prefix}{name}"] = value

    add("", recipe.model_dump(mode="json"))
    return flat


def import_extra(module: str, extra: str, purpose: str) -> Any:
    """Import an optional package. Errors: `MissingExtraError` that names the extra."""
    try:
        return import_module(module)
    except ImportError as error:
        # a package that is there and cannot be imported has another cause than a missing one
        if error.name is None or module.split(".")[0] != error.name.split(".")[0]:
            raise
        raise MissingExtraError(extra, purpose) from None


class MLflowCallback(TrackerCallback):
    """Logs to MLflow. `tracking_uri`: None takes MLflow's own setting (`MLFLOW_TRACKING_URI`).

    Errors: `MissingExtraError` without `tunesmith[mlflow]`.
    """

    def __init__(self, experiment: str = "tunesmith", tracking_uri: str | None = None) -> None:
        super().__init__(_MLflowTracker(experiment, tracking_uri))


class _MLflowTracker:
    """Uses a client of its own: MLflow's active run, which is global, stays the user's."""

    def __init__(self, experiment: str, tracking_uri: str | None) -> None:
        self._mlflow = import_extra("mlflow", "mlflow", "logging to MLflow")
        self._client = self._mlflow.MlflowClient(tracking_uri=tracking_uri)
        self._experiment = experiment
        self._run = ""

    def start(self, name: str, parameters: Mapping[str, Any], folder: Path | None) -> None:
        known = self._client.get_experiment_by_name(self._experiment)
        number = known.experiment_id if known else self._client.create_experiment(self._experiment)
        self._run = self._client.create_run(number, run_name=name).info.run_id
        for key, value in parameters.items():
            self._client.log_param(self._run, _make_plain_name(key), _shorten(value))

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        points = [
            self._mlflow.entities.Metric(_make_plain_name(name), value, now, step)
            for name, value in values.items()
        ]
        # one request for all of them: a step may take less time than a request
        self._client.log_batch(self._run, metrics=points)

    def finish(self, outcome: Outcome, summary: Mapping[str, float | str]) -> None:
        for name, value in summary.items():
            if isinstance(value, str):
                self._client.set_tag(self._run, _make_plain_name(name), value)
            else:
                self._client.log_metric(self._run, _make_plain_name(name), value)
        status = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}[outcome]
        self._client.set_terminated(self._run, status)


def _shorten(value: object) -> str:
    text = str(value)
    too_long = len(text) > MAX_PARAMETER_CHARACTERS
    return f"{text[: MAX_PARAMETER_CHARACTERS - 1]}…" if too_long else text


def _make_plain_name(name: str) -> str:
    """The name with `_` for what MLflow refuses: the `+` of `tuned+rag`."""
    return re.sub(r"[^\w./ -]", "_", name, flags=re.ASCII)


class WandbCallback(TrackerCallback):
    """Logs to Weights & Biases. `options` are passed on to `wandb.init` (`entity`, `mode`, `dir`).

    Errors: `MissingExtraError` without `tunesmith[wandb]`.
    """

    def __init__(self, project: str = "tunesmith", **options: Any) -> None:
        super().__init__(_WandbTracker(project, options))


class _WandbTracker:
    def __init__(self, project: str, options: Mapping[str, Any]) -> None:
        self._wandb = import_extra("wandb", "wandb", "logging to Weights & Biases")
        self._options = {"project": project, **options}
        self._run: Any = None

    def start(self, name: str, parameters: Mapping[str, Any], folder: Path | None) -> None:
        self._run = self._wandb.init(name=name, config=dict(parameters), **self._options)

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def finish(self, outcome: Outcome, summary: Mapping[str, float | str]) -> None:
        self._run.summary.update({**summary, "outcome": outcome})
        self._run.finish(exit_code=0 if outcome == "finished" else 1)


class TrackioCallback(TrackerCallback):
    """Logs to Trackio, on this machine unless a space is named in `options` (of `trackio.init`).

    Errors: `MissingExtraError` without `tunesmith[trackio]`.
    """

    def __init__(self, project: str = "tunesmith", **options: Any) -> None:
        super().__init__(_TrackioTracker(project, options))


class _TrackioTracker:
    def __init__(self, project: str, options: Mapping[str, Any]) -> None:
        self._trackio = import_extra("trackio", "trackio", "logging to Trackio")
        self._options = {"project": project, **options}
        self._run: Any = None
        self._last_step = 0

    def start(self, name: str, parameters: Mapping[str, Any], folder: Path | None) -> None:
        self._run = self._trackio.init(name=name, config=dict(parameters), **self._options)

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        self._last_step = step
        self._run.log(dict(values), step=step)

    def finish(self, outcome: Outcome, summary: Mapping[str, float | str]) -> None:
        # Trackio has no summary: the results become the values of the last step
        self._run.log({**summary, "outcome": outcome}, step=self._last_step)
        self._run.finish()


class TensorBoardCallback(TrackerCallback):
    """Writes event files for TensorBoard. `folder`: None is `tensorboard/` beside the run's folder.

    Errors: `MissingExtraError` without `tunesmith[tensorboard]`.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        super().__init__(_TensorBoardTracker(None if folder is None else Path(folder)))


class _TensorBoardTracker:
    """Writes protocol buffers with TensorBoard's own writer, which needs no torch."""

    def __init__(self, folder: Path | None) -> None:
        purpose = "writing files for TensorBoard"
        writer = import_extra(
            "tensorboard.summary.writer.event_file_writer", "tensorboard", purpose
        )
        self._event = import_extra(
            "tensorboard.compat.proto.event_pb2", "tensorboard", purpose
        ).Event
        self._summary = import_extra(
            "tensorboard.compat.proto.summary_pb2", "tensorboard", purpose
        ).Summary
        self._make_writer = writer.EventFileWriter
        self._folder = folder
        self._writer: Any = None
        self._last_step = 0

    def start(self, name: str, parameters: Mapping[str, Any], folder: Path | None) -> None:
        parent = self._folder or (folder.parent if folder else Path()) / "tensorboard"
        self._writer = self._make_writer(str(parent / name))

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        self._last_step = step
        # fields of a protocol buffer, whose names are TensorBoard's own
        points = [
            self._summary.Value(tag=name, simple_value=value) for name, value in values.items()
        ]
        event = self._event(wall_time=time.time(), step=step, summary=self._summary(value=points))
        self._writer.add_event(event)

    def finish(self, outcome: Outcome, summary: Mapping[str, float | str]) -> None:
        numbers = {name: value for name, value in summary.items() if not isinstance(value, str)}
        self.log_metrics(numbers, self._last_step)
        self._writer.close()


class LoggingCallback:
    """Writes to a logger of Python's `logging`; by default to `tunesmith`.

    Warnings have the level WARNING, progress DEBUG, everything else INFO. `record.event` is the
    event itself, for handlers that want its data.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self.logger = logger or logging.getLogger("tunesmith")

    def __call__(self, event: Event) -> None:
        """Receive one event."""
        level, text = _word_event(event)
        self.logger.log(level, "%s", text, extra={"event": event})


def _word_event(event: Event) -> tuple[int, str]:
    """(level, text) of an event."""
    if isinstance(event, Notice):
        level = logging.WARNING if event.severity == "warning" else logging.INFO
        return level, f"{event.message} [{event.code}]"
    if isinstance(event, Progress):
        share = event.done / event.total if event.total else 0.0
        return logging.DEBUG, f"{event.label} {share:.0%} {event.detail}".rstrip()
    if isinstance(event, MetricLogged):
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in event.values.items())
        return logging.INFO, f"step {event.step}: {numbers}"
    if isinstance(event, StageStarted):
        return logging.INFO, event.title
    if isinstance(event, Started):
        return logging.INFO, f"{event.command} started: {event.folder or 'nothing is saved'}"
    if isinstance(event, Finished):
        verdict = f", verdict: {event.decision.verdict}" if event.decision else ""
        level = logging.ERROR if event.outcome == "failed" else logging.INFO
        return level, f"{event.command} {event.outcome}{verdict}"
    return logging.DEBUG, "the loss mask was proved"
