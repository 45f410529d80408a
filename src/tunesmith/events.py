"""What happens during a command, as typed events. A callback is any callable that takes one:

    def show(event: tunesmith.events.Event) -> None:
        if isinstance(event, tunesmith.events.MetricLogged):
            print(event.step, event.values)

    tunesmith.train("quick", data="tickets.jsonl", callbacks=[show])

The command line draws its progress bars from the same events, and the trackers of
`tunesmith.callbacks` log from them. Events come in the order in which things happen, in the thread
that does the work. An exception in a callback ends the command as any other error does: a run that
was begun can be resumed.

    Started         the run's folder exists; its recipe is complete
    StageStarted    a part of the work begins, such as the tuning
    Progress        so much of some work is done
    MetricLogged    a training step, or a validation pass
    Notice          a note or a warning, with a stable code and its data
    MaskShown       the first examples, with the tokens that are trained
    Finished        the command ended, and how; always the last one
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from tunesmith.records import Decision, Evaluation, MaskProof, MetricLine, Recipe, Run

Severity = Literal["note", "warning"]
Outcome = Literal["finished", "interrupted", "failed"]


@dataclass(frozen=True, slots=True)
class Started:
    """The work of a command begins: its inputs are read and checked.

    `folder` is the folder of the run, None if nothing is kept; `recipe` has every default filled
    in. A resumed run starts again, under the same name.
    """

    command: str
    recipe: "Recipe"
    folder: Path | None = None

    @property
    def run_name(self) -> str:
        """The id of the run; the command if nothing is kept."""
        return self.folder.name if self.folder else self.command


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A part of the work begins; `title` names it in words."""

    title: str


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` are ready (examples, seconds or epochs); `detail` is formatted text."""

    label: str
    done: float
    total: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class MetricLogged:
    """One line of `metrics.jsonl`: a training step or a validation pass."""

    line: "MetricLine"

    @property
    def step(self) -> int:
        """The optimizer step, counted from 1; 0 before the first."""
        return self.line.step

    @property
    def values(self) -> dict[str, float]:
        """The numbers of the line by name, such as `train/loss` or `validation/accuracy`."""
        line = self.line
        side = "validation" if line.kind == "validation" else "train"
        numbers = {
            "loss": line.loss,
            "learning_rate": line.learning_rate,
            "gradient_norm": line.gradient_norm,
            "epoch": line.epoch,
            "seconds": line.seconds,
            "tokens_trained": line.tokens_trained,
            "reward_accuracy": line.reward_accuracy,
            line.score_name or "score": line.score,
        }
        return {
            f"{side}/{name}": float(value) for name, value in numbers.items() if value is not None
        }


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the user should know: `code` is stable, `message` is a sentence for people.

    `data` holds the numbers and names of the message, so that a script need not parse it.
    """

    code: str
    message: str
    severity: Severity = "note"
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MaskShown:
    """The first training examples, with the text that the loss is computed on."""

    proof: "MaskProof"


@dataclass(frozen=True, slots=True)
class Finished:
    """The command ended. What it did not make is None; `error` is set unless it finished."""

    command: str
    outcome: Outcome
    folder: Path | None = None
    run: "Run | None" = None
    evaluation: "Evaluation | None" = None
    decision: "Decision | None" = None
    error: BaseException | None = None

    @property
    def summary(self) -> dict[str, float | str]:
        """The results by name: `loss/best_validation`, `score/CONTENDER`, `verdict` and others."""
        found: dict[str, float | str] = {}
        if self.run is not None and self.run.result is not None:
            result = self.run.result
            found |= {"best_step": result.best_step, "seconds": result.seconds}
            if result.best_validation_loss is not None:
                found["best_validation_loss"] = result.best_validation_loss
        if self.evaluation is not None:
            metric = self.evaluation.metric
            found |= {
                f"score/{one.name}": one.metrics[metric].value
                for one in self.evaluation.contenders
                if metric in one.metrics and one.metrics[metric].n
            }
        if self.decision is not None:
            found |= {"verdict": self.decision.verdict, "winner": self.decision.winner or ""}
        return found


Event = Started | StageStarted | Progress | MetricLogged | Notice | MaskShown | Finished
Callback = Callable[[Event], None]
