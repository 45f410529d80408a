"""What a fuzz target is, and what may come of one input.

A target gets bytes and an empty folder. It may return anything, or raise a `TunesmithError` that
says what is wrong, where or what was found, and what to do, with an exit code that is not for our
own defects. Everything else is a failure: another exception, more than `SECONDS` of processor time,
more than `MEMORY_BYTES` beyond what the program holds at the start, the end of the process.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tunesmith.errors import TunesmithError

SECONDS = 2
MEMORY_BYTES = 2**30
EXIT_CODES = (1, 2, 3)


class Target(NamedTuple):
    """`run` is given the bytes and an empty folder; `seeds` are good inputs, from which others are
    made."""

    name: str
    run: Callable[[bytes, Path], object]
    seeds: Callable[[], list[bytes]]


class BadError(Exception):
    """A `TunesmithError` that does not say enough."""


def run_once(target: Target, data: bytes, folder: Path) -> str:
    """`result`, or the code of the error. Errors: whatever is a failure."""
    try:
        target.run(data, folder)
    except TunesmithError as error:
        is_complete = (
            error.code.count("/") == 1 and error.what and error.hint and (error.at or error.got)
        )
        if error.exit_code not in EXIT_CODES or not is_complete:
            raise BadError(f"exit code {error.exit_code}: {error}") from error
        str(error).encode("utf-8")  # a message must be printable
        return error.code
    return "result"
