"""The printed texts of `check` on a small bad file, word for word."""

import json
from pathlib import Path
from typing import Any

LINES = [
    '{"prompt": "one", "completion": "a"}',
    '{"prompt": "two", "completion": ""}',
    '{"prompt": "one", "completion": "a"}',
    '{"prompt": "one", "completion": "b"}',
    '{"prompt": "three", "completion": {"a": 3}}',
    '{"prompt": "four"',
]

PRINTED = """\
bad: 4 examples in prompt-completion format, 4 errors, 2 warnings
token lengths were not checked; pass --model to check them

error[data/cut-line]: Last lines that break off: 1. First: '{"prompt": "four"' (Expecting ',' delimiter at position 18).
  where bad.jsonl line 6
  do copy the file again; its end is missing

error[data/wrong-type]: Rows where a value has the wrong type: 1. First: "completion" should be text, is {"a": 3}.
  where bad.jsonl line 5
  do write it in the type the shape asks for

error[data/no-answer]: 1 of 4 examples has nothing to learn from.
  where bad.jsonl line 2
  do add the answers, or take the examples out

error[data/too-few]: The number of different prompts is only 2; intervals will be wide below 200.
  where bad.jsonl
  do give at least 10, better 200 or more

warning[data/different-answers]: 3 of 4 examples share a prompt with one that is answered differently: \
bad.jsonl line 1 and bad.jsonl line 4.
  where bad.jsonl lines 1, 3, 4
  do decide which answer is right; they stay on one side of the split

warning[data/duplicate]: 1 of 4 examples repeats an earlier one exactly: bad.jsonl line 3 is bad.jsonl line 1.
  where bad.jsonl line 3
  do nothing: each is used once, on one side of the split; take them out if that is not meant

next: tunesmith check bad.jsonl
"""  # noqa: E501


def test_what_a_person_reads(tunesmith: Any) -> None:
    Path("bad.jsonl").write_text("\n".join(LINES))
    printed = tunesmith("check", "bad.jsonl")
    assert (printed.code, printed.out, printed.err) == (1, PRINTED, "")


def test_what_a_program_reads(tunesmith: Any) -> None:
    Path("bad.jsonl").write_text("\n".join(LINES))
    printed = tunesmith("check", "bad.jsonl", "--json")
    assert printed.code == 1 and printed.err == ""
    assert set(printed.document) == {"dataset", "model", "problems", "data"}
    assert [
        (p["code"], p["severity"], p["count"], p["lines"]) for p in printed.document["problems"]
    ] == [
        ("data/cut-line", "error", 1, [6]),
        ("data/wrong-type", "error", 1, [5]),
        ("data/no-answer", "error", 1, [2]),
        ("data/too-few", "error", 2, []),
        ("data/different-answers", "warning", 3, [1, 3, 4]),
        ("data/duplicate", "warning", 1, [3]),
    ]
    for problem in printed.document["problems"]:
        assert set(problem) == {
            "code",
            "severity",
            "count",
            "lines",
            "message",
            "hint",
            "file",
            "position_unit",
        }
        assert problem["message"].rstrip(".") in PRINTED and problem["hint"] in PRINTED


def test_good_data_exits_0_and_says_what_comes_next(tunesmith: Any) -> None:
    rows = [
        json.dumps({"prompt": f"What is {n} times {n * 7}?", "completion": f"{n * n * 7} it is"})
        for n in range(300)
    ]
    Path("good.jsonl").write_text("\n".join(rows) + "\n")
    printed = tunesmith("check", "good.jsonl")
    assert printed.code == 0 and "error" not in printed.out
    assert printed.out.endswith("next: tunesmith decide good.jsonl\n")


def test_what_a_file_says_cannot_speak_to_the_terminal(tunesmith: Any) -> None:
    Path("bad.jsonl").write_text('{"prompt": "one", "completion": "a"}\n\x1b[2Jgone\n')
    printed = tunesmith("check", "bad.jsonl")
    assert printed.code == 1 and "gone" in printed.out and "\x1b" not in printed.out


def test_a_table_speaks_of_lines_and_one_is_said_as_one(tunesmith: Any) -> None:
    Path("bad.csv").write_text('question,reply\none,\ntwo,"open\nthree,b\n')
    printed = tunesmith("check", "bad.csv", "--columns", "prompt=question,completion=reply")
    assert printed.code == 1
    assert printed.out.startswith("bad: 1 example in prompt-completion format, 3 errors\n")
    assert "unclosed quote: 1." in printed.out and "where bad.csv line 3\n" in printed.out
    assert "1 of 1 example has nothing to learn from.\n  where bad.csv line 2\n" in printed.out
    assert "The number of different prompts is only 1;" in printed.out
    assert "row 1" not in printed.out and "line 1" not in printed.out


def test_plain_text_is_trained_next_for_no_contender_can_be_asked_it(
    tunesmith: Any, world: Path
) -> None:
    lines = [
        json.dumps({"text": f"The story of number {number} is short."}) for number in range(20)
    ]
    Path("stories.jsonl").write_text("\n".join(lines) + "\n")
    printed = tunesmith("check", "stories.jsonl")
    assert printed.code == 0, printed.out
    assert printed.out.splitlines()[-1] == "next: tunesmith train --help"
