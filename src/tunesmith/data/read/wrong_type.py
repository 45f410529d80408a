"""The fault of a value that has another type than its place asks for."""

import json
from typing import Any

from tunesmith.data.read.faults import BadRow

SHOWN_CHARACTERS = 40


def wrong_type(name: str, expected: str, value: Any) -> BadRow:
    """The fault, with the beginning of what stood there."""
    shown = json.dumps(value, ensure_ascii=False, default=str)
    cut = "…" if len(shown) > SHOWN_CHARACTERS else ""
    return BadRow("wrong-type", f'"{name}" should be {expected}, is {shown[:SHOWN_CHARACTERS]}{cut}')
