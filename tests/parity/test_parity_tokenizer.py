"""Rendered text and token ids equal those of transformers' AutoTokenizer, exactly (text and
integers: no tolerance).

The templates are short versions of the families that people fine-tune; each keeps what is peculiar
to its family.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from jinja2.exceptions import TemplateError
from transformers import AutoTokenizer

from tunesmith.errors import ModelError
from tunesmith.models.template_worker import render_template
from tunesmith.models.tokenizer import load_tokenizer
from tunesmith.records import Message
from tunesmith.testing.tiny_model import CHATML, write_tiny_tokenizer

LLAMA3 = """{{- bos_token }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}
"""  # noqa: E501
MISTRAL = """{%- if messages[0]['role'] == 'system' %}
  {%- set system = messages[0]['content'] + '\n\n' %}{% set loop_messages = messages[1:] %}
{%- else %}{% set system = '' %}{% set loop_messages = messages %}{%- endif %}
{{- bos_token }}
{%- for message in loop_messages %}
  {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
    {{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
  {%- endif %}
  {%- if message['role'] == 'user' %}{{- '[INST] ' + (system if loop.first else '') + message['content'] + ' [/INST]' }}
  {%- else %}{{- ' ' + message['content'] + eos_token }}
  {%- endif %}
{%- endfor %}"""  # noqa: E501
GEMMA = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{% for message in messages %}
    {% if message['role'] == 'assistant' %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}
{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}
{% endfor %}
{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"""  # noqa: E501
QWEN = """{%- if tools %}
    {{- '<|im_start|>system\n# Tools\n<tools>' }}
    {%- for tool in tools %}{{- '\n' }}{{- tool | tojson }}{%- endfor %}
    {{- '\n</tools><|im_end|>\n' }}
{%- endif %}
{%- set ns = namespace(last=messages|length - 1) %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' }}
        {%- continue %}
    {%- endif %}
    {{- '<|im_start|>' + message.role }}
    {%- if message.role == 'assistant' %}
        {% generation %}{{- '\n' + message.content }}
        {%- for call in message.tool_calls or [] %}
            {{- '\n<tool_call>\n' + (call.function | tojson(indent=2)) + '\n</tool_call>' }}
        {%- endfor %}{% endgeneration %}
    {%- else %}
        {{- '\n' + message.content }}
    {%- endif %}
    {{- '<|im_end|>' if loop.index0 <= ns.last }}{{ '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""  # noqa: E501

TURN = ("<|im_start|>", "<|im_end|>")
FAMILIES: dict[str, tuple[str, tuple[str, ...], dict[str, str], str]] = {
    "chatml": (CHATML, TURN, {"eos_token": "<|im_end|>"}, "<|im_end|>"),
    "llama3": (
        LLAMA3,
        ("<bos>", "<eos>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        {"bos_token": "<bos>", "eos_token": "<eos>"},
        "<|eot_id|>",
    ),
    "mistral": (
        MISTRAL,
        ("<s>", "</s>", "[INST]", "[/INST]"),
        {"bos_token": "<s>", "eos_token": "</s>"},
        "</s>",
    ),
    "gemma": (
        GEMMA,
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
        {"bos_token": "<bos>", "eos_token": "<eos>"},
        "<end_of_turn>",
    ),
    "qwen": (QWEN, TURN, {"eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}, "<|im_end|>"),
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "é < ü & 😀",
            "parameters": {"type": "object"},
        },
    }
]
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Zürich <3"}}}
CONVERSATIONS: dict[str, tuple[Message, ...]] = {
    "one turn": (Message("user", "the quick brown fox"),),
    "three turns": (
        Message("user", " one "),
        Message("assistant", "two\n"),
        Message("user", "three 😀 é\ttab  spaces"),
    ),
    "answered": (Message("user", "x"), Message("assistant", "y <b> & 'z'")),
    "empty": (Message("user", ""), Message("assistant", "")),
    "system": (Message("system", "be brief"), Message("user", "x")),
    "user twice": (Message("user", "x"), Message("user", "y")),
    "tool call": (
        Message("user", "x"),
        Message("assistant", "", tool_calls=(CALL,)),
        Message("tool", '{"c": 20}', name="weather"),
    ),
}


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def family(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    template, controls, named, _ = FAMILIES[request.param]
    folder = write_tiny_tokenizer(
        tmp_path_factory.mktemp(request.param), template, controls, **named
    )
    return request.param, folder


def test_the_end_of_turn_of_the_family(family: tuple[str, Path]) -> None:
    name, folder = family
    assert load_tokenizer(folder).end_of_turn == FAMILIES[name][3]


@pytest.mark.parametrize("tools", [[], TOOLS], ids=["no tools", "tools"])
@pytest.mark.parametrize("open_answer", [False, True])
def test_text_and_ids_equal_transformers(
    family: tuple[str, Path], open_answer: bool, tools: list[dict[str, Any]]
) -> None:
    _, folder = family
    ours, theirs = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    compared = 0
    for messages in CONVERSATIONS.values():
        chat = [message.as_dict() for message in messages]
        try:
            expected = theirs.apply_chat_template(
                chat, tools=tools or None, add_generation_prompt=open_answer, tokenize=False
            )
        except TemplateError as error:
            with pytest.raises(ModelError) as caught:
                ours.render(messages, tools, open_answer=open_answer)
            assert str(error) in caught.value.got
            continue
        text = ours.render(messages, tools, open_answer=open_answer)
        assert text == expected
        encoded = ours.encode([text])[0]
        reference = theirs(text, add_special_tokens=False, return_offsets_mapping=True)
        assert encoded.ids == reference["input_ids"]
        assert encoded.offsets == [tuple(offset) for offset in reference["offset_mapping"]]
        assert ours.decode(encoded.ids) == theirs.decode(encoded.ids, skip_special_tokens=True)
        compared += 1
    assert compared >= 4


def test_the_named_tokens_equal_transformers(family: tuple[str, Path]) -> None:
    _, folder = family
    ours, theirs = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    assert ours.special_tokens == theirs.special_tokens_map
    assert (ours.bos_id, ours.pad_id) == (theirs.bos_token_id, theirs.pad_token_id)
    assert set(ours.control_tokens) >= set(theirs.all_special_tokens)


@pytest.mark.parametrize(
    "template",
    [
        "  {% if true %}\n  a\n  {% endif %}\n b\n\n",
        "{{ messages | tojson }}|{{ messages[0] | tojson(indent=1, sort_keys=true) }}",
        "{{ messages | tojson(separators=(',', ':')) }}",
        (
            "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ m.content |"
            " upper }}{% endfor %}"
        ),
        (
            "{% set x = 1 %}{% generation %}\n{% set x = 2 %}{{ x }}{{ messages[0].content }}\n{%"
            " endgeneration %}{{ x }}"
        ),
        (
            "{% for m in messages %}{% generation %}{{ loop.index }}{{ m.role }}{% endgeneration"
            " %}{% endfor %}"
        ),
        (
            "{{ strftime_now('%Y')[:2] }}{{ missing }}{{ missing is defined }}{{ tools is none }}{{"
            " documents is none }}"
        ),
        (
            "{% macro f(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ 'ab' * 3 }}{{ 2**3 }}{{"
            " [1] * 2 }}{{ 3 * 1.5 }}"
        ),
        (
            "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = 1 + ns.n %}{% endfor"
            " %}{{ ns.n }}"
        ),
        (
            "{{ dict(b=2) }}{{ messages[0].content.split('o') }}{{ messages[0]['content'][::-1]"
            " }}{{ '%s-%d' % ('a', 3) }}"
        ),
        "{{ 'é<' | e }}",
    ],
)
def test_the_template_language_equals_transformers(tmp_path: Path, template: str) -> None:
    theirs = AutoTokenizer.from_pretrained(write_tiny_tokenizer(tmp_path, template))
    chat = [{"role": "user", "content": "one & two"}, {"role": "assistant", "content": "<three>"}]
    expected = theirs.apply_chat_template(chat, tokenize=False)
    variables = {"messages": chat, "tools": None, "documents": None, "add_generation_prompt": False}
    assert render_template(template, json.loads(json.dumps(variables))) == expected
