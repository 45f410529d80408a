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
        Path | None, typer.Option(help="Your own test file, to look for leaks between the two.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Count tokens as this model does.")] = None,
    columns: Annotated[
        str | None, typer.Option(help="Column mapping: prompt=question,completion=answer.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="Column that names groups.")] = None,
    method: Annotated[
        str | None, typer.Option(help="Read as this method learns: sft, dpo, orpo, simpo, kto.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=8, help="Longest example that fits (with --model).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Find every problem in your examples, and say what a decision makes of them. Exit 1 when there
    is an error."""
    from tunesmith.recipe.recipe_loader import load_recipe
    from tunesmith.workflow.check import build_check_command, check_and_describe

    mapping = parse_columns(columns)
    given = {
        "data.path": data,
        "data.test_path": test,
        "data.group": group,
        "method": method,
        "model": model,
        "data.max_tokens": max_tokens,
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
                "data.group": group,
                "method": method,
                "data.max_tokens": max_tokens,
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
    told = ", ".join(
        f"{count} kind{'s' * (count > 1)} of {severity}" for severity, count in kinds.items()
    )
    examples = f"{dataset.examples:,} example{'s' * (dataset.examples != 1)}"
    print_lines(
        f"{dataset.name}: {examples} in {dataset.shape} shape, {told or 'no problem found'}"
    )
    if report.model is None:
        print_lines("lengths are not counted: name a model with --model")
    if any(problem.lines and problem.counted_in == "rows" for problem in report.problems):
        print_lines("rows are counted from 1")
    for problem in report.problems:
        print_lines("", f"{problem.severity}[{problem.code}]: {problem.message.rstrip('.')}.")
        print_lines(
            f"  where {problem.file or dataset.name} {problem.format_places(8)}".rstrip(),
            f"  do {problem.do}",
        )
    print_lines("")


MAX_SHOWN_LABELS = 12
"""Labels listed on the terminal; `--json` has all."""


def _print_description(found: "DataDescription", examples: int) -> None:
    def format_lengths(lengths: "LengthStats") -> str:
        return f"{lengths.median:,} (95 % up to {lengths.high:,}, longest {lengths.most:,})"

    print_lines("data")
    if found.labels:
        shown = [
            f"{label} {count:,}" for label, count in list(found.labels.items())[:MAX_SHOWN_LABELS]
        ]
        more = len(found.labels) - len(shown)
        print_lines(
            f"  labels   {len(found.labels):,}: {', '.join(shown)}"
            + f" and {more:,} more" * (more > 0)
        )
    print_lines(
        f"  lengths  in {found.counted_in}: questions {format_lengths(found.question_lengths)}, "
        f"answers {format_lengths(found.answer_lengths)}",
        f"  scorer   {found.scorer}: {found.scorer_reason}",
        f"  answers  {found.form}",
        f"  sides    about {found.train:,} train, {found.validation:,} validation, {found.test:,}"
        " test",
        f"  shows    {found.shows}",
    )
    if found.described < examples:
        print_lines(
            f"  all but labels as an evenly spaced part shows it: {found.described:,} of"
            f" {examples:,} examples"
        )
    if found.columns:
        print_lines(f"  columns  --columns {shlex.quote(found.columns)}")
    print_lines("")
