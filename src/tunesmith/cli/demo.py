"""`tunesmith demo`: the complete decision on the embedded model and the sample data."""

from pathlib import Path
from typing import Annotated

import typer

from tunesmith.cli.decide import decide_and_print

DEMO_PRESET = "names-demo"


def demo(
    minutes: Annotated[float | None, typer.Option(help="Training time in minutes.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Set a recipe key.", metavar="KEY=VALUE")
    ] = None,
    out: Annotated[Path, typer.Option(help="Parent folder for the run folder.")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Run everything on sample data: baselines, tuning, evaluation, verdict, report."""
    from tunesmith.recipe.recipe_loader import load_recipe
    from tunesmith.runs.local_inventory import fetch_sample

    changes = [f"data.path={fetch_sample()}"]
    if minutes is not None:
        changes.append(f"training.minutes={minutes}")
    decide_and_print(load_recipe(DEMO_PRESET, [*changes, *(set_ or ())]), out, json)
