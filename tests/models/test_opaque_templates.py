"""Pasting contents into what a template writes for these roles gives what the template writes for
them."""

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import nodes
from jinja2.ext import loopcontrols

from tunesmith.data.render import Renderer
from tunesmith.models.template_skeletons import SkeletonRenderer, copies_contents
from tunesmith.models.tokenizer import FolderTokenizer, load_tokenizer
from tunesmith.records import Example, Message
from tunesmith.testing.tiny_model import write_tiny_tokenizer

ENVIRONMENT = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
COPYING = {
    "chatml": (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] +"
        " '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n'"
        " }}{% endif %}"
    ),
    "a default system message": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{"
        " 'system: default\n' }}{% endif %}{{ message.role ~ ': ' ~ message.content ~ '\n' }}{%"
        " endfor %}"
    ),
    "trimmed and assigned": (
        "{% for m in messages %}{% set content = '<' + m['role'] + '>' + m['content'] | trim +"
        " '</s>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{"
        " content }}{% endfor %}"
    ),
    "stripped between blanks": (
        "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content.strip() }} [/INST]"
        "{% else %} {{ m.content | trim }} </s>{% endif %}{% endfor %}"
    ),
    "a system message in front": (
        "{% if messages[0].role == 'system' %}{% set system = messages[0]['content'] %}{% set rest"
        " = messages[1:] %}{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}{%"
        " for m in rest %}{% if loop.first %}{{ system }}|{% endif %}{{ m['content'] }}|{%"
        " endfor %}"
    ),
    "a whole trimmed": (
        "{% for m in messages %}{{ (m.role + ' ' + m.content) | trim }};{% endfor %}"
    ),
    "what is not there": (
        "{% for m in messages %}{% if m.tool_calls is defined or 'reasoning' in m %}CALLS{% endif"
        " %}{% if m['content'] is string %}{{ m['content'] }}{% endif %}\n{% endfor %}{{ messages |"
        " length }}"
    ),
    "a refusal of roles": (
        "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no ' + m.role) }}{%"
        " endif %}{{ m.content }}{% endfor %}"
    ),
}
LOOKING = {
    "a condition": (
        "{% for m in messages %}{% if m.content %}{{ m.content }}{% endif %}{% endfor %}"
    ),
    "a search": (
        "{% for m in messages %}{% if '</think>' in m.content %}x{% endif %}{{ m.content }}{%"
        " endfor %}"
    ),
    "a split": "{% for m in messages %}{{ m.content.split('</think>')[-1] }}{% endfor %}",
    "another case": "{% for m in messages %}{{ m.content | upper }}{% endfor %}",
    "a length": "{% for m in messages %}{{ m.content | length }}{% endfor %}",
    "an index": "{% for m in messages %}{{ m.content[0] }}{% endfor %}",
    "a comparison": "{% for m in messages %}{{ m.content == 'a' }}{% endfor %}",
    "a fallback": "{% for m in messages %}{{ m.content or 'nothing' }}{% endfor %}",
    "JSON": "{{ messages | tojson }}",
    "a whole message": "{% for m in messages %}{{ m }}{% endfor %}",
    "the message's parts": (
        "{% for m in messages %}{% for k in m %}{{ m[k] }}{% endfor %}{% endfor %}"
    ),
    "a computed key": "{% for m in messages %}{{ m['con' ~ 'tent'] | upper }}{% endfor %}",
    "get": "{% for m in messages %}{{ m.get('content') | upper }}{% endfor %}",
    "a macro": (
        "{% macro f(m) %}{{ m.content | upper }}{% endmacro %}{% for m in messages %}{{ f(m) }}{%"
        " endfor %}"
    ),
    "a namespace": (
        "{% set ns = namespace(t='') %}{% for m in messages %}{% set ns.t = m.content %}{% endfor"
        " %}{{ ns.t | upper }}"
    ),
    "a name for it": "{% for m in messages %}{% set c = m.content %}{{ c | upper }}{% endfor %}",
    "a name for a name": (
        "{% for m in messages %}{% set c = m.content %}{% set d = c %}{{ d | upper }}{% endfor %}"
    ),
    "the neighbor": (
        "{% for m in messages %}{{ loop.previtem.content | upper if loop.previtem }}{% endfor %}"
    ),
    "a selection": "{% for m in messages | selectattr('content') %}{{ m.role }}{% endfor %}",
    "a changed loop": "{% for m in messages %}{{ loop.changed(m.content) }}{% endfor %}",
    "a name of two kinds": (
        "{% for m in messages %}{% set m2 = m %}{% set m2 = m.content %}{{ m2 | upper }}{%"
        " endfor %}"
    ),
    "the list by another way": "{% set l = [messages] %}{{ l[0][0].content | upper }}",
    "the day": "{{ strftime_now('%d') }}{% for m in messages %}{{ m.content }}{% endfor %}",
    "a filter block": (
        "{% filter upper %}{% for m in messages %}{{ m.content }}{% endfor %}{% endfilter %}"
    ),
    "a set block": (
        "{% for m in messages %}{% set c %}{{ m.content }}{% endset %}{{ c | upper }}{% endfor %}"
    ),
}
CONTENT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
MESSAGES = st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant"]), CONTENT),
    min_size=1,
    max_size=5,
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> FolderTokenizer:
    return load_tokenizer(
        write_tiny_tokenizer(tmp_path_factory.mktemp("tiny"), eos_token="<|im_end|>")
    )


def parse(template: str) -> nodes.Template:
    return ENVIRONMENT.parse(template)


def run(template: str, messages: list[Message], *, open_answer: bool = False) -> str:
    return ENVIRONMENT.from_string(template).render(
        messages=[{"role": m.role, "content": m.content} for m in messages],
        bos_token="<s>",
        add_generation_prompt=open_answer,
    )


@pytest.mark.parametrize("template", COPYING.values(), ids=COPYING)
@settings(deadline=None)
@given(conversations=st.lists(MESSAGES, min_size=1, max_size=6), open_answer=st.booleans())
def test_pasting_is_rendering(
    template: str, conversations: list[list[Message]], open_answer: bool
) -> None:
    assert copies_contents(parse(template))
    pasted = SkeletonRenderer(
        lambda messages, is_open: run(template, list(messages), open_answer=is_open)
    )
    for messages in conversations:
        text = pasted.render(messages, open_answer=open_answer)
        assert text is None or text == run(template, messages, open_answer=open_answer)


@pytest.mark.parametrize("template", COPYING.values(), ids=COPYING)
def test_ordinary_conversations_are_pasted_with_one_run_for_their_roles(template: str) -> None:
    runs = 0

    def count(messages: object, is_open: bool) -> str:
        nonlocal runs
        runs += 1
        return run(template, list(messages), open_answer=is_open)  # type: ignore[call-overload]

    pasted = SkeletonRenderer(count)
    for number in range(20):
        messages = [
            Message("user", f" question {number}\n"),
            Message("assistant", f"answer {number}"),
        ]
        assert pasted.render(messages, open_answer=False) == run(template, messages)
    assert runs == 2, "the placeholders, and the first conversation to compare"


@pytest.mark.parametrize("template", LOOKING.values(), ids=LOOKING)
def test_a_template_that_looks_at_contents_is_not_pasted(template: str) -> None:
    assert not copies_contents(parse(template))


@pytest.mark.parametrize(
    "message",
    [
        Message("user", " \n"),
        Message("user", ""),
        Message("user", "a \ue000 mark"),
        Message("user", "a", name="ada"),
        Message("assistant", "a", reasoning="so"),
        Message("assistant", "a", tool_calls=({"function": {"name": "f", "arguments": {}}},)),
        Message("tool", "a", tool_call_id="1"),
    ],
)
def test_what_is_more_than_a_role_and_a_content_is_left_to_the_template(message: Message) -> None:
    pasted = SkeletonRenderer(lambda messages, is_open: run(COPYING["chatml"], list(messages)))
    assert pasted.render([message], open_answer=False) is None


def test_a_template_that_does_otherwise_on_a_real_conversation_is_not_pasted() -> None:
    def render(messages: object, is_open: bool) -> str:
        return "".join(m.content.upper() if m.content == "abc" else m.content for m in messages)  # type: ignore[attr-defined]

    assert SkeletonRenderer(render).render([Message("user", "abc")], open_answer=False) is None


@given(st.lists(MESSAGES, max_size=4), st.text(max_size=8))
def test_the_bound_of_an_examples_bytes_holds_and_knows_no_refusal(
    tokenizer: FolderTokenizer, conversations: list[list[Message]], answer: str
) -> None:
    renderer = Renderer(tokenizer)
    for messages in conversations:
        example = Example(1, (*messages, Message("assistant", answer)))
        bound = renderer.bound_bytes(example)
        if bound is not None:
            size = len(renderer.render(example).text.encode("utf-8"))
            assert size <= bound <= size + 8 * len(example.messages) * len(answer + "x" * 16)


@pytest.mark.parametrize(
    "messages",
    [
        (Message("user", "a"), Message("assistant", " ")),
        (Message("user", "a <|im_end|>"), Message("assistant", "b")),
        (Message("user", "a"), Message("user", "b")),
        (Message("user", "a"), Message("assistant", "b", reasoning="so")),
    ],
)
def test_an_example_that_could_be_refused_has_no_bound(
    tokenizer: FolderTokenizer, messages: tuple[Message, ...]
) -> None:
    assert Renderer(tokenizer).bound_bytes(Example(1, messages)) is None
