"""Checks of other tools as regular expressions for the scorer `regex`, which searches the whole answer.

Groups carry their own flags, so that several checks stand side by side as conditions from the start of the answer on.
"""

import re
from collections.abc import Sequence


def match_any(texts: Sequence[str], *, ignore_case: bool = False) -> str:
    """Any of these texts."""
    words = "|".join(re.escape(text) for text in texts)
    return f"(?i:{words})" if ignore_case else f"(?:{words})"


def match_beginning(texts: Sequence[str]) -> str:
    """The answer begins with one of these."""
    return rf"\A{match_any(texts)}"


def match_whole(texts: Sequence[str]) -> str:
    """The answer is one of these, spaces around it aside."""
    return rf"\A\s*{match_any(texts)}\s*\Z"


def match_all(conditions: Sequence[str]) -> str:
    """Every condition holds; each is a lookahead made by `holds` or `forbid_match`."""
    return rf"\A{''.join(conditions)}"


def require_match(pattern: str) -> str:
    """The pattern is found somewhere."""
    return rf"(?=[\s\S]*?(?:{pattern}))"


def forbid_match(pattern: str) -> str:
    """The pattern is found nowhere."""
    return rf"(?![\s\S]*?(?:{pattern}))"
