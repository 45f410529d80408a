r"""How numbers are written: text -> value, percent sign, unit.

    1,234.50  1.234,50  1 234,50  1'234.50   1234.5. With both signs the last one is the decimal
    12,34,567                                sign; groups of three (Indian: of two before the last
                                             three) are thousands
    12,5  0,125  1.2345                      a sign that cannot separate thousands is the decimal
                                             sign
    1,234  1.234                             decided by the references: a decimal comma in one of
                                             them and a decimal point in none makes commas decimal
                                             and points thousands separators, else the reverse
    .5  1e3  1.2 x 10^3  2^10  3/4  1 1/2    as in arithmetic; also 2^{10}, \frac{3}{4} and 1½
    -5  −5  –5  -$5  $-5                     every Unicode minus sign, before or after the currency
    (12)                                     12; -12 if references use brackets, as accountants do
    50 %  50 percent                         50, with `is_percent`
    $1.2 million  5k  3M  €3m  2 bn          multiplied; a bare m is a meter, with a currency it is
                                             a million
    12:30  2024-01-05  5-6  1.2.3            no number: a time, a date, a range, a version

A unit is a few words without digits after the number. Units of known kinds (currencies, symbols
such as kg and MW) are returned, so that differing ones can be detected.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal

from tunesmith.data.text_folding import strip_excess_marks

# No traps: overflow and division by zero give special values instead of exceptions.
EXACT_CONTEXT = Context(prec=60, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])
MAX_NUMBER_DIGITS = 1_000
MAX_TEXT_CHARACTERS = 100_000
"""Number of characters at the end of a text that are searched."""
MAX_LEAD_CHARACTERS = 60
"""Number of characters before a number that are searched for a negation."""

_CURRENCIES = {
    "$": "USD",
    "US$": "USD",
    "USD": "USD",
    "dollar": "USD",
    "dollars": "USD",
    "€": "EUR",
    "EUR": "EUR",
    "euro": "EUR",
    "euros": "EUR",
    "£": "GBP",
    "GBP": "GBP",
    "¥": "JPY",
    "JPY": "JPY",
    "CHF": "CHF",
    "₹": "INR",
    "INR": "INR",
    "Rs": "INR",
    "₽": "RUB",
    "₩": "KRW",
    "₺": "TRY",
    "CAD": "CAD",
    "AUD": "AUD",
    "SEK": "SEK",
    "NOK": "NOK",
    "DKK": "DKK",
    "kr": "kr",
    "PLN": "PLN",
    "zł": "PLN",
    "CNY": "CNY",
    "元": "CNY",
    "円": "JPY",
    "원": "KRW",
    "BRL": "BRL",
    "R$": "BRL",
}
_SYMBOLS = {
    symbol: symbol
    for line in (
        "g kg mg t m km cm mm s ms min h W kW mW MW GW Wh kWh MWh GWh V mV kV A mA Hz kHz MHz GHz",
        "l ml cl dl °C °F K Pa kPa hPa bar J kJ MJ cal kcal kB MB GB TB",
    )
    for symbol in line.split()
}
_SYMBOLS |= {"L": "l", "mL": "ml", "KB": "kB", "°": "°"}
_WORDS = {
    "thousand": 3,
    "million": 6,
    "millions": 6,
    "billion": 9,
    "trillion": 12,
    "mn": 6,
    "mio": 6,
    "bn": 9,
    "mrd": 9,
}
_LETTERS = {"k": 3, "m": 6, "b": 9}
_CURRENCY = "|".join(
    re.escape(one)
    for one in sorted(_CURRENCIES, key=len, reverse=True)
    if not one[-1].islower() or one == "kr"
)
_CHUNK = r"(?:\d{1,3}(?: \d{3}){1,6}(?:[.,]\d+)?(?! ?\d)|\d+(?:[.,']\d+)*|[.,]\d+)"
_NUMBER = (
    rf"(?P<bracket>\()?(?P<sign>[-+]\s?)?(?:(?P<currency>{_CURRENCY})\s?)?(?P<minus>-\s?)?"
    rf"(?P<chunk>{_CHUNK})"
    r"(?P<exponent>[eE][-+]?\d{1,6}(?!\w)|\s?[x*·]\s?10\s?\^\s?[-+]?\d{1,6}(?!\d)"
    r"|\s?\^\s?[-+]?\d{1,3}(?![\d^]|\.\d))?"
    r"(?:(?P<mixed>\s\d+)?\s?/\s?(?P<below>\d+(?:\.\d+)?)(?![\d/]))?"
)
_SUFFIX = (
    r"(?P<percent>\s?(?:%|(?i:percent|per cent|pct|prozent)(?!\w)))?"
    rf"(?P<size>\s?(?i:{'|'.join(_WORDS)})(?!\w)|[kKmMbB](?!\w))?"
)
_UNIT = (
    rf"(?:\s?(?P<unit>(?:{_CURRENCY})(?!\w)|°\s?[CFK]?(?!\w)|[^\W\d_]+[23]?(?:[/·^][^\W\d_]+)?)"
    r"(?:\s[^\W\d_]+[.]?){0,3})?\s?\)?"
)
_LEAD = r"\s*(?:[A-Za-z]\s?=\s?|[=≈~]\s?)?"
# The lookarounds exclude parts of times, dates, ranges, versions and identifiers.
_IN_WORDS = re.compile(
    rf"(?<![\w.^])(?<!\d[,:/'-])(?<!\d[ ][/-])(?<!\^-){_NUMBER}(?![.,:/'_-]?\d|\s?\^){_SUFFIX}"
    rf"(?:\s?(?P<unit>(?:{_CURRENCY})(?!\w)|[^\W\d_]+))?"
)
# The three contexts of a number: among words, the whole text, at a given position.
_WHOLE = re.compile(rf"{_LEAD}{_NUMBER}{_SUFFIX}{_UNIT}[\s.!;,]*\Z")
_STATED = re.compile(
    rf"{_LEAD}{_NUMBER}{_SUFFIX}{_UNIT}(?=\s*\Z|\n|[.,;!?:](?:\s|\Z)|\s[(-]|\s(?i:because|since|as|so|for|which)\b)"
)
_BEGINS = re.compile(rf"{_LEAD}[-+(]?\s?(?:{_CURRENCY})?\s?[-]?[.,]?\d")
_MINUS = str.maketrans(
    dict.fromkeys("\u2212\u2013\u2012\ufe63\uff0d\u2010\u2011", "-")
    | {
        "\u2019": "'",
        "\u2044": "/",
        "×": "x",
    }
)
# Thin and non-breaking spaces between groups of three digits separate thousands.
_THIN = re.compile("(?<=\\d)[\u00a0\u202f\u2009\u2007](?=\\d{3}(?!\\d))")
_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_LATEX = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}")
_REMOVED_MARKUP = re.compile(
    r"\\[,;!() \[\]]|\{,\}(?=\d)|(?<![\w)])[*`_]{1,3}(?=\S)|(?<=\S)[*`_]{1,3}(?![\w(])"
)
_POWER = re.compile("(?<!\\d)10([\u207b\u00b9\u00b2\u00b3\u2070\u2074-\u2079]+)")
_ALTERNATIVES = re.compile(r"\W*(?i:and|und|et|y|(?:[^\W\d_]+\s+)?(?:or|to|oder|bis|ou|o))\W*\Z")
"""Text between two numbers that are alternatives or a range: "12 or 13", "from 12 to 13"."""
_NEGATED = re.compile(r"(?:(?<!\w)(?i:not|never|nicht)|(?i:n't))(?:\s+[^\W\d]+){0,2}\W*\Z")
_REFERENCE_MARK = re.compile(
    r"(?<=\S)\s?[\[【]\d{1,3}(?:\s?[,;-]\s?\d{1,3}){0,9}(?:†[^\]】\n]{0,40})?[\]】]"
)
"""A citation mark in an answer: "42 [1]", "42【3†source】"."""
_MATH = re.compile(r"\$([^$\n]{1,60})\$")


@dataclass(frozen=True, slots=True)
class NumberStyle:
    """How numbers are written, inferred from the references."""

    decimal_sign: str = "."
    brackets_are_negative: bool = False


@dataclass(frozen=True, slots=True)
class ParsedNumber:
    """The value before any percent sign; `unit` is set for known currencies and symbols."""

    value: Decimal
    is_percent: bool = False
    unit: str | None = None


def infer_style(references: Sequence[str]) -> NumberStyle:
    """The style of these references: a decimal comma in one number and a decimal point in none
    makes commas decimal."""
    signs: set[str] = set()
    has_brackets = False
    for reference in references:
        match = _WHOLE.match(normalize_markup(reference))
        if match is not None:
            has_brackets |= match["bracket"] is not None
            signs |= _find_decimal_sign(match["chunk"])
    return NumberStyle("," if signs == {","} else ".", has_brackets)


def normalize_markup(text: str) -> str:
    """The end of a text with LaTeX, emphasis, and Unicode minus signs and spaces in plain form."""
    text = strip_excess_marks(text[-MAX_TEXT_CHARACTERS:])
    if "\\" in text:
        text = (
            _LATEX.sub(r"\1", _FRACTION.sub(r"\1/\2", text)).replace("\\$", "$").replace("\\%", "%")
        )
        text = text.replace("\\times", "x").replace("\\cdot", "·")
    # Order matters: NFKC would turn 10² into 102 and 1½ into 11/2, so both are expanded first.
    if not text.isascii():
        text = _POWER.sub(lambda match: f"10^{unicodedata.normalize('NFKC', match[1])}", text)
        text = _expand_fractions(_THIN.sub("'", text))
        text = unicodedata.normalize("NFKC", text).translate(_MINUS)
    text = _REMOVED_MARKUP.sub("", _MATH.sub(r"\1", text))
    return text.replace("{", "").replace("}", "") if "^" in text else text


def parse_number(plain: str, style: NumberStyle) -> ParsedNumber | None:
    """The number if the whole normalized text is one, possibly with a unit or currency; else
    None."""
    match = _WHOLE.match(plain)
    return _build_number(match, style) if match else None


def parse_number_at(
    plain: str, position: int, style: NumberStyle
) -> tuple[ParsedNumber | None, bool]:
    """(the number stated at this position, whether the text there at least begins like one)."""
    match = _STATED.match(plain, position)
    if match is not None:
        return _build_number(match, style), True
    return None, _BEGINS.match(plain, position) is not None


def find_last_number(
    plain: str, style: NumberStyle, *, is_only: bool = False
) -> ParsedNumber | None:
    """The last number among other words; with `is_only` None if there is more than one.

    Also None if it is not the stated one: it is negated ("not 42"), or one of two alternatives
    ("12 or 13").
    """
    matches = list(_IN_WORDS.finditer(plain))
    if not matches or (is_only and len(matches) > 1):
        return None
    last = matches[-1]
    before = (
        matches[-2].end("chunk") if len(matches) > 1 else max(0, last.start() - MAX_LEAD_CHARACTERS)
    )
    between = plain[before : last.start()]
    if _NEGATED.search(between[-MAX_LEAD_CHARACTERS:]) or (
        len(matches) > 1 and _ALTERNATIVES.match(between)
    ):
        return None
    return _build_number(last, style)


def strip_citations(plain: str) -> str:
    """The text without citation marks such as [1] after its words."""
    return _REFERENCE_MARK.sub("", plain)


def is_number(text: str) -> bool:
    """Whether the whole text is a number, possibly with a unit or currency."""
    return parse_number(normalize_markup(text.strip()), NumberStyle()) is not None


def is_amount(text: str) -> bool:
    """Whether the text is a quantity: a number with at most a currency, a percent sign or one unit.
    Not a code or identifier: no leading zeros, and at most 15 digits."""
    match = _WHOLE.match(normalize_markup(text.strip()))
    if match is None or "\n" in text.strip() or _build_number(match, NumberStyle()) is None:
        return False
    digits = re.sub(r"\D", "", match["chunk"])
    has_leading_zero = match["chunk"][:1] == "0" and match["chunk"][1:2].isdigit()
    return not has_leading_zero and len(digits) <= 15


def extract_unit(text: str) -> str:
    """The unit after the number that a text consists of, in lower case; "" if there is none."""
    match = _WHOLE.match(normalize_markup(text.strip()))
    return (match["unit"] or "").casefold() if match else ""


def _build_number(match: re.Match[str], style: NumberStyle) -> ParsedNumber | None:
    digits = _normalize_digits(match["chunk"], style)
    if digits is None or len(digits) > MAX_NUMBER_DIGITS:
        return None
    written = (match["exponent"] or "").strip()
    is_power = written.startswith("^")
    exponent = "" if is_power else re.sub(r".*10\s?\^\s?", "e", written)
    value = EXACT_CONTEXT.create_decimal(digits + exponent)
    if is_power:
        value = EXACT_CONTEXT.power(value, int(written[1:]))
    if match["below"]:
        below = EXACT_CONTEXT.create_decimal(match["below"])
        if not below:
            return None
        if match["mixed"]:
            value = EXACT_CONTEXT.add(
                value,
                EXACT_CONTEXT.divide(EXACT_CONTEXT.create_decimal(match["mixed"].strip()), below),
            )
        else:
            value = EXACT_CONTEXT.divide(value, below)
    value = value.scaleb(_get_power_of_ten(match), EXACT_CONTEXT)
    is_negative = "-" in ((match["sign"] or "") + (match["minus"] or ""))
    is_bracketed = match["bracket"] is not None and match[0].rstrip(" .;,!").endswith(")")
    is_negative ^= style.brackets_are_negative and is_bracketed
    return ParsedNumber(
        -value if is_negative else value, match["percent"] is not None, _get_unit(match)
    )


def _get_power_of_ten(match: re.Match[str]) -> int:
    """The power of ten for "million", "5k", and m or b after an amount of money."""
    written = (match["size"] or "").strip()
    size = written.lower()
    if size in _WORDS:
        return _WORDS[size]
    is_power = size == "k" or written == "M" or (size and match["currency"] is not None)
    return _LETTERS[size] if is_power else 0


def _get_unit(match: re.Match[str]) -> str | None:
    written = match["currency"] or match["unit"] or ""
    if match["size"] == "m" and not match["currency"]:
        written = "m"  # a metre, not a million
    return _CURRENCIES.get(written) or _SYMBOLS.get(written.replace(" ", ""))


def _normalize_digits(chunk: str, style: NumberStyle) -> str | None:
    """Digits with a decimal point: `1.234,5` -> `1234.5`; None for other forms such as 1.2.3."""
    for space in (" ", "'"):
        if space in chunk:
            first, *groups = chunk.split(space)
            whole, sign, decimals = _split_decimals(groups[-1])
            groups[-1] = whole
            if (
                not first.isdigit()
                or len(first) > 3
                or any(len(g) != 3 or not g.isdigit() for g in groups)
            ):
                return None
            return first + "".join(groups) + (f".{decimals}" if sign else "")
    signs = [sign for sign in chunk if sign in ".,"]
    if not signs:
        return chunk
    last = signs[-1]
    # The last sign is the decimal one if it occurs once and differs from the others, cannot
    # separate thousands, or is the references' decimal sign.
    is_decimal = signs.count(last) == 1 and (
        len(set(signs)) == 2 or not _may_separate_thousands(chunk) or last == style.decimal_sign
    )
    whole, decimals = chunk.rsplit(last, 1) if is_decimal else (chunk, "")
    groups = re.split(r"[.,]", whole)
    if len(groups) > 1 and (
        len({*re.findall(r"[.,]", whole)}) > 1 or not _are_groups(groups, whole)
    ):
        return None
    return ("".join(groups) or "0") + (f".{decimals}" if is_decimal else "")


def _split_decimals(group: str) -> tuple[str, str, str]:
    sign = next((one for one in ".," if one in group), "")
    return group.partition(sign) if sign else (group, "", "")


def _are_groups(groups: Sequence[str], whole: str) -> bool:
    """Whether these are groups of three digits, or as in India of two before the last three."""
    first, *rest = groups
    by_three = 1 <= len(first) <= 3 and all(len(group) == 3 for group in rest)
    by_two = (
        1 <= len(first) <= 2 and len(rest[-1]) == 3 and all(len(group) == 2 for group in rest[:-1])
    )
    return by_three or (by_two and "," in whole)


def _may_separate_thousands(chunk: str) -> bool:
    """Whether a chunk with one sign is ambiguous: one to three digits before it (no lone zero) and
    three after it."""
    return re.fullmatch(r"[1-9]\d{0,2}[.,]\d{3}", chunk) is not None


def _find_decimal_sign(chunk: str) -> set[str]:
    """The decimal sign that this number proves, whatever the style; empty if it has none or is
    ambiguous."""
    signs = [sign for sign in chunk if sign in ".,"]
    if (
        not signs
        or signs.count(signs[-1]) > 1
        or (len(set(signs)) == 1 and _may_separate_thousands(chunk))
    ):
        return set()
    return {signs[-1]}


def _expand_fractions(text: str) -> str:
    """`1½` as `1 1/2`: NFKC alone would turn it into `11/2`."""
    return re.sub(
        "[\u00bc-\u00be\u2150-\u215e]",
        lambda match: " " + unicodedata.normalize("NFKC", match[0]).replace("\u2044", "/"),
        text,
    )
