"""Tool calls against BFCL's AST checker (bfcl-eval 2026.3.23), whose answers were recorded.

Verdicts are 0 or 1, so there is no tolerance. The differences are the five that the guide tells
(docs/guide/scorers.md): BFCL forgives case, spaces and some marks in texts, lets optional arguments
be left out, and wants a whole number where the tool's definition says integer.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tunesmith.evaluation.scorers.tool_calls import ToolCallsScorer
from tunesmith.records import format_answer

RECORDED = json.loads((Path(__file__).parent / "recorded" / "bfcl_calls.json").read_text())
DIFFERENT = {
    "a text in another case": False,
    "a text with a comma": False,
    "a text with outer spaces": False,
    "a list in another case": False,
    "a whole number as a fraction": True,
}
"""What is compared -> ours, where it is not BFCL's, whether arguments are optional or not."""


def as_answer(calls: list[dict[str, Any]]) -> str:
    functions = [
        {"name": name, "arguments": arguments} for one in calls for name, arguments in one.items()
    ]
    return format_answer("", functions)


@pytest.mark.parametrize("pair", RECORDED, ids=[pair["what"] for pair in RECORDED])
def test_calls_are_right_where_bfcl_says_so(pair: dict[str, Any]) -> None:
    ours = ToolCallsScorer().score(as_answer(pair["answer"]), as_answer(pair["reference"]))
    what = pair["what"].removesuffix(", optional")
    expected = DIFFERENT.get(what, pair["bfcl"])
    if pair["what"] == "no optional argument, optional":
        assert pair["bfcl"], "ours compares with what the reference gives"
        expected = False
    assert ours["call_accuracy"] == float(expected)
    assert (expected != pair["bfcl"]) is (
        what in DIFFERENT or pair["what"] == "no optional argument, optional"
    )


def test_enough_pairs_were_recorded() -> None:
    assert len(RECORDED) == 45 and sum(pair["bfcl"] for pair in RECORDED) == 14
