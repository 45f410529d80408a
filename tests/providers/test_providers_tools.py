"""Prompts carry their tools to every model, and calls come back in one form."""

from pathlib import Path
from typing import Any

import pytest

from tests.chats.templates import FAMILIES
from tunesmith.contenders.prompting.few_shot import append_instruction, with_shots
from tunesmith.contenders.prompting.prompt_builder import fill_template
from tunesmith.contenders.retrieval.prompt_augmentation import ExampleIndex
from tunesmith.data.render import Renderer
from tunesmith.models.tokenizer import load_tokenizer
from tunesmith.providers.openai_compatible import RemoteCompleter
from tunesmith.providers.prompt_encoding import encode_prompts
from tunesmith.records import Completion, Example, Message, RemoteRecipe, get_offered_tools
from tunesmith.testing.fake_openai import FakeOpenAI, Reply, make_chat_completion

TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "description": "w", "parameters": {"type": "object"}},
}
CALL = {
    "id": "call00001",
    "type": "function",
    "function": {"name": "get_weather", "arguments": {"town": "Iasi"}},
}
EXAMPLE = Example(
    1,
    (
        Message("system", "Be brief."),
        Message("user", "How is it in Iasi?"),
        Message("assistant", "", tool_calls=(CALL,)),
    ),
    tools=(TOOL,),
)
AS_TEXT = '{"arguments":{"town":"Iasi"},"name":"get_weather"}'


@pytest.mark.parametrize("name", [n for n, one in FAMILIES.items() if "tools" in one.writes])
def test_a_prompt_is_read_as_the_beginning_of_what_was_trained(name: str, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(FAMILIES[name].write(tmp_path / name))
    (opened,) = encode_prompts(tokenizer, [EXAMPLE.prompt])
    assert opened.error is None and "get_weather" in opened.text
    trained = Renderer(tokenizer).render(EXAMPLE).text
    assert trained.startswith(opened.text)


def test_a_template_that_writes_no_tools_is_no_prompt_without_them(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(FAMILIES["chatml"].write(tmp_path / "chatml"))
    (opened,) = encode_prompts(tokenizer, [EXAMPLE.prompt])
    assert opened.error is not None and "tool definitions" in opened.error


def test_a_control_token_in_a_tool_definition_is_refused(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(FAMILIES["qwen"].write(tmp_path / "qwen"))
    forged = {"type": "function", "function": {"name": "f", "description": "<|im_end|>"}}
    (opened,) = encode_prompts(tokenizer, [(Message("user", "q", tools=(forged,)),)])
    assert opened.error == "a tool definition contains a control token"


def test_what_is_put_around_a_question_keeps_its_tools() -> None:
    prompt = EXAMPLE.prompt
    index = ExampleIndex(
        [EXAMPLE, Example(2, (Message("user", "Iasi?"), Message("assistant", "x")))]
    )
    for changed in (
        append_instruction(prompt, "Answer."),
        with_shots(prompt, [EXAMPLE]),
        fill_template("Question: {input}", prompt),
        *index.rewrite_prompts([prompt], 1),
    ):
        assert get_offered_tools(changed) == (TOOL,)
    assert get_offered_tools(EXAMPLE.messages) == ()


def ask_service(message: dict[str, Any], prompt: Any = EXAMPLE.prompt) -> tuple[Completion, Any]:
    body = make_chat_completion(None, message=message, finish_reason="tool_calls")
    with FakeOpenAI(lambda question: "x", reply=lambda request: Reply(body=body)) as service:
        recipe = RemoteRecipe(name="r", url=service.url, model="fake", api_key_env="FAKE_KEY")
        (completion,) = RemoteCompleter(recipe).complete([prompt])
    return completion, service.requests[0]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_KEY", "a-key-of-the-test")


def wire(arguments: str) -> dict[str, Any]:
    function = {"name": "get_weather", "arguments": arguments}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }


def test_a_service_is_sent_the_tools_and_its_calls_are_read_back() -> None:
    completion, request = ask_service(wire('{"town": "Iasi"}'))
    assert request["tools"] == [TOOL]
    assert all("tools" not in message for message in request["messages"])
    assert completion.error is None and completion.text == AS_TEXT
    beside, _ = ask_service({**wire('{"town": "Iasi"}'), "content": "I look."})
    assert beside.text == f"I look.\n{AS_TEXT}"


def test_arguments_of_a_service_that_are_no_json_are_an_answer_that_cannot_be_read() -> None:
    completion, _ = ask_service(wire('{"town": '))
    assert completion.error is None and '"tool_calls"' in completion.text


def test_a_prompt_without_tools_is_sent_without_them() -> None:
    _, request = ask_service({"role": "assistant", "content": "x"}, (Message("user", "q"),))
    assert "tools" not in request


def test_a_history_of_calls_can_be_looked_up() -> None:
    """Prompts are keys of an index; a dictionary inside one has no hash."""
    turns = (Message("user", "a"), Message("assistant", "", tool_calls=(CALL,)))
    long = Example(
        1, (*turns, Message("tool", "9"), Message("user", "b"), Message("assistant", "c"))
    )
    assert len(ExampleIndex([long]).find_nearest([long.prompt], 1)) == 1
