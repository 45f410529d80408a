"""Checks of other tools as regular expressions for the scorer `regex`, which searches the whole answer.

Groups carry their own flags, so that several checks stand side by side as conditions from the start of the answer on.
"""

import re
from collections.abc import Sequence


def one_of(texts: Sequence[str], *, ignore_case: bool = False) -> str:
    """Any of these texts."""
    words = "|".join(re.escape(text) for text in texts)
    return f"(?i:{words})" if ignore_case else f"(?:{words})"


def begins_with(texts: Sequence[str]) -> str:
    """The answer begins with one of these."""
    return rf"\A{one_of(texts)}"


def equals(texts: Sequence[str]) -> str:
    """The answer is one of these, spaces around it aside."""
    return rf"\A\s*{one_of(texts)}\s*\Z"


def all_hold(conditions: Sequence[str]) -> str:
    """Every condition holds; each is a lookahead made by `holds` or `does_not_hold`."""
    return rf"\A{''.join(conditions)}"


def holds(pattern: str) -> str:
    """The pattern is found somewhere."""
    return rf"(?=[\s\S]*?(?:{pattern}))"


def does_not_hold(pattern: str) -> str:
    """The pattern is found nowhere."""
    return rf"(?![\s\S]*?(?:{pattern}))"
