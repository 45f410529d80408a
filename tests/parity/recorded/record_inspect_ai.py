"""What inspect_ai's scorers say to hard answers, written to `inspect_ai.json` beside this file.

    python tests/parity/recorded/record_inspect_ai.py
        (in an environment of its own that has inspect_ai)

It is run by hand when another version is to be followed; the tests read the file alone.
"""

import asyncio
import json
from importlib.metadata import version
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from inspect_ai.scorer import Target, answer, exact, f1, includes, match, pattern

ANSWERS = [
    "",
    " ",
    "1e3",
    ".5",
    "25",
    "It is 12.",
    "$1,234.50",
    "60%",
    "(42)",
    "42!",
    "-5",
    "\u22125",
    "\u00bd",
    "2\u00bd",
    "The capital is Paris.",
    "Paris, France",
    "paris",
    "**Paris**",
    "The answer is 5 of 12",
    "5 of 12",
    "<42",
    "42.0",
    "42.00001",
    "42.001",
    "nan",
    "inf",
    "a b-c",
    "the Cat",
    "cat cat",
    "B",
    "ANSWER: B",
    "answer: b.",
    "ANSWER: A\nANSWER: B",
    "ANSWER: a b c",
    "ANSWER: B\nbecause",
    "is 5 and is 6",
    "1_000",
    "1,000",
    "\uff14\uff12",
    "It costs \\$42",
    "Stra\u00dfe",
    "STRASSE",
    "3.14.",
    "12 km",
]
TARGETS: list[str | list[str]] = [
    "1000",
    "0.5",
    "5",
    "12",
    "1234.5",
    "60",
    ["60", "60%"],
    "42",
    "-5",
    "2.5",
    "Paris",
    "paris.",
    ["Rome", "Paris"],
    "the cat",
    "cat",
    "a b c",
    "B",
    "b",
    "6",
    "STRASSE",
    "3.14",
    ".",
    "an",
    "12 km",
]
PLACES = ("begin", "end", "any", "exact")
SCORERS: list[tuple[str, dict[str, Any]]] = [
    *(
        ("match", {"location": place, "numeric": numeric})
        for place in PLACES
        for numeric in (True, False)
    ),
    ("match", {}),
    ("match", {"ignore_case": False}),
    ("includes", {}),
    ("includes", {"ignore_case": False}),
    ("f1", {}),
    ("exact", {}),
    ("answer", {"pattern": "letter"}),
    ("answer", {"pattern": "word"}),
    ("answer", {"pattern": "line"}),
    ("pattern", {"pattern": r"is (\d+)"}),
]
MAKE = {
    "match": match,
    "includes": includes,
    "f1": f1,
    "exact": exact,
    "answer": answer,
    "pattern": pattern,
}
GRADES = {"C": 1.0, "I": 0.0, "N": 0.0}


async def record() -> dict[str, Any]:
    scores = []
    for name, options in SCORERS:
        score = MAKE[name](**options)
        row = []
        for text, target in product(ANSWERS, TARGETS):
            state = SimpleNamespace(output=SimpleNamespace(completion=text))
            value = (await score(state, Target(target))).value
            row.append(GRADES.get(value, value))
        scores.append({"scorer": name, "options": options, "scores": row})
    return {
        "inspect_ai": version("inspect_ai"),
        "answers": ANSWERS,
        "targets": TARGETS,
        "recorded": scores,
    }


if __name__ == "__main__":
    found = asyncio.run(record())
    Path(__file__).with_name("inspect_ai.json").write_text(
        json.dumps(found, separators=(",", ":")) + "\n"
    )
