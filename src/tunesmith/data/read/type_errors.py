"""The fault of a value that has another type than its place asks for."""

import json
from typing import Any

from tunesmith.data.read.row_errors import InvalidRow

MAX_SHOWN_CHARACTERS = 40


def build_type_error(name: str, expected: str, value: Any) -> InvalidRow:
    """The fault, with the beginning of what stood there."""
    shown = json.dumps(value, ensure_ascii=False, default=str)
    cut = "…" if len(shown) > MAX_SHOWN_CHARACTERS else ""
    return InvalidRow("wrong-type", f'"{name}" should be {expected}, is {shown[:MAX_SHOWN_CHARACTERS]}{cut}')
