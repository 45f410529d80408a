"""`tunesmith check DATA`: all data problems together, with line numbers, before anything is
spent.
"""

import shlex
from collections import Counter
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.console import parse_columns, print_json, print_lines, print_next_command

if TYPE_CHECKING:
    from tunesmith.records import CheckReport, DataDescription, LengthStats


def check(
    data: Annotated[
        Path, typer.Argument(help="JSONL, CSV, Parquet, or a folder of a Hugging Face dataset.")
    ],
    test: Annotated[
        Path | None,
        typer.Option(help="Your own test file; leaks between it and the data are reported."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Count tokens with the tokenizer of this model.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Column mapping: prompt=question,completion=answer.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="Column with the group of each example.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="Training method that the data is for: sft, dpo, orpo, simpo, kto."),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=8, help="Maximum example length in tokens (with --model).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Find every problem in your examples and describe how a decision would use them.

    Exit code 1 if there is an error."""
    from tunesmith.recipe.recipe_loader import load_recipe
    from tunesmith.workflow.check import build_check_command, check_and_describe

    mapping = parse_columns(columns)
    given = {
        "data.path": data,
        "data.test_path": test,
        "data.group_column": group,
        "method": method,
        "model": model,
        "data.max_length": max_tokens,
        "data.columns": dumps(mapping) if mapping else None,
    }
    recipe = load_recipe(
        None, [f"{key}={value}" for key, value in given.items() if value is not None]
    )
    report, described = check_and_describe(
        data,
        test=test,
        model=model,
        columns=mapping,
        group=group,
        max_tokens=max_tokens,
        method=recipe.method if method else None,
    )
    if json:
        about = described.model_dump(mode="json") if described else None
        print_json({**report.model_dump(mode="json"), "data": about})
    else:
        _print_report(report)
        if described is not None:
            _print_description(described, report.dataset.examples)
        if report.errors:
            print_next_command(*build_check_command(recipe))
        elif described is None:  # not question and answer: contenders cannot be compared on it
            print_next_command("train", "--help")
        else:
            settings = {
                "data.test_path": test,
                "data.group_column": group,
                "method": method,
                "data.max_length": max_tokens,
            }
            sets = [
                ("--set", f"{key}={value}") for key, value in settings.items() if value is not None
            ]
            flags = [("--columns", columns), ("--model", model)]
            chosen = [pair for pair in flags if pair[1] is not None]
            print_next_command(
                "decide", data, *(word for pair in (*chosen, *sets) for word in pair)
            )
    # Exit code 1 lets a CI job fail on data errors.
    raise typer.Exit(1 if report.errors else 0)


def _print_report(report: "CheckReport") -> None:
    dataset = report.dataset
    kinds = Counter(problem.severity for problem in report.problems)
    summary = ", ".join(
        f"{count} {severity}{'s' * (count > 1)}" for severity, count in kinds.items()
    )
    examples = f"{dataset.examples:,} example{'s' * (dataset.examples != 1)}"
    print_lines(
        f"{dataset.name}: {examples} in {dataset.format} format, {summary or 'no problems found'}"
    )
    if report.model is None:
        print_lines("token lengths were not checked; pass --model to check them")
    if any(problem.lines and problem.position_unit == "rows" for problem in report.problems):
        print_lines("row numbers start at 1")
    for problem in report.problems:
        print_lines("", f"{problem.severity}[{problem.code}]: {problem.message.rstrip('.')}.")
        print_lines(
            f"  where {problem.file or dataset.name} {problem.format_places(8)}".rstrip(),
            f"  do {problem.hint}",
        )
    print_lines("")


MAX_SHOWN_LABELS = 12
"""Labels listed on the terminal; `--json` has all."""


def _print_description(description: "DataDescription", examples: int) -> None:
    def format_lengths(lengths: "LengthStats") -> str:
        return (
            f"median {lengths.median:,}, 95th percentile {lengths.p95:,}, maximum {lengths.max:,}"
        )

    print_lines("data")
    if description.labels:
        shown = [
            f"{label} {count:,}"
            for label, count in list(description.labels.items())[:MAX_SHOWN_LABELS]
        ]
        more = len(description.labels) - len(shown)
        print_lines(
            f"  labels   {len(description.labels):,}: {', '.join(shown)}"
            + f" and {more:,} more" * (more > 0)
        )
    print_lines(
        f"  lengths  in {description.length_unit}: questions "
        f"{format_lengths(description.question_lengths)}; answers "
        f"{format_lengths(description.answer_lengths)}",
        f"  scorer   {description.scorer}: {description.scorer_reason}",
        f"  answers  {description.output_format}",
        f"  splits   about {description.train:,} train, {description.validation:,} validation, "
        f"{description.test:,} test",
        f"  power    {description.power_statement}",
    )
    if description.n_described < examples:
        print_lines(
            "  (labels from all examples, the rest estimated from an evenly spaced sample of "
            f"{description.n_described:,} of {examples:,} examples)"
        )
    if description.columns:
        print_lines(f"  columns  --columns {shlex.quote(description.columns)}")
    print_lines("")
