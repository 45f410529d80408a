"""`tunesmith evaluate MODEL... --data FILE`: score any models on the same test examples."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.console import print_json, print_lines, print_next_command, print_table
from tunesmith.cli.decide import print_contenders
from tunesmith.cli.progress import open_listener

if TYPE_CHECKING:
    from tunesmith.records import Evaluation


def evaluate(
    data: Annotated[Path, typer.Option(help="Test examples (JSONL, CSV, Parquet, ...).")],
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Model names, model folders, hub IDs (org/name), or run folders."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Recipe file or preset with instruction, scorer, columns, ..."),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Set a recipe key.", metavar="KEY=VALUE")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Save the evaluation and the answers in this folder.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Evaluate models on the same test examples and compare them pairwise.

    Answers of external systems (--external-answers FILE) and remote models can be compared
    too, also without a local model.
    """
    from tunesmith.recipe.recipe_loader import load_recipe
    from tunesmith.workflow.model_evaluation import evaluate as evaluate_models

    with open_listener() as listener:
        evaluation, folder = evaluate_models(
            models or [], load_recipe(recipe, [f"data.path={data}", *(set_ or ())]), out, listener
        )
    print_evaluation(evaluation, folder, json)
    if not json:
        print_next_command("decide", data)


def print_evaluation(evaluation: "Evaluation", folder: Path | None, json: bool) -> None:
    """The contenders and their differences, or the record as JSON."""
    if json:
        print_json(evaluation.model_dump(mode="json"))
        return
    print_lines(
        f"{evaluation.task}: {len(evaluation.examples)} test examples, {evaluation.scorer_reason}",
        "",
    )
    print_contenders(evaluation)
    print_lines("")
    rows = [
        (f"{c.a} - {c.b}", f"{c.difference:+.3f}", f"{c.low:+.3f} to {c.high:+.3f}", f"{c.p:.2g}")
        for c in evaluation.comparisons
    ]
    if rows:
        print_table(("difference", evaluation.metric, "95 % interval", "p"), rows, right=(1, 2, 3))
    if folder is not None:
        print_lines(f"saved in {folder}")
