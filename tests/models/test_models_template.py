"""Templates from strangers: what they may not do, and how long they may take (attacks A9 and A10)."""

import time
from pathlib import Path

import pytest

from tunesmith.models import template as template_module
from tunesmith.models.template import TemplateRefused, render_template, try_template

VARIABLES = {"messages": [{"role": "user", "content": "hi"}], "add_generation_prompt": False}


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
    with pytest.raises(TemplateRefused):
        render_template(attack, VARIABLES)
    assert list(tmp_path.iterdir()) == []
    assert VARIABLES["messages"] == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    "bomb",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(t='aa') %}{% for a in range(99) %}{% set ns.t = ns.t + ns.t %}{% endfor %}{{ ns.t }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}xxxxxxxxxxxxxxxxxxxxxxxx{% endfor %}{% endfor %}",
        "{% macro again(n) %}{{ again(n + 1) }}{{ again(n + 1) }}{% endmacro %}{{ again(0) }}",
    ],
)
def test_a_bomb_ends_in_its_child_process(bomb: str) -> None:
    started = time.monotonic()
    with pytest.raises(TemplateRefused):
        try_template(bomb, VARIABLES)
    assert time.monotonic() - started < 12


def test_the_child_renders_as_we_do_and_sees_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "secret")
    text = "{% for m in messages %}{{ m.content }} é 😀{% endfor %}"
    assert try_template(text, VARIABLES) == render_template(text, VARIABLES) == "hi é 😀"


def test_the_child_tells_the_templates_reason() -> None:
    with pytest.raises(TemplateRefused, match="only the reason"):
        try_template("{{ raise_exception('only the reason') }}", VARIABLES)


def test_endless_text_is_stopped_without_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_module, "MAX_RENDERED_CHARACTERS", 1000)
    with pytest.raises(TemplateRefused, match="grows"):
        render_template("{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}", VARIABLES)


def test_the_generation_tag_renders_its_body_in_a_scope_of_its_own() -> None:
    text = "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{{ messages[0].content }}{% endgeneration %}{{ x }}"
    assert render_template(text, VARIABLES) == "2hi1"
