"""What BFCL's AST checker says of pairs of calls, written to `bfcl_calls.json` beside this file.

    PYTHONPATH=FOLDER python tests/parity/recorded/record_bfcl.py > FILE
        (bfcl-eval 2026.3.23, unpacked into FOLDER)

It is run by hand when another version is to be followed; the tests read the file alone.
"""

import json
import sys
from types import ModuleType, SimpleNamespace

# The package's list of models imports the clients of all providers; the checker reads one flag.
models = ModuleType("bfcl_eval.constants.model_config")
models.MODEL_CONFIG_MAPPING = {"m": SimpleNamespace(underscore_to_dot=False)}  # type: ignore
sys.modules["bfcl_eval.constants.model_config"] = models

from bfcl_eval.constants.enums import Language  # noqa: E402
from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker  # noqa: E402

PARAMETERS = {
    "town": "string",
    "days": "integer",
    "share": "float",
    "wide": "boolean",
    "near": "array",
    "place": "dict",
}
RIGHT = {"town": "Iasi", "days": 3, "share": 0.5, "wide": True, "near": ["Cluj", "Ulm"]}
FUNCTIONS = [
    {
        "name": name,
        "description": "",
        "parameters": {
            "type": "dict",
            "properties": {
                key: {"type": kind, **({"items": {"type": "string"}} if kind == "array" else {})}
                for key, kind in PARAMETERS.items()
            },
            "required": ["town"],
        },
    }
    for name in ("get_weather", "get_time")
]
CHANGES = {
    "the same": {},
    "another text": {"town": "Cluj"},
    "a text in another case": {"town": "iasi"},
    "a text with a comma": {"town": "Ia,si"},
    "a text with outer spaces": {"town": " Iasi "},
    "another number": {"days": 4},
    "a whole number as a fraction": {"days": 3.0},
    "a number as text": {"days": "3"},
    "a fraction as a whole number": {"share": 1},
    "another fraction": {"share": 0.25},
    "another truth": {"wide": False},
    "a truth as a number": {"wide": 1},
    "a list in another order": {"near": ["Ulm", "Cluj"]},
    "a shorter list": {"near": ["Cluj"]},
    "a list in another case": {"near": ["cluj", "ulm"]},
    "an unexpected argument": {"more": 1},
    "no optional argument": {"days": None},
    "no required argument": {"town": None},
}


def change(values: dict, changes: dict) -> dict:
    made = {**values, **changes}
    return {key: value for key, value in made.items() if value is not None}


def call(arguments: dict, name: str = "get_weather") -> dict:
    return {name: arguments}


def check(answer: list, reference: list, optional: bool) -> bool:
    possible = [
        {
            name: {
                key: [value, ""] if optional and key != "town" else [value]
                for key, value in arguments.items()
            }
            for name, arguments in one.items()
        }
        for one in reference
    ]
    category = "parallel" if len(reference) > 1 else "simple_python"
    found = ast_checker(FUNCTIONS, answer, possible, Language.PYTHON, category, "m")
    return bool(found["valid"])


pairs = []
for what, changes in CHANGES.items():
    for optional in (False, True):
        answer, reference = [call(change(RIGHT, changes))], [call(RIGHT)]
        pairs.append((f"{what}{', optional' * optional}", answer, reference, optional))
a, b = call({"town": "Iasi"}), call({"town": "Cluj"})
time = call({"town": "Iasi"}, "get_time")
for what, answer, reference in [
    ("no call", [], [a]),
    ("another function", [time], [a]),
    ("one call too many", [a, b], [a]),
    ("parallel", [a, b], [a, b]),
    ("parallel, another order", [b, a], [a, b]),
    ("parallel, one missing", [a], [a, b]),
    ("parallel, one twice", [a, a], [a, b]),
    ("parallel, two functions", [time, a], [a, time]),
    ("parallel, one wrong", [a, time], [a, b]),
]:
    pairs.append((what, answer, reference, False))
json.dump(
    [
        {
            "what": what,
            "answer": answer,
            "reference": reference,
            "optional": optional,
            "bfcl": check(answer, reference, optional),
        }
        for what, answer, reference, optional in pairs
    ],
    sys.stdout,
    indent=1,
)
