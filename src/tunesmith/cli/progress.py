"""How long work is shown: a bar with rate and time left on a terminal, a line now and then in a log file."""

import sys
import time
from textwrap import indent
from typing import TYPE_CHECKING

from tunesmith.cli.output import plain

if TYPE_CHECKING:
    from rich.progress import TaskID

    from tunesmith.records import MaskProof

LINE_EVERY_SECONDS = 15.0


class LogListener:
    """Stages, notes and a progress line every few seconds, on standard error."""

    def __init__(self) -> None:
        self.started: dict[str, float] = {}
        self.said: dict[str, float] = {}

    def stage(self, title: str) -> None:
        """A new stage begins."""
        print(f"== {plain(title)}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Something worth knowing."""
        print(indent(plain(text), "   "), file=sys.stderr, flush=True)

    def progress(self, label: str, done: float, total: float, detail: str = "") -> None:
        """`done` of `total` are ready; `detail` is already formatted."""
        now = time.monotonic()
        started = self.started.setdefault(label, now)
        if done < total and now - self.said.get(label, started) < LINE_EVERY_SECONDS:
            return
        self.said[label] = now
        left = (now - started) / done * (total - done) if done else 0.0
        remaining = f"  {left:.0f} s left" if done < total and left else ""
        self.note(f"{label} {100 * done / max(total, 1e-9):3.0f} %{remaining}  {detail}".rstrip())

    def proof(self, proof: "MaskProof") -> None:
        """The first examples with the trained text marked."""
        self.note("trained text stands between ⟦ and ⟧")
        for example in proof.examples[:1]:
            self.note("".join(f"⟦{piece.text}⟧" if piece.trained else piece.text for piece in example))

    def close(self) -> None:
        """Nothing to put away."""


class TerminalListener(LogListener):
    """The same with live bars."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        super().__init__()
        self.console = Console(stderr=True, highlight=False)
        self.bars: Progress = Progress(
            TextColumn("   {task.description:<28}", markup=False), BarColumn(24), TaskProgressColumn(),
            TimeRemainingColumn(), TextColumn("{task.fields[detail]}", markup=False),
            console=self.console, transient=False,
        )  # fmt: skip
        self.tasks: dict[str, TaskID] = {}
        self.bars.start()

    def stage(self, title: str) -> None:
        self.console.print(plain(title), style="bold", markup=False)

    def note(self, text: str) -> None:
        self.console.print(indent(plain(text), "   "), markup=False)

    def progress(self, label: str, done: float, total: float, detail: str = "") -> None:
        if label not in self.tasks:
            self.tasks[label] = self.bars.add_task(label, total=total, detail="")
        self.bars.update(self.tasks[label], completed=done, total=total, detail=detail)

    def proof(self, proof: "MaskProof") -> None:
        from rich.text import Text

        self.note("what is trained is underlined:")
        for example in proof.examples[:2]:
            text = Text("   ")
            for piece in example:
                text.append(plain(piece.text), style="bold green underline" if piece.trained else "dim")
            self.console.print(text)

    def close(self) -> None:
        self.bars.stop()


def open_listener() -> LogListener:
    """Bars on a terminal, lines elsewhere."""
    return TerminalListener() if sys.stderr.isatty() else LogListener()
