"""Regular expressions: a pattern with exponential run time on some answer ends with its process,
not with ours."""

import re
from collections.abc import Callable
from typing import Any


def make_worker(setup: Any) -> Callable[[Any], Any]:
    """Task: {"pattern", "text"}; result: the text of the last match, or None."""
    return lambda piece: find_last_match(re.compile(piece["pattern"], re.MULTILINE), piece["text"])


def find_last_match(pattern: re.Pattern[str], text: str) -> str | None:
    """The text of the last match: its first group if the pattern has one, else the whole match."""
    last = None
    for match in pattern.finditer(text):
        last = match[1] or "" if pattern.groups else match[0]
    return last
