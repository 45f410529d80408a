"""`tunesmith check DATA`: every data problem at once, with line numbers, before anything is spent."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.output import parse_columns, print_json, say, say_next

if TYPE_CHECKING:
    from tunesmith.records import CheckReport


def check(
    data: Annotated[Path, typer.Argument(help="JSONL, CSV, Parquet, or a folder of a Hugging Face dataset.")],
    test: Annotated[Path | None, typer.Option(help="Your own test file, to look for leaks between the two.")] = None,
    model: Annotated[str | None, typer.Option(help="Count tokens as this model does.")] = None,
    columns: Annotated[str | None, typer.Option(help="Column mapping: prompt=question,completion=answer.")] = None,
    group: Annotated[str | None, typer.Option(help="Column that names groups.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=8, help="Longest example that fits (with --model).")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Find every problem in your examples. Exit 1 when there is an error."""
    from tunesmith.workflow.check import check as check_data

    report = check_data(
        data, test=test, model=model, columns=parse_columns(columns), group=group, max_tokens=max_tokens
    )
    if json:
        print_json(report.model_dump(mode="json"))
    else:
        _print(report)
        mapping = ["--columns", columns] if columns else []
        if report.errors:
            say_next("check", data, *mapping, *(["--test", test] if test else []))
        elif report.dataset.shape == "text":  # there is no question to ask a contender
            say_next("train", "--help")
        else:
            say_next("decide", data, *mapping, *(["--set", f"data.test_path={test}"] if test else []))
    raise typer.Exit(1 if report.errors else 0)


def _print(report: "CheckReport") -> None:
    dataset = report.dataset
    kinds = Counter(problem.severity for problem in report.problems)
    told = ", ".join(f"{count} kind{'s' * (count > 1)} of {severity}" for severity, count in kinds.items())
    examples = f"{dataset.examples:,} example{'s' * (dataset.examples != 1)}"
    say(f"{dataset.name}: {examples} in {dataset.shape} shape, {told or 'no problem found'}")
    if report.model is None:
        say("lengths are not counted: name a model with --model")
    if any(problem.lines and problem.counted_in == "rows" for problem in report.problems):
        say("rows are counted from 1 without the header")
    for problem in report.problems:
        say("", f"{problem.severity}[{problem.code}]: {problem.message.rstrip('.')}.")
        say(f"  where {problem.file or dataset.name} {problem.places(8)}".rstrip(), f"  do {problem.do}")
    say("")
