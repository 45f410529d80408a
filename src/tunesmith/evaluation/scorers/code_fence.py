"""Code in an answer: the content of its last Markdown fence, else the whole text; models like to
explain."""

_FENCE = "```"


def extract_last_fence(text: str) -> str:
    """The content of the last non-empty fence (an open one runs to the end), else the text."""
    for part in reversed(text.split(_FENCE)[1::2]):
        first, line_end, rest = part.partition("\n")
        # The first line is a language tag (`python`) unless it has more words.
        inside = rest if line_end and not first.strip(" \t\r").count(" ") else part
        if inside.strip():
            return inside.strip()
    return text.strip()
