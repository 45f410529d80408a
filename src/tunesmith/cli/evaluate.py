"""`tunesmith evaluate MODEL... --data FILE`: score any models on the same test examples."""

from pathlib import Path
from typing import Annotated

import typer

from tunesmith.cli.decide import print_contenders
from tunesmith.cli.output import print_json, print_table, say, say_next
from tunesmith.cli.progress import open_listener


def evaluate(
    data: Annotated[Path, typer.Option(help="The test examples.")],
    models: Annotated[list[str] | None, typer.Argument(help="Known names, folders, org/name, or run folders.")] = None,
    recipe: Annotated[str | None, typer.Option(help="A recipe or preset: instruction, scorer, columns ...")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change a recipe key.", metavar="KEY=VALUE")] = None,
    out: Annotated[Path | None, typer.Option(help="Keep the evaluation and the answers in this folder.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Ask every model the same questions and compare them pair by pair on the same examples.

    Answers that other systems gave (--answers FILE) and models behind a URL are compared too, also without a model.
    """
    from tunesmith.recipe.load import load_recipe
    from tunesmith.workflow.evaluate import evaluate as evaluate_models

    listener = open_listener()
    try:
        evaluation, folder = evaluate_models(
            models or [], load_recipe(recipe, [f"data.path={data}", *(set_ or ())]), out, listener
        )
    finally:
        listener.close()
    if json:
        print_json(evaluation.model_dump(mode="json"))
        return
    say(f"{evaluation.task}: {len(evaluation.examples)} test examples, {evaluation.scorer_reason}", "")
    print_contenders(evaluation)
    say("")
    rows = [
        (f"{c.a} - {c.b}", f"{c.difference:+.3f}", f"{c.low:+.3f} to {c.high:+.3f}", f"{c.p:.2g}")
        for c in evaluation.comparisons
    ]
    if rows:
        print_table(("difference", evaluation.metric, "95 % interval", "p"), rows, right=(1, 2, 3))
    if folder is not None:
        say(f"kept in {folder}")
    say_next("decide", data)
