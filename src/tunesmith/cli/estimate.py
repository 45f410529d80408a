"""`tunesmith estimate RECIPE [DATA]`: time, memory and money before anything is spent."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.output import print_json, print_table, say, say_next
from tunesmith.cli.progress import open_listener
from tunesmith.cli.sources import recipe_and_data

if TYPE_CHECKING:
    from tunesmith.records import Estimate, Range


def estimate(
    source: Annotated[str, typer.Argument(help="A recipe file (YAML), the name of a preset, or your examples.")],
    data: Annotated[Path | None, typer.Argument(help="Your examples, behind a recipe that names none.")] = None,
    recipe: Annotated[str | None, typer.Option(help="A recipe file or preset, where your examples come first.")] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Load the whole model and time real steps instead of a few layers.")
    ] = False,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change a recipe key.", metavar="KEY=VALUE")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say what a training will take: low, expected, high. Nothing is trained or written.

    Every recipe key is a flag too (tunesmith keys lists them): --minutes 5, --test-limit 100.
    """
    from tunesmith.recipe.load import load_recipe
    from tunesmith.workflow.estimate import estimate as estimate_recipe

    recipe, data = recipe_and_data(source, data, recipe)
    changes = [*([f"data.path={data}"] if data else []), *(set_ or ())]
    listener = open_listener()
    try:
        found = estimate_recipe(load_recipe(recipe, changes), measure=measure, listener=listener)
    finally:
        listener.close()
    if json:
        print_json(found.model_dump(mode="json"))
        return
    print_estimate(found)
    say_next("train", *([recipe] if recipe else []), *(word for change in changes for word in ("--set", change)))


def print_estimate(found: "Estimate") -> None:
    """The three numbers, what they are made of, and what was assumed."""
    from tunesmith.records import passes_told
    from tunesmith.records.estimate import total
    from tunesmith.records.quantity import duration, usd
    from tunesmith.workflow.estimate import too_short

    def row(name: str, of: "Range", tell: Callable[[float], str]) -> tuple[str, ...]:
        return (name, *(tell(value) for value in (of.low, of.expected, of.high)))

    rows = [
        row("tuning takes", found.seconds, duration),
        row("memory", found.memory_bytes, lambda bytes_: f"{bytes_ / 1e9:.2f} GB"),
        row("tuning costs", found.usd, usd),
    ]
    if found.asking_seconds.high > 0:
        whole = total([found.seconds, found.asking_seconds])
        rows = [row("decide takes", whole, duration), *rows, row("decide costs", found.decide_usd, usd)]
    print_table(("", "low", "expected", "high"), rows, right=(1, 2, 3))
    parts = ", ".join(f"{name} {duration(seconds)}" for name, seconds in found.parts.items() if seconds)
    shared = found.tokens_read / max(1, found.tokens_computed)
    plan = found.plan
    say(
        "",
        f"tuned for {passes_told(found.extent)}: {parts}" if found.extent else f"{found.steps:,} steps: {parts}",
        f"{found.tokens_read:,} tokens read, {found.tokens_trained:,} trained; {found.tokens_computed:,} computed"
        + f" ({shared:.1f} times fewer)" * (shared >= 1.05),
        f"at most {plan.most_tokens:,} tokens at once, {plan.bytes_per_token / 1e6:.2f} MB each"
        + ", layers computed twice" * plan.checkpointing,
    )
    if warning := too_short(found):
        say("", f"warning: {warning}")
    say("", "assumed:", *(f"  - {line}" for line in found.assumptions))
