"""Answers on disk: one JSON line each, so that an evaluation can be made again without a model."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from tunesmith.errors import RecordError
from tunesmith.files import write_atomically
from tunesmith.records import Answer


def write_answers(path: Path, answers: Sequence[Answer]) -> None:
    """Write one contender's answers as JSONL, whole or not at all."""
    write_atomically(path, "".join(answer.model_dump_json() + "\n" for answer in answers))


def read_answers(path: Path) -> list[Answer]:
    """Read them back. Errors: `RecordError` naming the line."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise RecordError(
            "missing", "The answers cannot be read.", where=str(path), found=str(error.strerror), do="check the path"
        ) from None
    answers = []
    for number, line in enumerate(lines, start=1):
        try:
            answers.append(Answer.model_validate_json(line))
        except ValidationError as error:
            raise RecordError(
                "unreadable",
                "This line is not an answer.",
                where=f"{path} line {number}",
                found=error.errors()[0]["msg"],
                do="restore the file, or evaluate again",
            ) from None
    return answers
