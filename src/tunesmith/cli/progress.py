"""Progress display: a bar with rate and remaining time on a terminal, a line now and then in a log
file.
"""

import sys
import time
from collections import deque
from textwrap import indent
from typing import TYPE_CHECKING

from tunesmith.cli.console import escape_control_characters

if TYPE_CHECKING:
    from rich.progress import TaskID

    from tunesmith.records import MaskProof

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


class LogListener:
    """Prints stages, notes and a progress line every few seconds on standard error."""

    def __init__(self) -> None:
        self.started: dict[str, float] = {}
        self.last_printed: dict[str, float] = {}
        self.rates: dict[str, RateEstimator] = {}

    def start_stage(self, title: str) -> None:
        """A new stage begins."""
        print(f"== {escape_control_characters(title)}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """A message worth showing."""
        print(indent(escape_control_characters(text), "   "), file=sys.stderr, flush=True)

    def update_progress(self, label: str, done: float, total: float, detail: str = "") -> None:
        """`done` of `total` are ready; `detail` is already formatted."""
        now = time.monotonic()
        started = self.started.setdefault(label, now)
        pace = self.rates.setdefault(label, RateEstimator())
        pace.add(now, done)
        if done < total and now - self.last_printed.get(label, started) < LOG_INTERVAL_SECONDS:
            return
        self.last_printed[label] = now
        left = pace.estimate_seconds_left(now, total)
        remaining = f"  {left:.0f} s left" if done < total and left is not None else ""
        self.note(f"{label} {100 * done / max(total, 1e-9):3.0f} %{remaining}  {detail}".rstrip())

    def show_mask_proof(self, proof: "MaskProof") -> None:
        """Print the first example with the trained text marked."""
        self.note("trained text stands between ⟦ and ⟧")
        for example in proof.examples[:1]:
            self.note(
                "".join(f"⟦{piece.text}⟧" if piece.trained else piece.text for piece in example)
            )

    def close(self) -> None:
        """Nothing to release."""


class TerminalListener(LogListener):
    """The same with live progress bars."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        super().__init__()
        self.console = Console(stderr=True, highlight=False)
        self.bars: Progress = Progress(
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

    def start_stage(self, title: str) -> None:
        self.console.print(escape_control_characters(title), style="bold", markup=False)

    def note(self, text: str) -> None:
        self.console.print(indent(escape_control_characters(text), "   "), markup=False)

    def update_progress(self, label: str, done: float, total: float, detail: str = "") -> None:
        if label not in self.tasks:
            self.tasks[label] = self.bars.add_task(label, total=total, detail="")
        self.bars.update(self.tasks[label], completed=done, total=total, detail=detail)

    def show_mask_proof(self, proof: "MaskProof") -> None:
        from rich.text import Text

        self.note("what is trained is underlined:")
        for example in proof.examples[:2]:
            text = Text("   ")
            for piece in example:
                text.append(
                    escape_control_characters(piece.text),
                    style="bold green underline" if piece.trained else "dim",
                )
            self.console.print(text)

    def close(self) -> None:
        self.bars.stop()


def open_listener() -> LogListener:
    """Progress bars on a terminal, log lines elsewhere."""
    return TerminalListener() if sys.stderr.isatty() else LogListener()
