"""`tunesmith chat MODEL`: converse with a model, or with the winner of a run."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.console import escape_control_characters, print_error, print_json
from tunesmith.errors import ModelError

if TYPE_CHECKING:
    from tunesmith.workflow.chat import ChatSession


def chat(
    model: Annotated[
        str, typer.Argument(help="Model name, model folder, hub ID (org/name), or run folder.")
    ],
    message: Annotated[str | None, typer.Option(help="Answer this one message and exit.")] = None,
    instruction: Annotated[
        str | None, typer.Option(help="System message (default: that of the run).")
    ] = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=8192,
            help="Maximum answer length in tokens (default: that of the run, else 256).",
        ),
    ] = None,
    contender: Annotated[
        str | None, typer.Option(help="Contender of the run that answers (default: the winner).")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document per answer.")
    ] = False,
) -> None:
    """Chat with a model or the winner of a run.

    One question per line; an empty line or Ctrl-D quits. In a pipe, each line is a question.
    A run answers with the winner of its verdict, including its prompt, examples and retrieval.
    """
    from tunesmith.workflow.chat import load_chat

    talk = load_chat(model, instruction, max_new_tokens, contender)
    if talk.reason:
        print(escape_control_characters(talk.reason), file=sys.stderr)
    if message is not None:
        _answer_once(talk, message, json)
    elif sys.stdin.isatty() and not json:
        _converse(talk)
    else:
        for line in sys.stdin:
            if question := line.strip():
                _answer_once(talk, question, json)


def _answer_once(talk: "ChatSession", question: str, as_json: bool) -> None:
    """Answer one question on its own."""
    completion = talk.answer(question)
    if as_json:
        print_json({"prompt": question, **asdict(completion)})
    else:
        print(escape_control_characters(completion.error or completion.text), flush=True)


def _converse(talk: "ChatSession") -> None:
    """A conversation: each answer sees the turns before it and is printed while it is generated."""
    print(f"{escape_control_characters(talk.name)}. Enter an empty line to quit.", file=sys.stderr)
    while question := _read_question():
        try:
            for piece in talk.send(question):
                print(escape_control_characters(piece), end="", flush=True)
            print()
        # the context is full: the conversation so far stays, and a shorter question may follow
        except ModelError as error:
            print_error(error, as_json=False)


def _read_question() -> str:
    try:
        return input("> ").strip()
    except EOFError:
        return ""
