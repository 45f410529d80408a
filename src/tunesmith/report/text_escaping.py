"""Text from data or models made safe for a page or a table: hidden characters made visible,
Markdown inert.

HTML escaping is done by the templates. This module handles characters that survive escaping:
control codes that move a terminal's cursor, marks that reverse the reading direction or have no
width, lone surrogates that UTF-8 cannot encode.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from re import findall

_ALLOWED_CHARACTERS = "\n\t\u200c\u200d"
"""Line breaks and tabs are layout; the zero-width joiners are part of the spelling in Persian,
Hindi and emoji.
"""


def reveal_hidden_characters(text: str) -> str:
    """The text with every invisible character replaced by its code point, like `⟨U+202E⟩`."""
    return "".join(f"⟨U+{ord(sign):04X}⟩" if _is_hidden(sign) else sign for sign in text)


def _is_hidden(sign: str) -> bool:
    return unicodedata.category(sign) in ("Cc", "Cf", "Cs") and sign not in _ALLOWED_CHARACTERS


_MARKDOWN_PATTERN = re.compile(
    r"([\\`*\[\]|~]|(?<!\w)_|_(?!\w)|^[#+>-])|(?<=\w)(:)(?=//)|(?<=\bwww)(\.)"
)
_TAG_PATTERN = re.compile(r"<(?! )|&(?=#|\w+;)")


def escape_markdown(text: str) -> str:
    """A sentence that may contain words of the data, on one line, with all active Markdown and HTML
    escaped.
    """
    line = " ".join(reveal_hidden_characters(text).split())
    line = _TAG_PATTERN.sub(lambda match: "&lt;" if match[0] == "<" else "&amp;", line)
    return _MARKDOWN_PATTERN.sub(lambda match: f"\\{match[0]}", line)


def render_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the cells are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def format_name(text: str) -> str:
    """A name, unchanged if it consists of plain words, else as a code span."""
    return text if all(sign.isalnum() or sign in " _-+.:" for sign in text) else format_code(text)


def format_code(text: str, limit: int = 200) -> str:
    """The text as an inert code span on one line, fit for a table cell; the number of omitted
    characters is stated.

    A backslash before a pipe gets a space after it: it would otherwise escape the backslash that
    escapes the pipe, and the pipe would end the cell.
    """
    line = " ".join(reveal_hidden_characters(text).split())
    rest = f" … ({len(line) - limit:,} more characters)" if len(line) > limit else ""
    line = (line[:limit] + rest).replace("\\|", "\\ |").replace("|", "\\|")
    # CommonMark: a code span ends at a run of backticks as long as the one that opened it.
    fence = "`" * (1 + max(map(len, findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if line else "(empty)"
