"""What a message, a call or a tool may carry: read in every usual form, or named where it is not
understood."""

import datetime
import decimal
import json
from pathlib import Path
from typing import Any

import polars
import pytest

from tunesmith.data.check import check_examples
from tunesmith.data.read import LoadedDataset, read_dataset
from tunesmith.records import Example, Message, Problem

USER = {"role": "user", "content": "q"}
DONE = {"role": "assistant", "content": "a"}
GOOD = {"messages": [USER, DONE]}
FUNCTION = {"name": "weather", "description": "Weather", "parameters": {"type": "object"}}
TOOL = {"type": "function", "function": FUNCTION}


def load(folder: Path, *rows: dict[str, Any]) -> LoadedDataset:
    path = folder / "d.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_dataset(path)


def answered(folder: Path, **answer: Any) -> Message:
    """The assistant's message as it is read, where nothing is wrong with it."""
    loaded = load(folder, {"messages": [USER, {"role": "assistant", "content": "a", **answer}]})
    assert not loaded.problems
    return loaded.examples[0].messages[-1]


def fault(folder: Path, *messages: dict[str, Any], **row: Any) -> Problem:
    """The one problem of a row, which stands on line 2 and is not read."""
    loaded = load(folder, GOOD, {"messages": list(messages), **row})
    (problem,) = loaded.problems
    assert (problem.severity, problem.lines, len(loaded.examples)) == ("error", (2,), 1)
    return problem


def called(arguments: Any, name: str = "weather", **more: Any) -> dict[str, Any]:
    call = {"type": "function", "function": {"name": name, "arguments": arguments}, **more}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


@pytest.mark.parametrize(
    "key", ["weight", "train", "training", "trainable", "train_on", "loss", "loss_weight"]
)
@pytest.mark.parametrize(
    ("value", "weight"), [(False, 0), (0, 0), (0.0, 0), (True, 1), (0.5, 0.5), (None, None)]
)
def test_a_turn_is_switched_off_in_any_spelling(
    tmp_path: Path, key: str, value: Any, weight: float | None
) -> None:
    assert answered(tmp_path, **{key: value}).weight == weight


def test_two_spellings_of_a_weight_that_disagree_are_an_error(tmp_path: Path) -> None:
    assert answered(tmp_path, weight=0, train=False).weight == 0
    problem = fault(tmp_path, USER, {**DONE, "weight": 1, "train": False})
    assert (problem.code, '"weight" and "train"' in problem.summary) == ("data/keys-disagree", True)


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_is_read_under_any_of_its_names(tmp_path: Path, key: str) -> None:
    message = answered(tmp_path, **{key: "first this, then that"})
    assert (message.reasoning, message.content) == ("first this, then that", "a")
    assert message.as_dict()["reasoning_content"] == "first this, then that"


def test_reasoning_as_a_part_of_the_content_is_reasoning(tmp_path: Path) -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "a"},
    ]
    message = answered(tmp_path, content=parts)
    assert (message.reasoning, message.content) == ("hm", "a")


def test_two_reasonings_must_be_the_same(tmp_path: Path) -> None:
    assert answered(tmp_path, reasoning="x", reasoning_content="x").reasoning == "x"
    assert (
        fault(tmp_path, USER, {**DONE, "reasoning": "x", "thinking": "y"}).code
        == "data/keys-disagree"
    )


def test_reasoning_without_words_is_none(tmp_path: Path) -> None:
    assert answered(tmp_path, reasoning_content=" ").reasoning is None


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("wieght", 'did you mean "weight"'),
        ("Content", 'did you mean "content"'),
        ("toolCalls", '"tool_calls"'),
        ("mask", '"mask" of a message'),
        ("loss_mask", '"loss_mask"'),
        ("train_detail", '"train_detail"'),
        ("images", '"images"'),
        ("audio", '"audio"'),
        ("reasoning_details", '"reasoning_details"'),
        ("prefix", '"prefix"'),
        ("refusal", '"refusal"'),
        ("text", '"text"'),
        ("thought", '"thought"'),
        ("tools", '"tools"'),
        ("channel", '"channel"'),
        ("ignore_in_loss", '"ignore_in_loss"'),
    ],
)
def test_a_key_that_changes_what_is_trained_is_an_error_with_its_line(
    tmp_path: Path, key: str, said: str
) -> None:
    problem = fault(tmp_path, USER, {**DONE, key: ["x"]})
    assert problem.code == "data/unknown-key"
    assert said in problem.summary


def test_other_keys_are_a_warning_that_names_each_with_its_rows(tmp_path: Path) -> None:
    one, two = {**DONE, "id": "m1", "created_at": 17}, {**DONE, "id": "m2", "finish_reason": "stop"}
    loaded = load(tmp_path, {"messages": [USER, one]}, GOOD, {"messages": [USER, two]})
    (problem,) = loaded.problems
    assert (problem.code, problem.severity, problem.lines) == (
        "data/unused-keys",
        "warning",
        (1, 3),
    )
    for said in (
        '"id" of a message (in 2 rows)',
        '"created_at" of a message (in 1 row)',
        '"finish_reason"',
    ):
        assert said in problem.summary
    assert len(loaded.examples) == 3


def test_a_weight_of_a_turn_that_is_never_trained_is_a_warning(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        {"messages": [{**USER, "train": True}, DONE]},
        {"messages": [{**USER, "weight": 0}, DONE]},
    )
    (problem,) = loaded.problems
    assert (problem.code, problem.lines) == ("data/unused-keys", (1,))
    assert '"train" of a message of role user (in 1 row)' in problem.summary


def test_keys_without_a_value_carry_nothing(tmp_path: Path) -> None:
    assert (
        answered(
            tmp_path, refusal=None, audio=None, annotations=[], function_call=None, tool_calls=[]
        ).content
        == "a"
    )


def test_a_misspelt_key_of_a_call_or_a_tool_is_an_error(tmp_path: Path) -> None:
    call = {"function": {"name": "f", "argumnets": {"a": 1}}}
    assert '"arguments"' in fault(tmp_path, USER, {**DONE, "tool_calls": [call]}).summary
    tool = {"function": {"name": "f", "paramters": {}}}
    assert '"parameters"' in fault(tmp_path, USER, DONE, tools=[tool]).summary


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "tool_use", "file"])
def test_a_part_that_is_not_text_is_an_error(tmp_path: Path, kind: str) -> None:
    problem = fault(tmp_path, {"role": "user", "content": [{"type": kind, "text": "x"}]}, DONE)
    assert (problem.code, repr(kind) in problem.summary) == ("data/not-text", True)


def test_reasoning_and_calls_are_the_assistants(tmp_path: Path) -> None:
    assert "reasoning of a message" in fault(tmp_path, {**USER, "reasoning": "x"}, DONE).summary
    assert (
        "tool calls of a message" in fault(tmp_path, {**called({}), "role": "user"}, DONE).summary
    )


def test_two_texts_of_one_message_must_be_the_same(tmp_path: Path) -> None:
    assert fault(tmp_path, USER, {**DONE, "value": "b"}).code == "data/keys-disagree"


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        ({"town": "Oslo"}, {"town": "Oslo"}),
        ('{"town": "Oslo"}', {"town": "Oslo"}),
        ('{"t": "\\u00e9"}', {"t": "é"}),
        ("{}", {}),
        ("", {}),
        ("null", {}),
        (None, {}),
        ('{"a": {"b": [1, null, "x"]}}', {"a": {"b": [1, None, "x"]}}),
        (' {"n" : 1.0} ', {"n": 1.0}),
    ],
)
def test_arguments_in_any_form_are_an_object(
    tmp_path: Path, arguments: Any, read: dict[str, Any]
) -> None:
    (message,) = load(tmp_path, {"messages": [USER, called(arguments)]}).examples[0].messages[1:]
    assert message.called_functions == [{"name": "weather", "arguments": read}]


@pytest.mark.parametrize(
    "arguments",
    [
        "{'town': 'Oslo'}",
        "Oslo",
        '"{\\"town\\": 1}"',
        [1],
        "[1]",
        5,
        '{"a": 1, "a": 2}',
        '{"a": NaN}',
        '{"a": 1e400}',
    ],
)
def test_arguments_that_are_no_object_are_an_error_that_names_the_call(
    tmp_path: Path, arguments: Any
) -> None:
    problem = fault(tmp_path, USER, called(arguments))
    assert (problem.code, '"weather"' in problem.summary) == ("data/broken-call", True)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ({"function": {"arguments": {}}}, "data/broken-call"),
        ({"type": "custom", "custom": {"name": "f"}}, "data/broken-call"),
        ("f(1)", "data/wrong-type"),
    ],
)
def test_a_call_that_is_none_is_an_error(tmp_path: Path, call: Any, code: str) -> None:
    assert fault(tmp_path, USER, {**DONE, "tool_calls": [call]}).code == code


def test_the_older_form_of_functions_is_read_as_tools(tmp_path: Path) -> None:
    older = {
        "functions": [FUNCTION],
        "messages": [
            USER,
            {
                "role": "assistant",
                "function_call": {"name": "weather", "arguments": '{"town": "Oslo"}'},
            },
            {"role": "function", "name": "weather", "content": '{"sky": "clear"}'},
            DONE,
        ],
    }
    newer = {
        "tools": [TOOL],
        "messages": [
            USER,
            called({"town": "Oslo"}, id="call_1"),
            {"role": "tool", "tool_call_id": "call_1", "content": '{"sky": "clear"}'},
            DONE,
        ],
    }
    first, second = load(tmp_path, older, newer).examples
    assert first.id == second.id
    assert first.tools == second.tools == (TOOL,)
    assert [message.role for message in first.messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert first.messages[2].name == second.messages[2].name == "weather"


@pytest.mark.parametrize(
    ("call", "result"), [("function_call", "observation"), ("tool_call", "tool_response")]
)
def test_turns_that_are_calls_are_read_as_calls(tmp_path: Path, call: str, result: str) -> None:
    """LLaMA-Factory and ms-swift; the latter writes parallel calls as turns in a row."""
    turns = [
        {"from": "human", "value": "q"},
        {"from": call, "value": '{"name": "weather", "arguments": {"town": "Oslo"}}'},
        {"from": call, "value": '{"name": "weather", "arguments": {"town": "Ulm"}}'},
        {"from": result, "value": "clear"},
        {"from": result, "value": "rain"},
        {"from": "gpt", "value": "a"},
    ]
    (example,) = load(tmp_path, {"conversations": turns, "tools": json.dumps([FUNCTION])}).examples
    assert [message.role for message in example.messages] == [
        "user",
        "assistant",
        "tool",
        "tool",
        "assistant",
    ]
    assert [f["arguments"]["town"] for f in example.messages[1].called_functions] == ["Oslo", "Ulm"]
    assert example.tools == (TOOL,)


def test_a_turn_of_role_function_call_that_is_no_call_is_an_error(tmp_path: Path) -> None:
    problem = fault(tmp_path, USER, {"role": "function_call", "content": "weather please"}, DONE)
    assert problem.code == "data/wrong-type"


@pytest.mark.parametrize(
    "tools",
    [
        [TOOL],
        [FUNCTION],
        json.dumps([TOOL]),
        [json.dumps(TOOL)],
        [{"type": "function", **FUNCTION}],
        [{"name": "weather", "description": "Weather", "input_schema": {"type": "object"}}],
    ],
)
def test_tools_in_any_form_are_functions(tmp_path: Path, tools: Any) -> None:
    assert load(tmp_path, {**GOOD, "tools": tools}).examples[0].tools == (TOOL,)


def test_tools_and_functions_of_one_row_must_be_the_same(tmp_path: Path) -> None:
    assert (
        fault(tmp_path, USER, DONE, tools=[TOOL], functions=[{"name": "g"}]).code
        == "data/keys-disagree"
    )


@pytest.mark.parametrize(
    "tool", [{"type": "web_search"}, {"function": {"description": "nameless"}}, "weather"]
)
def test_a_tool_that_is_no_function_is_an_error(tmp_path: Path, tool: Any) -> None:
    assert fault(tmp_path, USER, DONE, tools=[tool]).code == "data/wrong-type"


@pytest.mark.parametrize(
    ("content", "read"),
    [
        ({"sky": "clear"}, '{"sky": "clear"}'),
        ([1, {"text": "é"}], '[1, {"text": "é"}]'),
        (21.5, "21.5"),
        (True, "true"),
        ([{"type": "text", "text": "clear"}], "clear"),
        (None, ""),
        ([], "[]"),
    ],
)
def test_what_a_tool_gave_may_be_any_value(tmp_path: Path, content: Any, read: str) -> None:
    result = {"role": "tool", "tool_call_id": "c1", "content": content}
    messages = (
        load(tmp_path, {"messages": [USER, called({}, id="c1"), result, DONE]}).examples[0].messages
    )
    assert (messages[2].content, messages[2].name) == (read, "weather")


def test_results_out_of_order_are_given_to_their_calls(tmp_path: Path) -> None:
    calls = [called({}, name, id=name)["tool_calls"][0] for name in ("f", "g")]
    results = [
        {"role": "tool", "tool_call_id": name, "content": f"of {name}"} for name in ("g", "f")
    ]
    first = {"messages": [USER, {**DONE, "content": None, "tool_calls": calls}, *results, DONE]}
    mixed = json.loads(json.dumps(first))
    mixed["messages"][2]["tool_call_id"], mixed["messages"][3]["tool_call_id"] = "f", "g"
    one, other = load(tmp_path, first, mixed).examples
    assert [message.name for message in one.messages[2:4]] == ["g", "f"]
    assert one.id != other.id


def test_a_result_of_a_call_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = {"role": "tool", "tool_call_id": "c9", "content": "x"}
    report = check_examples(load(tmp_path, {"messages": [USER, called({}, id="c1"), result, DONE]}))
    assert any(
        "'c9'" in problem.summary
        for problem in report.problems
        if problem.code == "data/role-order"
    )


def test_a_developer_and_an_empty_system_message_are_kept(tmp_path: Path) -> None:
    for role, text in (("developer", "be brief"), ("system", "")):
        (example,) = load(
            tmp_path, {"messages": [{"role": role, "content": text}, USER, DONE]}
        ).examples
        assert example.messages[0] == Message("system", text)


def test_parquet_csv_and_json_lines_give_the_same_example(tmp_path: Path) -> None:
    """Structs of a Parquet column share their keys, so that each call has the arguments of all
    others as null."""
    calls = [
        called({"town": "Oslo"}, id="1")["tool_calls"][0],
        called({"days": 2}, id="2")["tool_calls"][0],
    ]
    row = {
        "messages": [USER, {"role": "assistant", "content": "", "tool_calls": calls}],
        "tools": [TOOL],
    }
    polars.DataFrame([row]).write_parquet(tmp_path / "d.parquet")
    polars.DataFrame([{name: json.dumps(value) for name, value in row.items()}]).write_csv(
        tmp_path / "d.csv"
    )
    (example,) = load(tmp_path, row).examples
    for name in ("d.parquet", "d.csv"):
        assert read_dataset(tmp_path / name).examples[0].id == example.id


def test_rows_that_differ_in_the_form_of_arguments_are_duplicates(tmp_path: Path) -> None:
    forms = [{"a": 1, "b": [2]}, '{"a": 1, "b": [2]}', '{"b":[2],"a":1}']
    rows = [{"messages": [USER, called(form, id=f"call_{i}")]} for i, form in enumerate(forms)]
    report = check_examples(load(tmp_path, *rows))
    assert [p.lines for p in report.problems if p.code == "data/duplicate"] == [(2, 3)]


def test_the_same_question_with_two_calls_is_answered_differently(tmp_path: Path) -> None:
    rows = [{"messages": [USER, called({"town": town})]} for town in ("Oslo", "Ulm")]
    report = check_examples(load(tmp_path, *rows))
    assert [p.lines for p in report.problems if p.code == "data/different-answers"] == [(1, 2)]


def test_an_empty_turn_that_would_be_trained_is_an_error(tmp_path: Path) -> None:
    def codes(**more: Any) -> list[str]:
        empty = {"role": "assistant", "content": "", **more}
        report = check_examples(load(tmp_path, {"messages": [USER, empty, USER, DONE]}))
        return [problem.code for problem in report.problems]

    assert "data/empty-answer" in codes()
    assert "data/empty-answer" not in codes(weight=0)


def test_a_weight_of_1_and_weights_of_others_are_no_content() -> None:
    def id_of(user: float | None, assistant: float | None) -> str:
        return Example(
            1, (Message("user", "q", weight=user), Message("assistant", "a", weight=assistant))
        ).id

    assert id_of(None, None) == id_of(0, 1) != id_of(None, 0)


def test_values_that_only_tables_have_are_read_as_json_has_them(tmp_path: Path) -> None:
    """Arrow has dates, decimals and NaN, for which there is no JSON; the last is an error with its
    row."""
    given = [
        {"day": datetime.date(2026, 1, 2), "cost": decimal.Decimal("1.50"), "n": n}
        for n in (1.5, float("nan"))
    ]
    calls = [{"function": {"name": "weather", "arguments": arguments}} for arguments in given]
    rows = [{"messages": [USER, {**DONE, "tool_calls": [call]}]} for call in calls]
    polars.DataFrame(rows).write_parquet(tmp_path / "d.parquet")
    loaded = read_dataset(tmp_path / "d.parquet")
    (function,) = loaded.examples[0].messages[1].called_functions
    assert function["arguments"] == {"day": "2026-01-02", "cost": 1.5, "n": 1.5}
    assert [(problem.code, problem.lines) for problem in loaded.problems] == [
        ("data/not-a-number", (2,))
    ]


def test_a_number_as_content_is_text_and_that_is_noted(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"messages": [USER, {**DONE, "content": 7}]})
    assert loaded.examples[0].answer == "7"
    assert [(problem.code, problem.severity) for problem in loaded.problems] == [
        ("data/text-of-numbers", "note")
    ]
