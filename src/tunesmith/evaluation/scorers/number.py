r"""Number: the answer's number equals the reference's, within a tolerance.

    right:  |found - expected| <= tolerance * |expected|

Which number a text has, by the first row that applies:

| the text                                  | its number                                           |
|-------------------------------------------|------------------------------------------------------|
| is a number, possibly with unit, currency | that one                                             |
| has a marker: `####`, `\boxed{}`          | what follows the last one, if all of it is a number; |
|                                           | else none                                            |
| states "the answer is", "answer:"         | what follows, up to punctuation or "because", if it  |
|                                           | is a number; none if it only begins like one ("18    |
|                                           | apples in 3 days"); of "256 + 37 = 293" what follows |
|                                           | the last "="                                         |
| has numbers among other words             | the last one that is no date, time, range or         |
|                                           | version; of a reference the only one; none if it is  |
|                                           | negated ("not 42") or one of two ("12 or 13").       |
|                                           | Citation marks ("42 [1]") are ignored                |

A text without a number, and every answer to such a reference, is compared as text. How a number is
written is parsed by `number_parsing.py`; the style of the references decides what "1,234" means.
Currencies and units are ignored, unless both texts have one of a known kind and they differ: 5 kg
is not 5 g, $5 not 5 €. A percentage is the number before the sign and also its hundredth, so that
50 % equals 50 as well as 0.5; if both texts have the sign, the numbers before it are compared.
Decimal arithmetic: 0.1 + 0.2 is exactly 0.3. Values are rounded to 60 significant digits, and
numbers of more than 1,000 digits are not parsed.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from tunesmith.data.text_folding import normalize_answer
from tunesmith.errors import RecipeError
from tunesmith.evaluation.scorers.number_parsing import (
    EXACT_CONTEXT,
    NumberStyle,
    ParsedNumber,
    find_last_number,
    infer_style,
    normalize_markup,
    parse_number,
    parse_number_at,
    strip_citations,
)
from tunesmith.evaluation.scorers.scorer_protocol import CorpusMetric

ANSWER_MARK = "####"
BOXED = "\\boxed"
DEFAULT_TOLERANCE = 1e-6
_BOXED = re.compile(r"\\boxed\s*\{")
_ANSWER_IS = re.compile(
    r"(?<!\w)(?:answer|result|total)\s*(?:is|was|[:=])\W{0,8}?(?=[^\W_]|[-+(.,$€£¥~≈]|\\)",
    re.IGNORECASE,
)
_WORKING = re.compile(r"[^\n.;=]{1,200}=(?!=)\s*")
"""One step of a calculation up to its equals sign."""
_HUNDRED = Decimal(100)


class NumberScorer:
    """1 if the numbers agree, else 0. The references determine how numbers are written."""

    name = "number"
    metric = "number_match"
    failure_text = "contain no number that is clearly the answer"
    corpus_metrics: Mapping[str, CorpusMetric] = {}

    def __init__(
        self, references: Sequence[str] = (), tolerance: float = DEFAULT_TOLERANCE
    ) -> None:
        self.style = infer_style([extract_marked_part(reference) for reference in references])
        # Through `repr`: Decimal(0.1) would be the binary value with 55 digits.
        self._tolerance = Decimal(repr(tolerance))

    @classmethod
    def from_references(cls, references: Sequence[str]) -> "NumberScorer":
        """The train answers say how numbers are written."""
        return cls(references)

    @classmethod
    def from_option(cls, tolerance: str, references: Sequence[str]) -> "NumberScorer":
        """`number:0.01`: how far off a number may be. Errors: `RecipeError`."""
        return cls(references, _parse_tolerance(tolerance))

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`number_match`: 0 or 1."""
        predicted = extract_number(answer, self.style)
        expected = extract_number(reference, self.style, is_only=True)
        if predicted is None or expected is None:
            same = normalize_answer(extract_marked_part(answer)) == normalize_answer(
                extract_marked_part(reference)
            )
            return {self.metric: float(same)}
        return {self.metric: float(self._is_equal(predicted, expected))}

    def can_parse(self, answer: str) -> bool:
        """Whether the answer has a number."""
        return extract_number(answer, self.style) is not None

    def _is_equal(self, predicted: ParsedNumber, expected: ParsedNumber) -> bool:
        if (
            predicted.unit is not None
            and expected.unit is not None
            and predicted.unit != expected.unit
        ):
            return False
        both = predicted.is_percent and expected.is_percent
        return any(
            self._is_within_tolerance(a, b)
            for a in _list_readings(predicted, is_plain=both)
            for b in _list_readings(expected, is_plain=both)
        )

    def _is_within_tolerance(self, predicted: Decimal, expected: Decimal) -> bool:
        if predicted == expected:
            return True
        gap = EXACT_CONTEXT.abs(EXACT_CONTEXT.subtract(predicted, expected))
        return bool(gap <= EXACT_CONTEXT.multiply(self._tolerance, EXACT_CONTEXT.abs(expected)))


def extract_number(text: str, style: NumberStyle, *, is_only: bool = False) -> ParsedNumber | None:
    """The text's number by the module's table, None if it has none. With `is_only` a number among
    other words must be the only one."""
    plain = normalize_markup(text)
    whole = parse_number(plain, style)
    if whole is not None:
        return whole
    # A marker is a commitment: if no number follows it, other numbers of the text do not count.
    if has_mark(text):
        return parse_number(normalize_markup(extract_marked_part(text)), style)
    plain = strip_citations(plain)
    conclusions = list(_ANSWER_IS.finditer(plain))
    if conclusions:
        number, begins_like_one = parse_number_at(
            plain, _skip_working(plain, conclusions[-1].end()), style
        )
        if number is not None or begins_like_one:
            return number
    return find_last_number(plain, style, is_only=is_only)


def _skip_working(plain: str, place: int) -> int:
    """The position of a calculation's result: after the last equals sign of "12 + 25 = 37"."""
    while (step := _WORKING.match(plain, place)) is not None:
        place = step.end()
    return place


def extract_marked_part(text: str) -> str:
    r"""What follows the last `####` on its line, else the content of the last `\boxed{}`; the whole
    text without a marker."""
    _, mark, behind = text.rpartition(ANSWER_MARK)
    if mark:
        return behind.strip().partition("\n")[0].strip()
    boxes = list(_BOXED.finditer(text))
    return _read_braces(text, boxes[-1].end()) if boxes else text.strip()


def has_mark(text: str) -> bool:
    r"""Whether the text contains `####` or `\boxed{}`."""
    return ANSWER_MARK in text or _BOXED.search(text) is not None


def _read_braces(text: str, begin: int) -> str:
    # Braces nest, as in \boxed{\frac{1}{2}}, which a regex cannot match.
    depth = 1
    for place in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[begin:place].strip()
    return text[begin:].strip()


def _list_readings(number: ParsedNumber, *, is_plain: bool) -> list[Decimal]:
    value = number.value
    return (
        [value, EXACT_CONTEXT.divide(value, _HUNDRED)]
        if number.is_percent and not is_plain
        else [value]
    )


def _parse_tolerance(text: str) -> float:
    """The relative tolerance, such as 0.01 in `number:0.01`."""
    try:
        tolerance = float(text)
    except ValueError:
        tolerance = -1.0
    if not 0 <= tolerance < 1:
        raise RecipeError(
            "bad-tolerance",
            "tolerance of the scorer number must be a fraction of the reference",
            at="evaluation.scorer",
            got=text,
            hint="write a number of at least 0 and below 1, as in number:0.01",
        )
    return tolerance
