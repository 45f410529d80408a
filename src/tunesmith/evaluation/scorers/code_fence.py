"""Code in an answer: what stands in its last Markdown fence, else all of it; models like to explain."""

_FENCE = "```"


def extract_last_fence(text: str) -> str:
    """The inside of the last fence that holds anything (an open one runs to the end), else the text."""
    for part in reversed(text.split(_FENCE)[1::2]):
        first, line_end, rest = part.partition("\n")
        inside = rest if line_end and not first.strip(" \t\r").count(" ") else part
        if inside.strip():
            return inside.strip()
    return text.strip()
