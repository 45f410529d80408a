"""`tunesmith evaluate MODEL... --data FILE`: score any models on the same test examples."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.console import print_json, print_lines, print_next_command, print_table
from tunesmith.cli.decide import print_contenders
from tunesmith.cli.progress import open_display

if TYPE_CHECKING:
    from tunesmith.workflow.result import Result


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
    from tunesmith.api.commands import evaluate as evaluate_models
    from tunesmith.recipe.recipe_loader import load_recipe

    loaded = load_recipe(recipe, [f"data.path={data}", *(set_ or ())])
    with open_display() as display:
        result = evaluate_models(models or [], recipe=loaded, out=out, callbacks=[display])
    print_evaluation(result, json)
    if not json:
        print_next_command("decide", data)


def print_evaluation(result: "Result", json: bool) -> None:
    """The contenders and their differences, or the record as JSON."""
    evaluation = result.evaluation
    assert evaluation is not None
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
    if result.folder is not None:
        print_lines(f"saved in {result.path}")
