"""Write numbers and booleans as text where text is expected (docs/decisions/090).

    3 -> "3"   3.0 -> "3"   0.10 -> "0.1"   1e-3 -> "0.001"   true -> "true"   2024-05-01 ->
    "2024-05-01"

Classes in tables are numbers, and many tools turn a column of integers with one missing value into
floats; no label is meant to be "3.0".
"""

import datetime
import decimal
import math
from typing import Any

_MAX_PLAIN_NUMBER, _MIN_PLAIN_NUMBER = 1e16, 1e-6


def as_text(value: Any) -> str | None:
    """Text of a text, number, boolean or date; "" for an absent value (None, NaN); else None."""
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    # Before int: a bool is an int, and JSON spells it in lower case.
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _format_number(value) if math.isfinite(value) else None
    if isinstance(value, decimal.Decimal):
        return _strip_trailing_zeros(f"{value:f}") if value.is_finite() else None
    return str(value) if isinstance(value, datetime.date | datetime.time) else None


def _format_number(value: float) -> str:
    """The shortest decimal that parses back to this number; extreme ones with an exponent."""
    if value == 0:
        return "0"
    if _MIN_PLAIN_NUMBER <= abs(value) < _MAX_PLAIN_NUMBER:
        # repr() is the shortest text that round-trips; Decimal writes it without an exponent.
        return _strip_trailing_zeros(f"{decimal.Decimal(repr(value)):f}")
    return repr(value)


def _strip_trailing_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
