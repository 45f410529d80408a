"""What every command returns."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.records import Answer, Decision, Evaluation, Recipe, Run
from tunesmith.runs.run_folder import RunFolder


@dataclass(frozen=True)
class Result:
    """What a command made; what it did not make is None.

    `recipe` has every default filled in. `train` makes a tuned model in the run's `folder`;
    `evaluate` an evaluation (and a folder if it is told where); `decide` both and a decision, with
    `reports` (the paths of report.html, report.md and report.json) and `document` (the content of
    report.json).
    """

    recipe: Recipe
    run: Run
    folder: RunFolder | None
    evaluation: Evaluation | None = None
    decision: Decision | None = None
    reports: tuple[Path, ...] = ()
    document: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def path(self) -> Path:
        """The path of the run's folder. Errors: ValueError if nothing was kept."""
        if self.folder is None:
            raise ValueError("nothing was kept: give `out`, the folder for it")
        return self.folder.path

    def __fspath__(self) -> str:
        """The path, so that a result is given to `load_model`, `resume` and `render_report`."""
        return str(self.path)

    def read_answers(self, contender: str) -> Sequence[Answer]:
        """The stored answers of a contender; empty if it did not take part or nothing was kept."""
        return self.folder.read_answers(contender).records if self.folder else ()
