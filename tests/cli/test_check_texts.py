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

error[data/cut-line]: last line is incomplete
  at: bad.jsonl line 6
  got: '{"prompt": "four"' (Expecting ',' delimiter at position 18)
  hint: copy the file again; its end is missing

error[data/wrong-type]: value of the wrong type
  at: bad.jsonl line 5
  got: "completion" should be text, is {"a": 3}
  hint: write it in the type that the format requires

error[data/no-answer]: 1 of 4 examples has no answer to train on
  at: bad.jsonl line 2
  hint: add the answers; or remove the examples

error[data/too-few]: only 2 distinct prompts; confidence intervals are wide below 200
  at: bad.jsonl
  hint: provide at least 10, preferably 200 or more

warning[data/different-answers]: 3 of 4 examples share a prompt with an example that has another \
answer: bad.jsonl line 1 and bad.jsonl line 4
  at: bad.jsonl lines 1, 3, 4
  hint: decide which answer is correct; they stay in the same split

warning[data/duplicate]: 1 of 4 examples repeats an earlier one exactly: bad.jsonl line 3 is \
bad.jsonl line 1
  at: bad.jsonl line 3
  hint: no action needed: each is used once, in one split; remove them if they are unintended

next: tunesmith check bad.jsonl
"""


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
            "got",
            "hint",
            "file",
            "position_unit",
        }
        assert (
            problem["message"] in PRINTED
            and problem["got"] in PRINTED
            and problem["hint"] in PRINTED
        )


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
    assert "unclosed quote\n  at: bad.csv line 3\n" in printed.out
    assert "1 of 1 example has no answer to train on\n  at: bad.csv line 2\n" in printed.out
    assert "only 1 distinct prompts;" in printed.out
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
