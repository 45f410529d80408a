"""Regular expressions: a pattern that takes for ever on some answer ends with its process, not with ours."""

import re
from collections.abc import Callable
from typing import Any


def make_worker(setup: Any) -> Callable[[Any], Any]:
    """Piece: {"pattern", "text"}; gives the groups of each match in turn, the last one only: None, or its text."""
    return lambda piece: find_last_match(re.compile(piece["pattern"], re.MULTILINE), piece["text"])


def find_last_match(pattern: re.Pattern[str], text: str) -> str | None:
    """The text of the last match: its first group where the pattern has one, else all of it."""
    found = None
    for match in pattern.finditer(text):
        found = match[1] or "" if pattern.groups else match[0]
    return found
