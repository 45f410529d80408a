"""A call that a model writes is read as the call that was trained, whatever its chat template."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chats.templates import FAMILIES
from tunesmith.data.tool_call_format import (
    CallFormat,
    find_calls,
    find_unread_call,
    has_calls,
    read_calls,
)
from tunesmith.models.tokenizer import FolderTokenizer, load_tokenizer
from tunesmith.records import Example, Message, format_answer

WRITES_CALLS = [name for name, family in FAMILIES.items() if "calls" in family.writes]
TOOLS = (
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather",
            "parameters": {
                "type": "object",
                "properties": {
                    "town": {"type": "string"},
                    "days": {"type": "integer"},
                    "near": {"type": "object"},
                },
            },
        },
    },
)


@pytest.fixture(scope="module", params=WRITES_CALLS)
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    FAMILIES[request.param].write(folder)
    return request.param, load_tokenizer(folder)


def as_call(arguments: dict[str, Any], name: str = "get_weather") -> dict[str, Any]:
    return {
        "id": "abcdefghi",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def write(tokenizer: FolderTokenizer, *calls: dict[str, Any]) -> str:
    """An answer as it is trained, as the tokenizer would decode it."""
    question = (Message("user", "How is it?"),)
    before = tokenizer.render(question, TOOLS, open_answer=True)
    whole = tokenizer.render((*question, Message("assistant", "", tool_calls=calls)), TOOLS)
    assert whole.startswith(before)
    return tokenizer.decode(tokenizer.encode([whole[len(before) :]])[0].ids).strip()


@pytest.mark.parametrize(
    "arguments",
    [
        {"town": "Iasi"},
        {"town": "Iasi", "days": 3},
        {"town": 'a "quoted"\nand {braced} town', "near": {"lat": 47.1, "names": ["x", "y"]}},
        {"town": "5"},
    ],
)
def test_what_is_trained_is_read_back(tokenizer: Any, arguments: dict[str, Any]) -> None:
    name, loaded = tokenizer
    function = {"name": "get_weather", "arguments": arguments}
    found = read_calls(loaded, write(loaded, as_call(arguments)), TOOLS)
    assert found == format_answer("", [function]), name
    assert has_calls(found) and find_calls(found).functions == (function,)


def test_parallel_calls_are_read_in_their_order(tokenizer: Any) -> None:
    name, loaded = tokenizer
    if name == "llama":
        pytest.skip("its template takes one call")
    calls = [as_call({"town": "Iasi", "days": 1}), as_call({"town": "Cluj"})]
    found = find_calls(read_calls(loaded, write(loaded, *calls), TOOLS))
    assert [one["arguments"] for one in found.functions] == [
        {"town": "Iasi", "days": 1},
        {"town": "Cluj"},
    ]


def test_an_answer_without_a_call_stays_as_it_is(tokenizer: Any) -> None:
    _, loaded = tokenizer
    for text in ("It rains.", "Use {braces} and <b>tags</b>.", '{"town": "Iasi"}', ""):
        assert read_calls(loaded, text, TOOLS) == text


def test_a_template_of_json_calls_needs_no_form_of_its_own(tokenizer: Any) -> None:
    name, loaded = tokenizer
    assert (CallFormat.learn(loaded) is None) is (name not in ("deepseek", "xml"))


def test_calls_that_a_template_changes_are_not_read_back(tmp_path: Path) -> None:
    """Before anything is spent: every answer of the tuned model would be wrong."""
    template = FAMILIES["qwen"].template
    begin, end = template.index("'<tool_call>"), template.index("{%- endfor %}{{- '<|im_end|>' }}")
    written = "(call.function.name | upper) + (call.function.arguments | tojson) }}\n    "
    folder = FAMILIES["qwen"]._replace(template=template[:begin] + written + template[end:])
    code, json_calls = load_tokenizer(folder.write(tmp_path / "code")), tmp_path / "json"
    plain = Example(1, (Message("user", "q"), Message("assistant", "a")))
    calling = Example(
        2,
        (Message("user", "q"), Message("assistant", "", tool_calls=(as_call({"town": "Iasi"}),))),
        tools=TOOLS,
    )
    assert find_unread_call(code, [plain, calling]) is calling
    assert find_unread_call(code, [plain]) is None
    known = load_tokenizer(FAMILIES["qwen"].write(json_calls))
    assert find_unread_call(known, [plain, calling]) is None


CALL = '{"name": "f", "arguments": {"a": 1}}'


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (CALL, ""),
        (f"[{CALL}]", ""),
        (f"<tool_call>\n{CALL}\n</tool_call>", ""),
        (f"I look.\n<tool_call>\n{CALL}\n</tool_call>", "I look."),
        (f"```json\n{CALL}\n```", ""),
        ('{"name": "f", "parameters": {"a": 1}}', ""),
        ('{"name": "f", "arguments": "{\\"a\\": 1}"}', ""),
        ('{"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}', ""),
        (
            '{"tool_calls": [{"id": "x", "function": {"name": "f", "arguments": "{\\"a\\":1}"}}]}',
            "",
        ),
        ('[TOOL_CALLS] [{"name": "f", "arguments": {"a": 1}, "id": "abcdefghi"}]', ""),
        ('<|python_tag|>{"name": "f", "parameters": {"a": 1}}', ""),
        ('{"arguments":{"a":1},"name":"f"}', ""),
    ],
)
def test_the_json_forms_of_a_call_are_one_call(answer: str, text: str) -> None:
    found = find_calls(answer)
    assert found.functions == ({"name": "f", "arguments": {"a": 1}},) and not found.is_broken
    assert found.text == text


@pytest.mark.parametrize(
    "answer",
    [
        '{"name": "f", "arguments": {"a": 1}',
        '<tool_call>\n{"name": "f", "arguments": {"a": }}\n</tool_call>',
        '{"name": "f", "arguments": {"a": 1, "a": 2}}',
        '{"name": "f", "arguments": {"a": NaN}}',
        '{"name": "f", "arguments": [1]}',
        '{"name": "", "arguments": {}}',
        "<tool_call>f(1)</tool_call>",
        "{'name': 'f', 'arguments': {}} <tool_call>",
    ],
)
def test_a_broken_call_is_none_and_said_to_be_broken(answer: str) -> None:
    found = find_calls(answer)
    assert found.functions == () and found.is_broken


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab{\"'\\n"), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc", min_size=1), json_values, max_size=4), st.booleans())
@settings(max_examples=200, deadline=None)
def test_any_arguments_are_read_back_from_the_common_form(
    arguments: dict[str, Any], spaced: bool
) -> None:
    function = {"name": "f", "arguments": arguments}
    line = json.dumps(function, indent=2) if spaced else format_answer("Text.", [function])
    assert find_calls(line).functions == (function,)


@given(st.text())
@settings(max_examples=300, deadline=None)
def test_any_text_is_searched_without_an_error(text: str) -> None:
    found = find_calls(text)
    assert found.functions == () or "name" in text


def test_the_answer_of_an_example_holds_its_calls_and_its_prompt_offers_its_tools() -> None:
    answer = Message("assistant", "I look.", tool_calls=(as_call({"town": "Iasi"}),))
    example = Example(1, (Message("system", "s"), Message("user", "q"), answer), tools=TOOLS)
    assert example.answer == 'I look.\n{"arguments":{"town":"Iasi"},"name":"get_weather"}'
    assert [message.tools for message in example.prompt] == [(), TOOLS]
    assert example.messages[1].tools == () and hash(example.prompt) == hash(example.prompt)
    assert Example(1, (Message("user", "q"), Message("assistant", "a"))).prompt[0].tools == ()
