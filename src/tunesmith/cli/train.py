"""`tunesmith train RECIPE`: tune only, without baselines or verdict."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.command_inputs import resolve_recipe_and_data
from tunesmith.cli.console import print_json, print_lines, print_next_command
from tunesmith.cli.progress import open_display

if TYPE_CHECKING:
    from tunesmith.records import Run


def train(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE|DATA", help="Recipe file (YAML), name of a preset, or your examples."
        ),
    ],
    data: Annotated[
        Path | None, typer.Argument(help="Your examples, if the recipe does not name any.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Recipe file or preset, if the first argument is your examples."),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Set a recipe key.", metavar="KEY=VALUE")
    ] = None,
    out: Annotated[Path, typer.Option(help="Parent folder for the run folder.")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Train a model on your examples, without baselines or verdict.

    Ctrl-C stops after the current step; tunesmith resume continues.
    Every recipe key is a flag too (tunesmith keys lists them): --epochs 2, --learning-rate 1e-3.
    """
    from tunesmith.api.commands import train as train_recipe
    from tunesmith.recipe.recipe_loader import load_recipe

    recipe, data = resolve_recipe_and_data(source, data, recipe)
    changes = [*([f"data.path={data}"] if data else []), *(set_ or ())]
    loaded = load_recipe(recipe, changes)
    with open_display() as display:
        result = train_recipe(loaded, out=out, callbacks=[display])
    print_training_result(result.run, result.path, json)


def print_training_result(run: "Run", folder: Path, as_json: bool) -> None:
    """Print how a training ended, and where its result is."""
    from tunesmith.records import format_needed_minutes

    result = run.result
    if as_json:
        print_json(run.model_dump(mode="json"))
        return
    assert result is not None
    early = (
        ", stopped early: no improvement in the last validations" if result.stopped_early else ""
    )
    print_lines(
        f"run {run.id}: {result.status} after {result.steps} steps in {result.seconds:.0f} s{early}"
    )
    if result.training_length is not None:
        print_lines(f"trained for {result.training_length.summary}")
        if result.training_length.is_short:
            print_lines(
                "warning: trained too little to judge fine-tuning; "
                f"{format_needed_minutes(result.training_length)}".rstrip("; ")
            )
    if result.best_validation_loss is not None:
        print_lines(
            f"best checkpoint: step {result.best_step}, validation loss "
            f"{result.best_validation_loss:.4f}"
        )
    print_lines(f"folder {folder}")
    print_next_command("chat", folder)
