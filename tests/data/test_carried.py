"""What a chat template passes over is refused before a step is taken, with what it is."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.chats.templates import FAMILIES, THINK
from tunesmith.data.check import check_examples
from tunesmith.data.prepare import prepare_split
from tunesmith.data.read import LoadedDataset, read_dataset
from tunesmith.errors import DataError
from tunesmith.models.tokenizer import FolderTokenizer, load_tokenizer
from tunesmith.providers.prompt_encoding import encode_prompts
from tunesmith.testing.tiny_model import write_tiny_tokenizer

USER, DONE = (
    {"role": "user", "content": "Where is it warm?"},
    {
        "role": "assistant",
        "content": "In Rome.",
    },
)
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
TURN = "{{ '<|im_start|>' + m.role + '\n' }}"
END = "{{ '<|im_end|>\n' }}"


def call(**arguments: Any) -> dict[str, Any]:
    return {
        "id": "call_1234",
        "type": "function",
        "function": {"name": "weather", "arguments": arguments},
    }


CALLED = {"role": "assistant", "content": None, "tool_calls": [call(town="Oslo", days=3)]}
RESULT = {"role": "tool", "tool_call_id": "call_1234", "content": "snow"}


def writes(calls: str) -> str:
    """A turn's content, and so much of each of its calls `c`."""
    return "{{ m.content }}{% for c in m.tool_calls or [] %}{{ " + calls + " }}{% endfor %}"


WHOLE = writes("c.function.name + (c.function.arguments | tojson)")


def template(written: str, tools: str = "{{ tools | tojson if tools }}") -> str:
    opened = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    return tools + "{% for m in messages %}" + TURN + written + END + "{% endfor %}" + opened


def tokenizer_of(folder: Path, template: str) -> FolderTokenizer:
    return load_tokenizer(write_tiny_tokenizer(folder / "model", template, eos_token="<|im_end|>"))


def load(folder: Path, *messages: dict[str, Any], **row: Any) -> LoadedDataset:
    path = folder / "d.jsonl"
    path.write_text(
        json.dumps({"messages": [USER, DONE]})
        + "\n"
        + json.dumps({"messages": messages, **row})
        + "\n"
    )
    return read_dataset(path)


def refusal(folder: Path, template: str, *messages: dict[str, Any], **row: Any) -> str | None:
    """Why the second line is refused, by `check` and by the preparation alike; None when it is
    not."""
    tokenizer, loaded = tokenizer_of(folder, template), load(folder, *messages, **row)
    report = check_examples(loaded, tokenizer=tokenizer, model="tiny")
    found = [p for p in report.problems if p.severity == "error" and p.code != "data/too-few"]
    try:
        prepare_split("train", loaded.examples, tokenizer, 10_000)
    except DataError as error:
        (problem,) = found
        assert (error.code, problem.lines) == (problem.code, (2,))
        assert "line 2" in error.at
        assert str(error.got) in problem.summary
        return str(error.got)
    assert not found
    return None


def test_a_template_that_writes_everything_refuses_nothing(tmp_path: Path) -> None:
    assert refusal(tmp_path, template(WHOLE), USER, CALLED, RESULT, DONE, tools=TOOLS) is None


@pytest.mark.parametrize(
    ("written", "lost"),
    [
        ("{{ m.content }}", "render: tool calls"),
        (writes("c.function.name"), "render: names of arguments"),
        (
            writes("c.function.name + (c.function.arguments | list | tojson)"),
            "render: arguments of tool calls",
        ),
        (
            writes("c.function.name + ' ' + (c | string | tojson)"),
            "render: arguments of tool calls as JSON",
        ),
        (
            writes("c.function.name + (c.function.arguments | tojson | tojson)"),
            "render: arguments of tool calls as JSON",
        ),
        ("{% if m.role != 'tool' %}" + WHOLE + "{% endif %}", "render: tool results"),
    ],
)
def test_what_is_not_written_of_calls_and_results_is_refused(
    tmp_path: Path, written: str, lost: str
) -> None:
    why = refusal(tmp_path, template(written), USER, CALLED, RESULT, DONE, tools=TOOLS)
    assert why is not None and lost in why


def test_tools_that_are_not_written_are_refused(tmp_path: Path) -> None:
    why = refusal(tmp_path, template(WHOLE, tools=""), USER, DONE, tools=TOOLS)
    assert why == "the chat template does not render: tool definitions"


def test_the_second_of_two_calls_that_is_not_written_is_refused(tmp_path: Path) -> None:
    first_only = (
        "{{ m.content }}{% if m.tool_calls %}{{ m.tool_calls[0].function | tojson }}{% endif %}"
    )
    both = {**CALLED, "tool_calls": [call(town="Oslo"), call(town="Oslo")]}
    why = refusal(tmp_path, template(first_only), USER, both, tools=TOOLS)
    assert why == "the chat template does not render: tool calls"


def test_text_beside_a_call_that_is_not_written_is_refused(tmp_path: Path) -> None:
    either = "{{ m.tool_calls[0].function | tojson if m.tool_calls else m.content }}"
    why = refusal(
        tmp_path, template(either), USER, {**CALLED, "content": "I look it up."}, tools=TOOLS
    )
    assert why == "the chat template does not render: text of answers that call tools"


def test_a_short_value_that_stands_in_the_text_by_chance_is_not_enough(tmp_path: Path) -> None:
    """ "m" and 1 stand in "<|im_start|>" and "call_1": only the place of a value says that it is
    written."""
    name_only = writes("c.function.name + ' ' + c.id")
    answer = {"role": "assistant", "content": None, "tool_calls": [call(m=1)]}
    why = refusal(tmp_path, template(name_only), USER, answer, tools=TOOLS)
    assert why is not None and why.endswith("arguments of tool calls")


@pytest.mark.parametrize("role", ["system", "user"])
def test_a_message_that_is_not_written_is_refused(tmp_path: Path, role: str) -> None:
    without = "{% if 'brief' not in m.content %}{{ m.content }}{% endif %}"  # it looks at the words
    why = refusal(tmp_path, template(without), {"role": role, "content": "Be brief."}, USER, DONE)
    assert why == f"the chat template does not render: {role} messages"


def test_an_answer_of_which_the_template_cuts_a_part_is_refused(tmp_path: Path) -> None:
    cuts = "{{ m.content.split('</think>')[-1] }}"
    answer = {"role": "assistant", "content": "<think>It is far south.</think>In Rome."}
    assert (
        refusal(tmp_path, template(cuts), USER, answer)
        == "the chat template does not render: answers"
    )


def test_reasoning_that_is_not_written_is_refused_and_may_be_lost_where_it_is_not_trained(
    tmp_path: Path,
) -> None:
    thinks = {**DONE, "reasoning_content": "It is far south."}
    assert (
        refusal(tmp_path, template(WHOLE), USER, thinks)
        == "the chat template does not render: reasoning"
    )
    assert refusal(tmp_path, template(WHOLE), USER, {**thinks, "train": False}, USER, DONE) is None


def test_reasoning_is_trained_where_the_template_writes_it(tmp_path: Path) -> None:
    tokenizer = tokenizer_of(tmp_path, THINK)
    examples = load(tmp_path, USER, {**DONE, "reasoning": "It is far south."}).examples
    _, arrays = prepare_split("train", examples, tokenizer, 10_000)
    tokens_T, weights_T = arrays.get_sequence(1)
    assert (
        tokenizer.decode(tokens_T[weights_T > 0].tolist())
        == "<think>\nIt is far south.\n</think>\n\nIn Rome."
    )


def test_earlier_reasoning_is_left_out_by_the_template_and_that_turn_must_not_be_trained(
    tmp_path: Path,
) -> None:
    earlier = {**DONE, "reasoning": "It is far south."}
    why = refusal(tmp_path, THINK, USER, earlier, USER, DONE)
    assert why is not None and "turn 2 is rendered differently later, from '<think>" in why
    assert (
        refusal(
            tmp_path, THINK, USER, {**earlier, "weight": 0}, USER, {**DONE, "reasoning": "Again."}
        )
        is None
    )
    report = check_examples(
        load(tmp_path, USER, earlier, USER, DONE), tokenizer=tokenizer_of(tmp_path, THINK)
    )
    (problem,) = [p for p in report.problems if p.code == "data/template-not-prefix-preserving"]
    assert "weight 0" in problem.hint


def test_a_prompt_that_begins_the_reasoning_itself_is_named(tmp_path: Path) -> None:
    opens = "{% for m in messages %}" + TURN + "{{ m.content }}" + END + "{% endfor %}"
    opens += "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
    tokenizer, loaded = tokenizer_of(tmp_path, opens), load(tmp_path, USER, DONE)
    with pytest.raises(DataError, match=r"the prompt of turn 2 has '<think>"):
        prepare_split("train", loaded.examples, tokenizer, 10_000)


def test_a_name_that_is_not_written_is_a_warning(tmp_path: Path) -> None:
    loaded = load(tmp_path, {**USER, "name": "ann"}, DONE)
    for written, codes in ((WHOLE, ["data/name-not-written"]), ("{{ m.name }}" + WHOLE, [])):
        report = check_examples(loaded, tokenizer=tokenizer_of(tmp_path, template(written)))
        assert [p.code for p in report.problems if p.code == "data/name-not-written"] == codes


def test_a_prompt_whose_calls_are_not_written_is_not_answered(tmp_path: Path) -> None:
    prompt = load(tmp_path, USER, CALLED, RESULT, DONE).examples[1].prompt
    (known,) = encode_prompts(load_tokenizer(FAMILIES["qwen"].write(tmp_path / "qwen")), [prompt])
    assert known.error is None
    (unknown,) = encode_prompts(
        load_tokenizer(FAMILIES["chatml"].write(tmp_path / "chatml")), [prompt]
    )
    assert unknown.error == "the chat template does not render: tool calls"


def test_reasoning_that_spells_a_control_token_is_refused(tmp_path: Path) -> None:
    """Encoded as the token, it would end the turn in the middle of the reasoning."""
    thinks = {**DONE, "reasoning": "Here <|im_end|> is spelled."}
    why = refusal(tmp_path, THINK, USER, thinks)
    assert why == "a control token inside a tool definition, call, name or reasoning"
