"""`tunesmith train RECIPE`: tune only, without baselines or verdict."""

from pathlib import Path
from typing import Annotated

import typer

from tunesmith.cli.output import print_json, say, say_next
from tunesmith.cli.progress import open_listener


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe file (YAML) or the name of a preset.")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change a key: --set training.epochs=2.")] = None,
    out: Annotated[Path, typer.Option(help="Folder in which the run's folder is made.")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Tune a model on the examples that the recipe names. Ctrl-C stops after the current step and keeps the adapter."""
    from tunesmith.recipe.load import load_recipe
    from tunesmith.workflow.tuning import train as train_recipe

    listener = open_listener()
    try:
        run, folder = train_recipe(load_recipe(recipe, set_ or ()), out, listener)
    finally:
        listener.close()
    result = run.result
    if json:
        print_json(run.model_dump(mode="json"))
        return
    assert result is not None
    say(f"run {run.id}: {result.status} after {result.steps} steps in {result.seconds:.0f} s")
    if result.best_validation_loss is not None:
        loss = f"{result.best_validation_loss:.4f} nats per token"
        say(f"kept the adapter of step {result.best_step}, held-out loss {loss}")
    say(f"folder {folder.path}")
    say_next("chat", folder.path)
