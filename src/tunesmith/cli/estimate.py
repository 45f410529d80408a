"""`tunesmith estimate RECIPE [DATA]`: time, memory and cost before anything is spent."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.command_inputs import resolve_recipe_and_data
from tunesmith.cli.console import print_json, print_lines, print_next_command, print_table
from tunesmith.cli.progress import open_listener

if TYPE_CHECKING:
    from tunesmith.records import Estimate, EstimateInterval


def estimate(
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
    measure: Annotated[
        bool,
        typer.Option(
            "--measure", help="Measure real steps of the whole model instead of a few layers."
        ),
    ] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Set a recipe key.", metavar="KEY=VALUE")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Estimate training time, memory and cost (low, expected, high). Nothing is trained.

    Every recipe key is a flag too (tunesmith keys lists them): --minutes 5, --max-test-examples
    100.
    """
    from tunesmith.recipe.recipe_loader import load_recipe
    from tunesmith.workflow.estimate import estimate as estimate_recipe

    recipe, data = resolve_recipe_and_data(source, data, recipe)
    changes = [*([f"data.path={data}"] if data else []), *(set_ or ())]
    with open_listener() as listener:
        result = estimate_recipe(load_recipe(recipe, changes), measure=measure, listener=listener)
    if json:
        print_json(result.model_dump(mode="json"))
        return
    print_estimate(result)
    print_next_command(
        "train",
        *([recipe] if recipe else []),
        *(word for change in changes for word in ("--set", change)),
    )


def print_estimate(estimate: "Estimate") -> None:
    """Print the three numbers, their components, and the assumptions."""
    from tunesmith.records import format_epochs
    from tunesmith.records.quantity import format_duration, format_usd
    from tunesmith.records.training_estimate import sum_intervals
    from tunesmith.workflow.estimate import format_short_training_warning

    def build_row(
        name: str, interval: "EstimateInterval", format_value: Callable[[float], str]
    ) -> tuple[str, ...]:
        return (
            name,
            *(format_value(value) for value in (interval.low, interval.expected, interval.high)),
        )

    rows = [
        build_row("training time", estimate.seconds, format_duration),
        build_row("memory", estimate.memory_bytes, lambda bytes_: f"{bytes_ / 1e9:.2f} GB"),
        build_row("training cost", estimate.usd, format_usd),
    ]
    if estimate.evaluation_seconds.high > 0:
        whole = sum_intervals([estimate.seconds, estimate.evaluation_seconds])
        rows = [
            build_row("decide time", whole, format_duration),
            *rows,
            build_row("decide cost", estimate.decide_usd, format_usd),
        ]
    print_table(("", "low", "expected", "high"), rows, right=(1, 2, 3))
    parts = ", ".join(
        f"{name} {format_duration(seconds)}"
        for name, seconds in estimate.breakdown.items()
        if seconds
    )
    shared = estimate.tokens_read / max(1, estimate.tokens_computed)
    plan = estimate.plan
    print_lines(
        "",
        (
            f"{format_epochs(estimate.training_length)}: {parts}"
            if estimate.training_length
            else f"{estimate.steps:,} steps: {parts}"
        ),
        f"{estimate.tokens_read:,} tokens read, {estimate.tokens_trained:,} trained, "
        f"{estimate.tokens_computed:,} computed"
        + f" ({shared:.1f}x fewer thanks to shared prefixes)"
        * (shared >= 1.05),
        (
            f"micro-batch: up to {plan.max_tokens:,} tokens "
            f"({plan.bytes_per_token / 1e6:.2f} MB per token)"
        )
        + ", gradient checkpointing on" * plan.checkpointing,
    )
    if warning := format_short_training_warning(estimate):
        print_lines("", f"warning: {warning}")
    print_lines("", "assumed:", *(f"  - {line}" for line in estimate.assumptions))
