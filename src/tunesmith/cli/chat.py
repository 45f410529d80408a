"""`tunesmith chat MODEL`: talk to a base model or to what a run left."""

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from tunesmith.cli.output import plain, print_json


def chat(
    model: Annotated[str, typer.Argument(help="A known name, a folder, org/name, or a run folder.")],
    message: Annotated[str | None, typer.Option(help="Ask this once and stop.")] = None,
    instruction: Annotated[str | None, typer.Option(help="System message (default: the run's own).")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, max=8192, help="Longest answer, in tokens.")] = 256,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document for each answer.")] = False,
) -> None:
    """Ask questions, one a line; an empty line or Ctrl-D ends. With a pipe, every input line is one question."""
    from tunesmith.workflow.talk import open_talk

    talk = open_talk(model, instruction, max_new_tokens)
    interactive = message is None and sys.stdin.isatty()
    if interactive:
        print(f"{plain(talk.name)}. An empty line ends.", file=sys.stderr)
    while True:
        question = message if message is not None else _ask(interactive)
        if not question:
            return
        completion = talk.answer(question, remember=interactive)
        if json:
            print_json({"prompt": question, **asdict(completion)})
        else:
            print(plain(completion.error or completion.text), flush=True)
        if message is not None:
            return


def _ask(interactive: bool) -> str:
    try:
        return input("> " if interactive else "").strip()
    except EOFError:
        return ""
