"""`tunesmith init [RECIPE]`: what no data answer, asked once and written into a recipe."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.console import print_json, print_lines, print_next_command

if TYPE_CHECKING:
    from tunesmith.recipe.recipe_edit import Question


def init(
    recipe: Annotated[
        Path, typer.Argument(help="Recipe file to update; created if it does not exist.")
    ] = Path("recipe.yaml"),
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Answer a question without a prompt: usage.recurrence=once."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also ask questions that already have an answer.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Ask about your usage (updates, request volume, privacy) and save it in a recipe."""
    from tunesmith.errors import UsageError
    from tunesmith.recipe.recipe_edit import (
        QUESTIONS,
        list_unanswered_questions,
        write_usage_context,
    )

    changes = list(set_ or ())
    questions = list_unanswered_questions(recipe)
    if not changes:
        questions = list(QUESTIONS) if again else questions
        # In a script or CI job a prompt would hang or read unrelated input.
        if questions and not sys.stdin.isatty():
            raise UsageError(
                "nobody-to-ask",
                "cannot prompt for answers",
                got="standard input is not a terminal",
                hint="answer with --set, for example --set usage.requests_per_month=5000",
            )
        changes = [
            f"{question.key}={answer}"
            for question in questions
            if (answer := _ask_question(question)) is not None
        ]
    usage_context = write_usage_context(recipe, changes)
    if json:
        print_json({"recipe": str(recipe), "usage": usage_context.model_dump(mode="json")})
        return
    for question in QUESTIONS:
        value = getattr(usage_context, question.field)
        print_lines(f"{question.field}: {'unknown' if value is None else value}")
    print_lines(f"written to {recipe}")
    print_next_command("decide", "DATA", "--recipe", recipe)


def _ask_question(question: "Question") -> str | None:
    """The answer as it is written in a recipe; None if unknown."""
    print(f"\n{question.text}", file=sys.stderr)
    if question.choices:
        listed = "  ".join(
            f"{number} {choice}" for number, choice in enumerate(question.choices, 1)
        )
    else:
        listed = f"a number of {question.unit}"
    while True:
        print(f"  {listed}  (Enter: unknown) ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            return None  # end of input: no more answers will come
        answer = _parse_answer(line.strip(), question)
        if answer is not None:
            return answer or None
        print("  please choose one of the listed options", file=sys.stderr)


def _parse_answer(typed: str, question: "Question") -> str | None:
    """The answer, "" if unknown, None if it is not a valid one."""
    if not typed:
        return ""
    if not question.choices:
        return _parse_number(typed)
    if typed.isdecimal() and 1 <= int(typed) <= len(question.choices):
        return question.choices[int(typed) - 1]
    return typed.lower() if typed.lower() in question.choices else None


def _parse_number(typed: str) -> str | None:
    """`5,000` and `5000.5` are numbers; values not above 0 are invalid (None)."""
    try:
        number = float(typed.replace(",", "").replace("_", ""))
    except ValueError:
        return None
    return f"{number:.12g}" if 0 < number < 1e15 else None
