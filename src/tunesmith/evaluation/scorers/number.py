"""Number: the answer's number is the reference's, within a tolerance.

The number of a text is the first one after its last `####` (the convention of gsm8k) where it has that mark, else the
last one in it. Understood are signs, thousands separators (1,234,567), decimals, exponents, currency signs ($5 is 5)
and fractions (3/4). A percentage is the number before the sign and also its hundredth, so that 50 % is 50 as well as
0.5; where both sides have the sign, the numbers before it are compared.

    right:  |found - wanted| <= tolerance * |wanted|

Decimal arithmetic: 0.1 + 0.2 has no surprise, and no run of digits is too long. A reference without a number is
compared as a whole. Two forms of a number are not told apart from the text alone: "1.234" is read as a decimal, never
as thousands.
"""

import re
from collections import deque
from collections.abc import Mapping
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal

from tunesmith.evaluation.scorers.scorer import WholeSetMetric, normalised

MARK = "####"
TOLERANCE = 1e-6
LONGEST_NUMBER = 1_000
_NUMBER = re.compile(
    r"(?:(?<![\w.)\]])[-+\u2212]\s?)?[$€£¥]?\s?(?P<minus>(?<=[$€£¥])[-\u2212])?"
    r"(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,]*\d)|\d+(?:\.\d+)?|(?<!\d)\.\d+)"
    r"(?P<exponent>[eE][-+]?\d{1,6}(?!\w))?(?P<part>\s?/\s?\d+(?:\.\d+)?(?![\d/]))?(?P<percent>\s?%)?"
)
_EXACT = Context(prec=60, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])


class NumberScorer:
    """1 when the numbers agree."""

    name = "number"
    metric = "number_match"
    whole_set: Mapping[str, WholeSetMetric] = {}

    def __init__(self, tolerance: float = TOLERANCE) -> None:
        self._tolerance = Decimal(repr(tolerance))

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`number_match`: 0 or 1."""
        wanted = number_in(reference)
        if wanted is None:
            return {self.metric: float(normalised(answer) == normalised(reference))}
        found = number_in(answer)
        return {self.metric: float(found is not None and self._agree(found, wanted))}

    def _agree(self, found: "Number", wanted: "Number") -> bool:
        both = found[1] and wanted[1]
        return any(self._near(a, b) for a in _readings(found, is_plain=both) for b in _readings(wanted, is_plain=both))

    def _near(self, found: Decimal, wanted: Decimal) -> bool:
        if found == wanted:
            return True
        gap = _EXACT.abs(_EXACT.subtract(found, wanted))
        return bool(gap <= _EXACT.multiply(self._tolerance, _EXACT.abs(wanted)))


Number = tuple[Decimal, bool]
"""The value as written, and whether a percent sign stands behind it."""


def number_in(text: str) -> Number | None:
    """The text's number, None where it has none."""
    _, mark, behind = text.rpartition(MARK)
    if mark:
        match = _NUMBER.search(behind)
        return _value(match) if match else None
    last = deque(_NUMBER.finditer(text), maxlen=1)
    return _value(last[0]) if last else None


def _value(match: re.Match[str]) -> Number | None:
    digits = (match["digits"] + (match["exponent"] or "")).replace(",", "")
    if len(digits) > LONGEST_NUMBER:
        return None
    value = _EXACT.create_decimal(digits)
    if match["part"]:
        below = _EXACT.create_decimal(match["part"].strip(" /"))
        if not below:
            return None
        value = _EXACT.divide(value, below)
    is_negative = match[0][0] in "-\u2212" or match["minus"] is not None
    return (-value if is_negative else value), match["percent"] is not None


def _readings(number: Number, *, is_plain: bool) -> list[Decimal]:
    value, is_percent = number
    return [value, _EXACT.divide(value, Decimal(100))] if is_percent and not is_plain else [value]
