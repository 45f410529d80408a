"""Text from outside, made storable: what UTF-8, JSON, CSV and a database can all hold.

A lone half of a surrogate pair has no UTF-8, so no file can be written with it; NUL ends a text in C and is refused by
PostgreSQL. Either is replaced by U+FFFD, as every decoder does with bytes that it cannot read: a model that is cut in
the middle of an emoji has answered all the same (docs/decisions/104).
"""

import re

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_UNSTORABLE = re.compile("[\ud800-\udfff\0]")


def replace_unstorable(text: str) -> str:
    """The text with U+FFFD for each character that no file can hold."""
    return text if text.isascii() and "\0" not in text else _UNSTORABLE.sub(REPLACEMENT, text)
