"""The sentence "3 of 10 examples have ...", with the right grammar for one example too."""

import re

_SINGULAR_VERBS = {
    "appear": "appears",
    "are": "is",
    "contain": "contains",
    "have": "has",
    "match": "matches",
    "prefer": "prefers",
    "repeat": "repeats",
    "share": "shares",
    "use": "uses",
}
_FIRST_VERB = re.compile(rf"\b({'|'.join(_SINGULAR_VERBS)})\b")


def format_example_count(count: int, total: int, what: str) -> str:
    """`1 of 10 examples has ...`: `what` is plural; its first verb is inflected for one."""
    if count == 1:
        what = _FIRST_VERB.sub(lambda verb: _SINGULAR_VERBS[verb[0]], what, count=1)
    return f"{count:,} of {total:,} example{'s' * (total != 1)} {what}"
