"""Text from outside, made storable: the intersection of what UTF-8, JSON, CSV and databases accept.

A lone surrogate has no UTF-8 encoding, so no file can hold it; NUL terminates a string in C and is
rejected by PostgreSQL. Both are replaced by U+FFFD, as decoders do with undecodable bytes: a model
that is cut off in the middle of an emoji has answered nevertheless (docs/decisions/104).
"""

import re

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_UNSTORABLE = re.compile("[\ud800-\udfff\0]")


def replace_unstorable(text: str) -> str:
    """The text with U+FFFD in place of each character that cannot be stored."""
    # isascii is a flag on CPython strings: most texts need no scan by the regular expression.
    return text if text.isascii() and "\0" not in text else _UNSTORABLE.sub(REPLACEMENT, text)
