"""Text from data or models made fit for a page or a table: hidden characters shown, Markdown inert.

Escaping is the template's work. This is about characters that survive escaping: control codes that move a terminal's
cursor, marks that reverse the reading direction or have no width, halves of surrogate pairs that UTF-8 cannot write.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from re import findall

_ALLOWED_CHARACTERS = "\n\t\u200c\u200d"
"""Line breaks and tabs are layout; the zero-width joiners are spelling in Persian, Hindi and emoji."""


def reveal_hidden_characters(text: str) -> str:
    """The same text with every invisible character spelled out as its code point, like `⟨U+202E⟩`."""
    return "".join(f"⟨U+{ord(sign):04X}⟩" if _is_hidden(sign) else sign for sign in text)


def _is_hidden(sign: str) -> bool:
    return unicodedata.category(sign) in ("Cc", "Cf", "Cs") and sign not in _ALLOWED_CHARACTERS


_MARKDOWN_PATTERN = re.compile(r"([\\`*\[\]|~]|(?<!\w)_|_(?!\w)|^[#+>-])|(?<=\w)(:)(?=//)|(?<=\bwww)(\.)")
_TAG_PATTERN = re.compile(r"<(?! )|&(?=#|\w+;)")


def escape_markdown(text: str) -> str:
    """A sentence that may hold words of the data, in one line, with whatever Markdown or HTML would act on escaped."""
    line = " ".join(reveal_hidden_characters(text).split())
    line = _TAG_PATTERN.sub(lambda found: "&lt;" if found[0] == "<" else "&amp;", line)
    return _MARKDOWN_PATTERN.sub(lambda found: f"\\{found[0]}", line)


def render_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the cells are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def format_name(text: str) -> str:
    """A name as it is where it is only words, else as a code span."""
    return text if all(sign.isalnum() or sign in " _-+.:" for sign in text) else format_code(text)


def format_code(text: str, limit: int = 200) -> str:
    """The text as an inert code span in one line, fit for a table cell; what is left out is counted.

    A backslash before a pipe gets a space behind it: it would escape the one that escapes the pipe, and end the cell.
    """
    line = " ".join(reveal_hidden_characters(text).split())
    rest = f" … ({len(line) - limit:,} more characters)" if len(line) > limit else ""
    line = (line[:limit] + rest).replace("\\|", "\\ |").replace("|", "\\|")
    fence = "`" * (1 + max(map(len, findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if line else "(empty)"
