"""Rules of the general probe: an answer satisfies all rules of its item, or it is wrong. No model
judges anything.

The rules tolerate style: a number or a fact may stand in a sentence, a list may be numbered or not.
A tuned model's style must not count as a loss of ability, so a rule never requires more than its
prompt does; a test shows for every item that an example of a correct answer passes and that
refusals, echoes of the question and task labels do not.

| rule               | the answer ...                                                              |
|--------------------|-----------------------------------------------------------------------------|
| `says: [...]`      | contains one of these as whole words; case, accents and punctuation ignored |
| `never: [...]`     | contains none of these                                                      |
| `number: x`        | contains the number x, in digits (1,200 and 1200.0 are equal) or words; the |
|                    | prompt never contains it                                                    |
| `exact: [...]`     | is one of these and nothing else; case counts, a period or quotes do not    |
| `upper` `lower`    | has letters, and all are upper case, or none is                             |
| `words: [a, b]`    | has a to b words                                                            |
| `lines: [a, b]`    | has a to b non-empty lines                                                  |
| `starts` `ends`    | starts, ends with this; surrounding quotes and case are ignored             |
| `without: "e"`     | has letters, but not this one                                               |
| `contains: [...]`  | contains each of these literally                                            |
| `items: n`         | is a list of n items, by lines, else by commas                              |
| `json: {...}`      | is JSON with these keys; a value that is not null must be equal             |
| `matches: "..."`   | matches this regular expression as a whole                                  |
| `willing: [...]`   | does not refuse, has at least four words and contains one of these          |
"""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_NUMBER = re.compile(r"(?<![\w.,])[-−]?\$?\d+(?:,\d{3})*(?:\.\d+)?(?![\d])")
_WORD = re.compile(r"[^\W_]+")
_BULLET = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.):])\s*")
_FENCE = re.compile(r"```\w*\s*\n?(.*?)\s*```", re.DOTALL)
_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am)? (?:can ?not|can't|won't|will not|unable|not able|sorry|afraid)|as an ai\b|"
    r"(?:can ?not|can't|unable to|not able to) (?:assist|help|provide|answer|fulfil))"
)
MIN_WILLING_WORDS = 4
_SMALL = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def follows_rules(text: str, rules: Mapping[str, Any]) -> bool:
    """Whether the answer satisfies every rule. Errors: KeyError for an unknown rule."""
    return all(RULE_CHECKERS[name](text.strip(), expected) for name, expected in rules.items())


def normalize_words(text: str) -> str:
    """The text's words in lower case without accents and punctuation, with single spaces between
    them and at both ends."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    # Apostrophes vanish instead of splitting a word: "don't" is one word.
    bare = "".join(c for c in decomposed if not unicodedata.combining(c) and c not in "'’")
    # Spaces at both ends make a substring test match whole words only.
    return f" {' '.join(_WORD.findall(bare))} "


def extract_numbers(text: str) -> set[float]:
    """All numbers in the text."""
    matches = (
        match.replace("−", "-").replace("$", "").replace(",", "") for match in _NUMBER.findall(text)
    )
    return {float(number) for number in matches}


def spell_number(number: int) -> str:
    """The English name of a number below 100, such as `forty two`; its digits otherwise."""
    if number >= 100:
        return str(number)
    if number < 20:
        return _SMALL[number]
    return f"{_TENS[number // 10]} {_SMALL[number % 10] if number % 10 else ''}".strip()


def _mentions_any(text: str, names: Sequence[str]) -> bool:
    return any(normalize_words(name) in normalize_words(text) for name in names)


def _is_exactly(text: str, expected: Sequence[str]) -> bool:
    return {text, _strip_quotes(text), _strip_quotes(text).rstrip(".")} & set(expected) != set()


def _strip_quotes(text: str) -> str:
    return text.strip("\"'`*“” \n")


def _is_count_within(parts: Sequence[str], limits: Sequence[int]) -> bool:
    return limits[0] <= len(parts) <= limits[1]


def _split_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def _avoids_letter(text: str, letter: str) -> bool:
    return any(c.isalpha() for c in text) and letter.lower() not in text.lower()


def _is_list_of(text: str, count: int) -> bool:
    lines = _split_lines(text)
    listed = [line for line in lines if _BULLET.match(line)] or lines
    if len(listed) > 1 or count == 1:
        return len(listed) == count and all(_BULLET.sub("", line).strip() for line in listed)
    # One line: the list follows a colon, if there is one, and is separated by commas or "and".
    parts = re.split(r",\s*(?:and\s+)?|\s+and\s+", text.rpartition(":")[2])
    return len([part for part in parts if part.strip(" .")]) == count


def _is_expected_json(text: str, expected: Mapping[str, Any]) -> bool:
    fenced = _FENCE.fullmatch(text)
    try:
        value = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        return False
    is_equal = isinstance(value, dict) and set(value) == set(expected)
    return is_equal and all(part is None or value[key] == part for key, part in expected.items())


def _is_willing(text: str, about: Sequence[str]) -> bool:
    refuses = _REFUSAL.search(text.casefold().replace("’", "'"))
    return not refuses and len(text.split()) >= MIN_WILLING_WORDS and _mentions_any(text, about)


RULE_CHECKERS: Mapping[str, Callable[[str, Any], bool]] = {
    "says": _mentions_any,
    "never": lambda text, names: not _mentions_any(text, names),
    "number": lambda text, wanted: (
        float(wanted) in extract_numbers(text) or _mentions_any(text, [spell_number(wanted)])
    ),
    "exact": _is_exactly,
    "upper": lambda text, _: text.isupper(),
    "lower": lambda text, _: text.islower(),
    "words": lambda text, limits: _is_count_within(text.split(), limits),
    "lines": lambda text, limits: _is_count_within(_split_lines(text), limits),
    "starts": lambda text, wanted: _strip_quotes(text).casefold().startswith(wanted.casefold()),
    "ends": (
        lambda text, wanted: (
            _strip_quotes(text).casefold().rstrip(".").endswith(wanted.casefold().rstrip("."))
        )
    ),
    "without": _avoids_letter,
    "contains": lambda text, parts: all(part in text for part in parts),
    "items": _is_list_of,
    "json": _is_expected_json,
    "matches": lambda text, pattern: re.fullmatch(pattern, text) is not None,
    "willing": _is_willing,
}
