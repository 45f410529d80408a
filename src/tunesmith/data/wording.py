"""The sentence "3 of 10 examples have ...", right for one example too."""

import re

_FOR_ONE = {
    "are": "is",
    "ask": "asks",
    "carry": "carries",
    "have": "has",
    "repeat": "repeats",
    "share": "shares",
    "spell": "spells",
}
_FIRST_VERB = re.compile(rf"\b({'|'.join(_FOR_ONE)})\b")


def of_examples(count: int, total: int, what: str) -> str:
    """`1 of 10 examples has ...`: `what` is given as it is said of several, and its first verb bent for one."""
    if count == 1:
        what = _FIRST_VERB.sub(lambda verb: _FOR_ONE[verb[0]], what, count=1)
    return f"{count:,} of {total:,} example{'s' * (total != 1)} {what}"
