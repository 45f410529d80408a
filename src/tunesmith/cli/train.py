"""`tunesmith train RECIPE`: tune only, without baselines or verdict."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.output import print_json, say, say_next
from tunesmith.cli.progress import open_listener

if TYPE_CHECKING:
    from tunesmith.records import Run


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe file (YAML) or the name of a preset.")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change a key: --set training.epochs=2.")] = None,
    out: Annotated[Path, typer.Option(help="Folder in which the run's folder is made.")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Tune a model on the examples that the recipe names. Ctrl-C stops after the current step; resume goes on."""
    from tunesmith.recipe.load import load_recipe
    from tunesmith.workflow.tuning import train as train_recipe

    listener = open_listener()
    try:
        run, folder = train_recipe(load_recipe(recipe, set_ or ()), out, listener)
    finally:
        listener.close()
    print_trained(run, folder.path, json)


def print_trained(run: "Run", folder: Path, as_json: bool) -> None:
    """How a tuning ended, and where it lies."""
    result = run.result
    if as_json:
        print_json(run.model_dump(mode="json"))
        return
    assert result is not None
    early = ", early: the last looks at held-out examples were no better" if result.ended_early else ""
    say(f"run {run.id}: {result.status} after {result.steps} steps in {result.seconds:.0f} s{early}")
    if result.best_validation_loss is not None:
        say(f"kept step {result.best_step}, held-out loss {result.best_validation_loss:.4f}")
    say(f"folder {folder}")
    say_next("chat", folder)
