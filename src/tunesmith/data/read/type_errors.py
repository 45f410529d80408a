"""The error for a value of the wrong type."""

import json
from typing import Any

from tunesmith.data.read.row_errors import InvalidRow

MAX_SHOWN_CHARACTERS = 40


def build_type_error(name: str, expected: str, value: Any) -> InvalidRow:
    """The error, with the beginning of the offending value as JSON."""
    shown = json.dumps(value, ensure_ascii=False, default=str)
    cut = "…" if len(shown) > MAX_SHOWN_CHARACTERS else ""
    return InvalidRow(
        "wrong-type", f'"{name}" should be {expected}, is {shown[:MAX_SHOWN_CHARACTERS]}{cut}'
    )
