"""Where the stages report what happens: every call becomes one event (`events.py`) for each
callback. The command line draws the events; a script subscribes to them, or to none.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tunesmith.events import (
    Callback,
    Event,
    MaskShown,
    MetricLogged,
    Notice,
    Progress,
    StageStarted,
    Started,
)
from tunesmith.records import MaskProof, MetricLine, Recipe


class ProgressListener:
    """Sends events to `callbacks`, in their order; an exception in one of them is not caught."""

    def __init__(self, callbacks: Iterable[Callback] = ()) -> None:
        self.callbacks = tuple(callbacks)

    def send(self, event: Event) -> None:
        """Send one event."""
        for callback in self.callbacks:
            callback(event)

    def start_run(self, command: str, recipe: Recipe, folder: Path | None) -> None:
        """The folder of a run is there, and its recipe is complete."""
        self.send(Started(command, recipe, folder))

    def start_stage(self, title: str) -> None:
        """A new stage begins."""
        self.send(StageStarted(title))

    def note(self, code: str, message: str, **data: Any) -> None:
        """A message worth showing to the user, with its data by name."""
        self.send(Notice(code, message, "note", data))

    def warn(self, code: str, message: str, **data: Any) -> None:
        """The same for something that may make a result worse than it looks."""
        self.send(Notice(code, message, "warning", data))

    def update_progress(self, label: str, done: float, total: float, detail: str = "") -> None:
        """`done` of `total` are ready; `detail` is already formatted."""
        self.send(Progress(label, done, total, detail))

    def log_metric(self, line: MetricLine) -> None:
        """A training step or a validation pass was measured."""
        self.send(MetricLogged(line))

    def show_mask_proof(self, proof: MaskProof) -> None:
        """The loss mask was proved on the first examples."""
        self.send(MaskShown(proof))


NULL_LISTENER = ProgressListener()
"""Ignores everything."""
