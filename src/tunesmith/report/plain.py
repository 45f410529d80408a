"""Text from outside made safe to look at: nothing in it may act on the reader's screen without being seen.

Escaping is the template's work. This is about characters that survive escaping: control codes that move a terminal's
cursor, marks that reverse the reading direction or have no width, halves of surrogate pairs that UTF-8 cannot write.
"""

import unicodedata

_KEPT = "\n\t\u200c\u200d"
"""Line breaks and tabs are layout; the zero-width joiners are spelling in Persian, Hindi and emoji."""


def visible(text: str) -> str:
    """The same text with every invisible character spelled out as its code point, like `⟨U+202E⟩`."""
    return "".join(f"⟨U+{ord(sign):04X}⟩" if _is_hidden(sign) else sign for sign in text)


def _is_hidden(sign: str) -> bool:
    return unicodedata.category(sign) in ("Cc", "Cf", "Cs") and sign not in _KEPT
