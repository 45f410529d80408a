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
from tunesmith.errors import format_message

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
    recipe: Annotated[
        str | None, typer.Option(metavar="RECIPE", help="Recipe file (YAML) or name of a preset.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Set a recipe key.", metavar="KEY=VALUE")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Find every problem in your examples and describe how a decision would use them.

    Exit code 1 if there is an error. Every recipe key is a flag too (tunesmith keys lists them):
    the description is that of a decision by this recipe."""
    from tunesmith.recipe.recipe_loader import load_recipe
    from tunesmith.workflow.check import build_check_command, check_recipe

    mapping = parse_columns(columns)
    given = {
        "data.test_path": test,
        "data.group_column": group,
        "method": method,
        "data.max_length": max_tokens,
    }
    chosen = {"model": model, "data.columns": dumps(mapping) if mapping else None, **given}
    changes = [f"{key}={value}" for key, value in chosen.items() if value is not None]
    loaded = load_recipe(recipe, [*changes, *(set_ or ()), f"data.path={data}"])
    report, description = check_recipe(loaded)
    if json:
        about = description.model_dump(mode="json") if description else None
        print_json({**report.model_dump(mode="json"), "data": about})
    else:
        _print_report(report)
        if description is not None:
            _print_description(description, report.dataset.examples)
        if report.errors:
            print_next_command(*build_check_command(loaded))
        elif description is None or not description.scorer:  # contenders cannot be compared on it
            print_next_command("train", "--help")
        else:
            flags = {"--recipe": recipe, "--columns": columns, "--model": model}
            sets = [f"{key}={value}" for key, value in given.items() if value is not None]
            print_next_command(
                "decide",
                data,
                *(word for flag, value in flags.items() if value for word in (flag, value)),
                *(word for change in (*sets, *(set_ or ())) for word in ("--set", change)),
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
        at = f"{problem.file or dataset.name} {problem.format_places(8)}".rstrip()
        print_lines(
            "",
            format_message(
                problem.severity,
                problem.code,
                problem.message,
                at=at,
                got=problem.got,
                hint=problem.hint,
            ),
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
    questions, answers = description.question_lengths, description.answer_lengths
    print_lines(
        f"  lengths  in {description.length_unit}: questions {format_lengths(questions)}; answers "
        f"{format_lengths(answers)}",
        f"  scorer   {description.scorer or 'none'}: {description.scorer_reason}",
    )
    if description.output_format:
        print_lines(f"  answers  {description.output_format}")
    print_lines(
        f"  splits   about {description.train:,} train, {description.validation:,} validation, "
        f"{description.test:,} test",
    )
    if description.power_statement:
        print_lines(f"  power    {description.power_statement}")
    if description.n_described < examples:
        print_lines(
            "  (labels from all examples, the rest estimated from an evenly spaced sample of "
            f"{description.n_described:,} of {examples:,} examples)"
        )
    if description.columns:
        as_json = dumps(parse_columns(description.columns), ensure_ascii=False)
        print_lines(
            f"  columns  --columns {shlex.quote(description.columns)}",
            f"           in a recipe: --set {shlex.quote(f'data.columns={as_json}')}",
        )
    print_lines("")
