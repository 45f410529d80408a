"""Render a chat template as transformers renders it, with a border around it.

A template is a program from strangers. It runs in jinja2's immutable sandbox, which gives it no way to files or to
Python itself. The sandbox does not limit time or memory, so the first rendering of every template is made in a child
process with limits on both (`try_template`); strings that are repeated and the text that comes out are bounded
always.

The environment equals transformers': trim_blocks, lstrip_blocks, loop controls, `{% generation %}`, `tojson` without
HTML escapes, `raise_exception`, `strftime_now`. tests/parity/test_parity_tokenizer.py holds the two side by side.
"""

import json
import os
import subprocess
import sys
from datetime import datetime
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

# A rendered conversation is far below this; 64 Mi characters is over 10 million tokens.
MAX_RENDERED_CHARACTERS = 64 * 2**20
MAX_REPEATED_CHARACTERS = 2**20
PROBE_SECONDS = 2
PROBE_BYTES = 512 * 2**20


class TemplateRefused(Exception):
    """A template refused the conversation or its limits; the text is the reason."""


class GenerationTag(Extension):
    """`{% generation %}...{% endgeneration %}` marks the answers for other tools; here its body is simply rendered."""

    tags = {"generation"}  # noqa: RUF012  jinja2 declares it as a plain set

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        line = next(parser.stream).lineno
        # A scope of its own, as in transformers, where the body is a call block.
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox, and no `'a' * 10**10`: repeating and powers go through a check first."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any) -> Any:
        sized, number = (left, right) if hasattr(left, "__len__") else (right, left)
        if operator == "*" and hasattr(sized, "__len__") and len(sized) * number > MAX_REPEATED_CHARACTERS:
            raise TemplateRefused("it repeats a text too often")
        if operator == "**" and abs(right) > 64:
            raise TemplateRefused("it raises a number to a very large power")
        return super().call_binop(context, operator, left, right)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _now(form: str) -> str:
    return datetime.now().strftime(form)


@lru_cache(maxsize=8)
def _compile(template: str) -> jinja2.Template:
    environment = BoundedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _now
    return environment.from_string(template)


def render_template(template: str, variables: dict[str, Any]) -> str:
    """The template's text for these variables.

    Errors: `TemplateRefused` with the template's own reason, or with the limit that it met.
    """
    pieces: list[str] = []
    length = 0
    try:
        for piece in _compile(template).generate(**variables):
            pieces.append(piece)
            length += len(piece)
            if length > MAX_RENDERED_CHARACTERS:
                raise TemplateRefused("its text grows without end")
    except jinja2.TemplateSyntaxError as error:
        raise TemplateRefused(f"{error.message} (line {error.lineno} of the template)") from None
    except (
        jinja2.TemplateError,
        TypeError,
        ValueError,
        KeyError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise TemplateRefused(f"{error}" or type(error).__name__) from None
    return "".join(pieces)


def try_template(template: str, variables: dict[str, Any]) -> str:
    """Render in a child process: 2 s of processor time, 512 MiB, nothing of our environment, no file to write.

    Errors: `TemplateRefused` with the reason, or when the child went over a limit.
    """
    command = [sys.executable, "-P", "-m", "tunesmith.models.template"]
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "utf-8"}
    try:
        child = subprocess.run(
            command, input=json.dumps([template, variables]), env=environment, timeout=10 * PROBE_SECONDS,
            capture_output=True, text=True, encoding="utf-8", check=False,
        )  # fmt: skip
        outcome, text = json.loads(child.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        raise TemplateRefused(
            f"it needs more than {PROBE_SECONDS} s or {PROBE_BYTES // 2**20} MiB for two sentences"
        ) from None
    if outcome != "rendered":
        raise TemplateRefused(text)
    return str(text)


def _child() -> None:
    """What the child process of `try_template` does: limit itself, then render standard input to standard output."""
    import resource

    template, variables = json.load(sys.stdin)
    limits = ((resource.RLIMIT_CPU, PROBE_SECONDS), (resource.RLIMIT_AS, PROBE_BYTES), (resource.RLIMIT_FSIZE, 0))
    for what, limit in (*limits, (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(what, (limit, limit))
    try:
        answer = ["rendered", render_template(template, variables)]
    except TemplateRefused as refusal:
        answer = ["refused", str(refusal)]
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    _child()
