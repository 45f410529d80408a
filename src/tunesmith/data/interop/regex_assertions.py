"""Express checks of other tools as regular expressions for the scorer `regex`.

The scorer searches the whole answer. Groups carry their own flags, so that several checks can be
combined as lookaheads at the start of the answer.
"""

import re
from collections.abc import Sequence


def match_any(texts: Sequence[str], *, ignore_case: bool = False) -> str:
    """A pattern for any of these literal texts."""
    words = "|".join(re.escape(text) for text in texts)
    return f"(?i:{words})" if ignore_case else f"(?:{words})"


def match_beginning(texts: Sequence[str]) -> str:
    """A pattern for an answer that begins with one of these texts."""
    return rf"\A{match_any(texts)}"


def match_whole(texts: Sequence[str]) -> str:
    """A pattern for an answer that is one of these texts, up to white space around it."""
    return rf"\A\s*{match_any(texts)}\s*\Z"


def match_all(conditions: Sequence[str]) -> str:
    """A pattern for all conditions, each a lookahead made by `require_match` or `forbid_match`."""
    return rf"\A{''.join(conditions)}"


def require_match(pattern: str) -> str:
    """A lookahead that succeeds if the pattern occurs anywhere."""
    # [\s\S] also matches line ends, whatever flags the scorer sets.
    return rf"(?=[\s\S]*?(?:{pattern}))"


def forbid_match(pattern: str) -> str:
    """A lookahead that succeeds if the pattern occurs nowhere."""
    return rf"(?![\s\S]*?(?:{pattern}))"
