"""Progress display: a bar with rate and remaining time on a terminal, a line now and then in a log
file.
"""

import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import indent
from typing import TYPE_CHECKING, Self

from tunesmith.cli.console import escape_control_characters
from tunesmith.events import (
    Event,
    Finished,
    MaskShown,
    MetricLogged,
    Notice,
    Progress,
    StageStarted,
    Started,
)

if TYPE_CHECKING:
    from rich.progress import TaskID

    from tunesmith.progress_listener import ProgressListener
    from tunesmith.records import MaskProof, MetricLine

LOG_INTERVAL_SECONDS = 15.0
"""Seconds between two progress lines in a log."""


class RateEstimator:
    """Estimates the remaining time of some work from its recent rate.

    The beginning is not informative: answers are generated in batches, so none is ready for a while
    and then many are. Time is counted from the first that were ready, and there is no estimate
    before `MIN_ADVANCES` further advances.
    """

    MIN_ADVANCES = 3
    RECENT_SECONDS = 60.0

    def __init__(self) -> None:
        self._advances: deque[tuple[float, float]] = deque()

    def add(self, now: float, done: float) -> None:
        """Record that `done` is ready at time `now`; less than before means that the work
        restarted.
        """
        # A second choice under the same label starts again at 0.
        if self._advances and done < self._advances[-1][1]:
            self._advances.clear()
        if done and (not self._advances or done > self._advances[-1][1]):
            self._advances.append((now, done))
        while (
            len(self._advances) > self.MIN_ADVANCES + 1
            and self._advances[1][0] < now - self.RECENT_SECONDS
        ):
            self._advances.popleft()

    def estimate_seconds_left(self, now: float, total: float) -> float | None:
        """Seconds to the end; None while there is no estimate."""
        if len(self._advances) <= self.MIN_ADVANCES:
            return None
        (first, done_first), (last, done) = self._advances[0], self._advances[-1]
        seconds_each = (last - first) / (done - done_first)
        return max(0.0, seconds_each * (total - done) - (now - last))


class LogDisplay:
    """A callback that prints stages, notices and a progress line every few seconds on standard
    error.

    Used in a `with` block, it releases the terminal at the end.
    """

    def __init__(self) -> None:
        self.started: dict[str, float] = {}
        self.last_printed: dict[str, float] = {}
        self.rates: dict[str, RateEstimator] = {}

    def __call__(self, event: Event) -> None:
        """Print one event, if it is worth a line."""
        match event:
            case StageStarted():
                self.print_stage(event.title)
            case Notice():
                self.print_note(format_notice(event))
            case Progress():
                self.print_progress(event)
            case MetricLogged():
                for line in format_metric(event.line):
                    self.print_note(line)
            case MaskShown():
                self.print_mask(event.proof)
            case Started() | Finished():
                pass  # each command prints its own first and last lines

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def print_stage(self, title: str) -> None:
        """Print the title of a stage."""
        print(f"== {escape_control_characters(title)}", file=sys.stderr, flush=True)

    def print_note(self, text: str) -> None:
        """Print a line below the stage's title."""
        print(indent(escape_control_characters(text), "   "), file=sys.stderr, flush=True)

    def print_progress(self, event: Progress) -> None:
        """Print a line now and then, with the remaining time once it can be estimated."""
        now = time.monotonic()
        started = self.started.setdefault(event.label, now)
        pace = self.rates.setdefault(event.label, RateEstimator())
        pace.add(now, event.done)
        is_done = event.done >= event.total
        if not is_done and now - self.last_printed.get(event.label, started) < LOG_INTERVAL_SECONDS:
            return
        self.last_printed[event.label] = now
        left = pace.estimate_seconds_left(now, event.total)
        remaining = f"  {left:.0f} s left" if not is_done and left is not None else ""
        percent = 100 * event.done / max(event.total, 1e-9)
        self.print_note(f"{event.label} {percent:3.0f} %{remaining}  {event.detail}".rstrip())

    def print_mask(self, proof: "MaskProof") -> None:
        """Print the first example with the trained text marked."""
        self.print_note("loss mask: trained text is between ⟦ and ⟧")
        for example in proof.examples[:1]:
            self.print_note(
                "".join(f"⟦{piece.text}⟧" if piece.is_trained else piece.text for piece in example)
            )

    def close(self) -> None:
        """Nothing to release."""


def format_notice(notice: Notice) -> str:
    """A note as its sentence; a warning with its code, as an error has one."""
    return (
        f"warning[{notice.code}]: {notice.message}"
        if notice.severity == "warning"
        else notice.message
    )


def format_metric(line: "MetricLine") -> list[str]:
    """The lines worth printing of a training step or a validation pass: often none."""
    lines = []
    if line.warning:
        lines.append(f"warning[training/anomaly]: step {line.step}: {line.warning}")
    if line.kind == "validation":
        accuracy = (
            f", reward accuracy {line.reward_accuracy:.1%}"
            if line.reward_accuracy is not None
            else ""
        )
        score = f", {line.score_name} {line.score:.3f}" if line.score is not None else ""
        lines.append(f"step {line.step}: validation loss {line.loss:.4f}{accuracy}{score}")
    return lines


class TerminalDisplay(LogDisplay):
    """The same with live progress bars."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as ProgressBars

        super().__init__()
        self.console = Console(stderr=True, highlight=False)
        self.bars = ProgressBars(
            TextColumn("   {task.description:<28}", markup=False),
            BarColumn(24),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            console=self.console,
            transient=False,
        )
        self.tasks: dict[str, TaskID] = {}
        self.bars.start()

    def print_stage(self, title: str) -> None:
        self.console.print(escape_control_characters(title), style="bold", markup=False)

    def print_note(self, text: str) -> None:
        self.console.print(indent(escape_control_characters(text), "   "), markup=False)

    def print_progress(self, event: Progress) -> None:
        label = event.label
        if label not in self.tasks:
            self.tasks[label] = self.bars.add_task(label, total=event.total, detail="")
        self.bars.update(
            self.tasks[label], completed=event.done, total=event.total, detail=event.detail
        )

    def print_mask(self, proof: "MaskProof") -> None:
        from rich.text import Text

        self.print_note("loss mask: trained text is underlined")
        for example in proof.examples[:2]:
            text = Text("   ")
            for piece in example:
                text.append(
                    escape_control_characters(piece.text),
                    style="bold green underline" if piece.is_trained else "dim",
                )
            self.console.print(text)

    def close(self) -> None:
        self.bars.stop()


def open_display() -> LogDisplay:
    """Progress bars on a terminal, log lines elsewhere."""
    return TerminalDisplay() if sys.stderr.isatty() else LogDisplay()


@contextmanager
def open_listener() -> Iterator["ProgressListener"]:
    """A listener whose events are displayed while the block runs."""
    # imported here, because it loads the records, which `--help` does without
    from tunesmith.progress_listener import ProgressListener

    with open_display() as display:
        yield ProgressListener([display])
