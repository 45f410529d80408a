"""`tunesmith decide DATA`: the main job. Baselines, tuning, evaluation and a verdict on your
data.
"""

from collections.abc import Mapping, Sequence
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.console import (
    parse_columns,
    parse_duration,
    print_json,
    print_lines,
    print_next_command,
    print_table,
)
from tunesmith.cli.progress import open_display
from tunesmith.errors import UsageError

if TYPE_CHECKING:
    from tunesmith.records import Decision, Evaluation, Recipe
    from tunesmith.workflow.result import Result


def decide(
    data: Annotated[
        Path,
        typer.Argument(
            help=(
                "Your examples (JSONL, CSV, Parquet, or a Hugging Face dataset folder), or an "
                "existing run."
            )
        ),
    ],
    model: Annotated[
        str | None, typer.Option(help="Base model: a known name, a folder, or a hub ID (org/name).")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Recipe file (YAML) or name of a preset.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="Training time in minutes; the learning-rate schedule is fitted to it."),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Column mapping: prompt=question,completion=answer.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Time limit for the whole command (15min, 1h, 90s); settings that you leave open "
            "are chosen to fit."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Set a recipe key.", metavar="KEY=VALUE")
    ] = None,
    out: Annotated[Path, typer.Option(help="Parent folder for the run folder.")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Should I prompt, retrieve or fine-tune? Evaluate all options on the same examples.

    Every recipe key is a flag too (tunesmith keys lists them): --min-gain 0.02, --max-latency 2,
    --fail-on-warning, --external-answers other.csv, --documents FOLDER. For an existing run
    folder, the verdict is recomputed from its stored answers, without a model.
    """
    from tunesmith.recipe.recipe_loader import load_recipe

    if _is_run(data):
        _check_no_new_inputs(
            {
                "--model": model,
                "--recipe": recipe,
                "--minutes": minutes,
                "--columns": columns,
                "--budget": budget,
            }
        )
        redecide_and_print(data, set_ or (), json)
        return
    given = {"model": model, "data.path": data}
    changes = [f"{key}={value}" for key, value in given.items() if value is not None]
    if columns is not None:
        changes.append(f"data.columns={dumps(parse_columns(columns))}")
    if minutes is not None:
        changes.append(f"training.minutes={minutes}")
    seconds = None if budget is None else parse_duration(budget, "--budget")
    decide_and_print(load_recipe(recipe, [*changes, *(set_ or ())]), out, json, seconds)


def decide_and_print(
    recipe: "Recipe", out: Path, as_json: bool, budget_seconds: float | None = None
) -> None:
    """Decide, then print the verdict, or with `--json` the report's document. With a budget, what
    the recipe leaves open is chosen so that the whole decision fits.
    """
    from tunesmith.api.commands import decide as decide_recipe

    minutes = None if budget_seconds is None else budget_seconds / 60
    with open_display() as display:
        outcome = decide_recipe(recipe, budget_minutes=minutes, out=out, callbacks=[display])
    print_result(outcome, as_json)


def _is_run(path: Path) -> bool:
    try:
        return (path / "run.json").is_file()
    except OSError:  # the name is too long; the reader reports it
        return False


def _check_no_new_inputs(flags: Mapping[str, object]) -> None:
    """Flags that would need new answers cannot be combined with an earlier run."""
    given = [flag for flag, value in flags.items() if value is not None]
    if given:
        raise UsageError(
            "not-for-a-run",
            "these options cannot be used with an existing run, whose stored answers are reused",
            got=", ".join(given),
            hint="remove them; or pass the data file instead of the run",
        )


def redecide_and_print(run: Path, changes: Sequence[str], as_json: bool) -> None:
    """Print the verdict recomputed from a run's stored answers, and whether it is the same as the
    stored one.
    """
    from tunesmith.runs.run_folder import RunFolder
    from tunesmith.workflow.redecide import fail_on_warnings, redecide

    again = redecide(RunFolder.open(run), changes)
    if not as_json:
        print_decision(again.decision)
        print_lines("")
        print_contenders(again.evaluation)
        print_lines(
            "",
            (
                "same verdict as before"
                if again.is_same
                else f"previous verdict: {again.previous.verdict}"
            ),
        )
        other = again.decision.winner if again.decision.winner != again.previous.winner else None
        words = suggest_next_command(again.decision.verdict, again.decision.winner, run)
        print_next_command(
            *words, *(("--contender", other) if other and words[0] == "chat" else ())
        )
    # After the table, so that a refused verdict is still visible.
    if again.is_strict:
        fail_on_warnings(again.decision, str(run))
    if as_json:  # only one document: the verdict, or (raised above) the refusal
        print_json({**again.decision.model_dump(mode="json"), "is_same": again.is_same})


def print_decision(decision: "Decision") -> None:
    """Print the verdict in three lines, the warnings, then the details."""
    from tunesmith.records import format_verdict

    print_lines(
        "",
        f"verdict: {format_verdict(decision.verdict)}",
        *(f"  {line}" for line in decision.summary),
    )
    print_lines(*(f"  ! {warning}" for warning in decision.warnings))
    print_lines("", "details:")
    for reason in decision.reasons:
        print_lines(f"  - {reason}")


def print_result(outcome: "Result", as_json: bool) -> None:
    """Print the verdict with its reasons, the contenders, and the paths of the report; or the
    report's document.
    """
    if as_json:
        print_json(outcome.document)
        return
    decision, evaluation = outcome.decision, outcome.evaluation
    assert decision is not None and evaluation is not None
    print_decision(decision)
    print_lines("")
    print_summary_table(evaluation, decision)
    print_lines("")
    print_contenders(evaluation)
    print_lines("")
    print_next_command(*suggest_next_command(decision.verdict, decision.winner, outcome.path))
    for path in outcome.reports:
        print_lines(str(path))


def suggest_next_command(verdict: str, winner: str | None, folder: object) -> tuple[object, ...]:
    """The command that uses the winner; a current system that is to be kept is used where it
    runs.
    """
    return ("runs",) if verdict == "stop" and winner is not None else ("chat", folder)


def print_summary_table(evaluation: "Evaluation", decision: "Decision") -> None:
    """Print the verdict's contender, the user's current system, and the runner-up."""
    from tunesmith.records.quantity import format_metric_name, format_percent, format_usd

    rows = []
    for role, name in decision.key_contenders:
        one = evaluation.get_contender(name)
        score, cost = one.metrics.get(evaluation.metric), one.usd_per_1000_or_none
        scored = format_percent(score.value) if score and score.n else "no score"
        rows.append((role, one.name, scored, "unknown" if cost is None else format_usd(cost)))
    print_table(
        ("", "contender", format_metric_name(evaluation.metric), "1,000 requests"),
        rows,
        right=(2, 3),
    )


def print_contenders(evaluation: "Evaluation") -> None:
    """Print one row per contender: the deciding metric with its interval, time and cost; failed
    answers if there are any.
    """
    scores = [contender.metrics[evaluation.metric] for contender in evaluation.contenders]
    has_failed = any(score.n_failed for score in scores)
    rows = []
    for contender, score in zip(evaluation.contenders, scores, strict=True):
        seconds, cost = contender.seconds_per_request_or_none, contender.usd_per_1000_or_none
        scored = (
            (f"{score.value:.3f}", f"{score.low:.3f} to {score.high:.3f}")
            if score.n
            else ("no score", "")
        )
        failed = (f"{score.n_failed:,}",) if has_failed else ()
        time = "unknown" if seconds is None else f"{seconds:.2f}"
        price = "unknown" if cost is None else f"{cost:.4f}"
        rows.append((contender.name, *scored, score.n, *failed, time, price))
    failed_head = ("failed",) if has_failed else ()
    columns = (
        "contender",
        evaluation.metric,
        "95 % interval",
        "n",
        *failed_head,
        "s/request",
        "USD/1,000",
    )
    print_table(columns, rows, right=tuple(range(1, len(columns))))
