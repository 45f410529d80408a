"""Templates from strangers: what they may not do, and how long they may take (attacks A9 and
A10)."""

import itertools
import os
import shutil
import signal
import sys
import threading
from pathlib import Path

import pytest

from tunesmith.models import template_process
from tunesmith.models import template_worker as template_module
from tunesmith.models.template_process import Conversation, TemplateProcess
from tunesmith.models.template_worker import TemplateFailed, render_template

COSTLY = (
    "{% if messages[0].content == 'long' %}{% for a in range(99999) %}{% for b in range(99999) %}"
    "{% set x = b %}{% endfor %}{% endfor %}{% endif %}{{ messages[0].content }}"
)
HUNGRY = (
    "{% set ns = namespace(t='aa') %}{% if messages[0].content == 'long' %}{% for a in range(40) %}"
    "{% set ns.t = ns.t + ns.t %}{% endfor %}{% endif %}{{ messages[0].content }}"
)
VARIABLES = {"messages": [{"role": "user", "content": "hi"}], "add_generation_prompt": False}


def process_of(template: str, **limits: float) -> TemplateProcess:
    return TemplateProcess({"default": template}, {}, **limits)


def asked(question: str) -> Conversation:
    return Conversation("default", [{"role": "user", "content": question}], (), [(1, False)])


@pytest.mark.parametrize(
    "attack",
    [
        "{{ cycler.__init__.__globals__.os.popen('touch canary').read() }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() | length }}",
        "{{ messages.append({'role': 'system', 'content': 'x'}) }}",
        "{{ messages[0].update({'content': 'x'}) }}",
        "{{ ('%s' * 1).__class__.__base__.__subclasses__() | length }}",
        "{% set ns = namespace(__class__='x') %}{{ lipsum.__globals__['os'].getcwd() }}",
        "{% include '/etc/passwd' %}",
        "{{ 'a' * 10 ** 10 }}",
        "{{ [0] * 2 ** 40 }}",
        "{{ 9 ** 99999999 }}",
        "{{ range(10 ** 9) | list | length }}",
    ],
)
def test_the_sandbox_refuses(attack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TemplateFailed):
        render_template(attack, VARIABLES)
    assert list(tmp_path.iterdir()) == []
    assert VARIABLES["messages"] == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    "bomb",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        (
            "{% set ns = namespace(t='aa') %}{% for a in range(99) %}{% set ns.t = ns.t + ns.t %}{%"
            " endfor %}{{ ns.t }}"
        ),
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}xxxxxxxxxxxxxxxxxxxxxxxx{%"
            " endfor %}{% endfor %}"
        ),
        "{% macro again(n) %}{{ again(n + 1) }}{{ again(n + 1) }}{% endmacro %}{{ again(0) }}",
    ],
)
def test_a_bomb_ends_in_its_child_process(bomb: str) -> None:
    process = process_of(bomb, seconds=0.5)
    with pytest.raises(TemplateFailed) as caught:
        process.render([asked("hi")])
    assert caught.value.is_limit


def test_a_template_that_is_costly_for_one_conversation_only_meets_the_same_limits() -> None:
    """The first rendering said nothing about it: every rendering is limited."""
    process = process_of(COSTLY, seconds=0.3)
    assert process.render([asked("hi"), asked("ho")]) == [["hi"], ["ho"]]
    with pytest.raises(TemplateFailed, match=r"more than 0\.3 s") as caught:
        process.render([asked("again"), asked("long")])
    assert caught.value.is_limit


def test_a_template_that_takes_memory_for_one_conversation_only_meets_the_limit_of_its_process() -> (  # noqa: E501
    None
):
    process = process_of(HUNGRY, max_bytes=200 * 2**20)
    assert process.render([asked("hi")]) == [["hi"]]
    with pytest.raises(TemplateFailed, match="memory") as caught:
        process.render([asked("long")])
    assert caught.value.is_limit


def test_after_a_limit_was_met_no_other_rendering_is_tried() -> None:
    process = process_of(COSTLY, seconds=0.3)
    for question in ("long", "hi"):
        with pytest.raises(TemplateFailed, match=r"more than 0\.3 s"):
            process.render([asked(question)])
    assert process._child is None


def test_the_limit_is_of_one_rendering_not_of_all() -> None:
    busy = "{% for i in range(20000) %}{% set x = i %}{% endfor %}{{ messages[0].content }}"
    process = process_of(busy, seconds=0.2)
    assert process.render([asked(str(i)) for i in range(300)]) == [[str(i)] for i in range(300)]


def test_a_process_that_was_ended_from_outside_begins_again() -> None:
    process = process_of("{{ messages[0].content }}")
    process.render([asked("hi")])
    assert process._child is not None
    os.kill(process._child.pid, signal.SIGKILL)
    process._child.wait()
    assert process.render([asked("ho")]) == [["ho"]]


def test_a_process_that_works_is_waited_for_however_busy_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Time on the clock is no limit: a machine that others use makes 2 s of processor time any
    number of seconds."""
    taken = itertools.count()
    monkeypatch.setattr(
        template_process, "_measure_cpu_seconds", lambda process: float(next(taken))
    )
    busy = "{% for i in range(20000) %}{% set x = i %}{% endfor %}{{ messages[0].content }}"
    process = process_of(busy, stalled_seconds=0.001)
    assert process.render([asked(str(i)) for i in range(100)]) == [[str(i)] for i in range(100)]
    assert next(taken) > 10


def test_a_process_that_gets_no_processor_time_is_not_called_a_costly_template() -> None:
    process = process_of("{{ messages[0].content }}", stalled_seconds=0.3)
    process.render([asked("hi")])
    assert process._child is not None
    os.kill(process._child.pid, signal.SIGSTOP)
    with pytest.raises(TemplateFailed, match="got no processor time"):
        process.render([asked("ho")])


def test_a_process_that_cannot_begin_is_not_called_a_costly_template(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(TemplateFailed, match="exited with code 1"):
        process_of("{{ messages[0].content }}").render([asked("hi")])


def test_ctrl_c_does_not_end_the_process() -> None:
    process = process_of("{{ messages[0].content }}")
    process.render([asked("hi")])
    assert process._child is not None
    os.kill(process._child.pid, signal.SIGINT)
    first = process._child.pid
    assert process.render([asked("ho")]) == [["ho"]]
    assert process._child.pid == first


def test_the_process_goes_away_with_what_holds_it() -> None:
    process = process_of("{{ messages[0].content }}")
    process.render([asked("hi")])
    child = process._child
    assert child is not None
    del process
    assert child.wait() == -signal.SIGKILL


def test_many_threads_get_their_own_answers() -> None:
    process = process_of("{{ messages[0].content }}")
    answers: dict[int, list[list[str | TemplateFailed]]] = {}

    def ask(number: int) -> None:
        answers[number] = process.render([asked(f"{number} {i}") for i in range(200)])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: [[f"{number} {i}"] for i in range(200)] for number in range(4)}


def test_the_child_renders_as_we_do_and_sees_nothing_of_our_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CANARY", "secret")
    text = "{% for m in messages %}{{ m.content }} é 😀{% endfor %}"
    process = process_of(text)
    assert process.render([asked("hi")]) == [[render_template(text, VARIABLES)]] == [["hi é 😀"]]
    assert process._child is not None
    assert b"CANARY" not in Path(f"/proc/{process._child.pid}/environ").read_bytes()


def test_beginnings_of_a_conversation_are_rendered_each_by_itself() -> None:
    process = process_of(
        "{% for m in messages %}<{{ m.content }}>{% endfor %}{{ '?' if add_generation_prompt }}"
    )
    messages = [{"role": "user", "content": text} for text in ("a", "b")]
    beginnings = [(2, False), (1, True), (1, False), (0, True)]
    assert process.render([Conversation("default", messages, (), beginnings)]) == [
        ["<a><b>", "<a>?", "<a>", "?"]
    ]


FAILURES = {
    "its own reason": ("{{ raise_exception('only the reason') }}", "only the reason"),
    "a division by zero": ("{{ 1 // (messages | length - 1) }}", "ZeroDivisionError"),
    "an unknown codec": ("{{ messages[0].content.encode('no-such-codec') }}", "LookupError"),
    "an unknown filter": ("{{ 'x' | no_such_filter }}", "no_such_filter"),
    "a name that is not there": ("{{ nowhere.to.be.found }}", "nowhere"),
    "a wrong type": ("{{ 1 + 'x' }}", "TypeError"),
    "a wrong item": ("{{ ''.join(messages) }}", "TypeError"),
    "a syntax error": ("{% if %}", "line 1"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_whatever_a_template_raises_is_a_refusal_with_its_reason(kind: str) -> None:
    template, reason = FAILURES[kind]
    ((refused,),) = process_of(template).render([asked("hi")])
    assert isinstance(refused, TemplateFailed) and reason in str(refused) and not refused.is_limit


def test_half_a_surrogate_pair_is_a_refusal() -> None:
    ((refused,),) = process_of("{{ messages[0].content }}").render([asked("\ud800")])
    assert isinstance(refused, TemplateFailed) and "surrogates" in str(refused)


def test_endless_text_is_stopped_without_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_module, "MAX_RENDERED_CHARACTERS", 1000)
    with pytest.raises(TemplateFailed, match="grows"):
        render_template(
            "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
            VARIABLES,
        )


def test_the_generation_tag_renders_its_body_in_a_scope_of_its_own() -> None:
    text = (
        "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{{ messages[0].content }}{%"
        " endgeneration %}{{ x }}"
    )
    assert render_template(text, VARIABLES) == "2hi1"
