"""Render a chat template as transformers does, inside a sandbox with limits.

A template is a program from an untrusted source. It runs in jinja2's immutable sandbox, which gives
it no access to files or to Python itself. The sandbox does not limit time or memory, and a template
that is fast for one conversation may never end for another, so every rendering runs in a child
process with limits on both (`template_process.py`); this module is the program of that child.

The environment equals transformers': trim_blocks, lstrip_blocks, loop controls, `{% generation %}`,
`tojson` without HTML escapes, `raise_exception`, `strftime_now`.
tests/parity/test_parity_tokenizer.py compares the two.
"""

import json
import resource
import signal
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


class TemplateFailed(Exception):
    """A template refused the conversation, failed on it, or hit a limit; the text is the reason."""

    def __init__(self, why: str, *, is_limit: bool = False) -> None:
        super().__init__(why)
        self.is_limit = is_limit


class GenerationTag(Extension):
    """`{% generation %}...{% endgeneration %}` marks answers for other tools; render its body."""

    tags = {"generation"}  # noqa: RUF012  jinja2 declares it as a plain set

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        """Parse the tag; the result is its body in a scope of its own."""
        line = next(parser.stream).lineno
        # A scope of its own, as in transformers, where the body is a call block.
        return nodes.Scope(
            parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line
        )


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox with checked `*` and `**`, so that `'a' * 10**10` is refused."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(
        self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any
    ) -> Any:
        """Errors: `TemplateFailed` for a repetition or power with a result that is too large."""
        sized, number = (left, right) if hasattr(left, "__len__") else (right, left)
        if (
            operator == "*"
            and hasattr(sized, "__len__")
            and len(sized) * number > MAX_REPEATED_CHARACTERS
        ):
            raise TemplateFailed("it repeats a string too often", is_limit=True)
        if operator == "**" and abs(right) > 64:
            raise TemplateFailed("it raises a number to a very large power", is_limit=True)
        return super().call_binop(context, operator, left, right)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _format_now(form: str) -> str:
    return datetime.now().strftime(form)


def _make_environment() -> BoundedEnvironment:
    return BoundedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols]
    )


def parse_template(template: str) -> nodes.Template | None:
    """The template's syntax tree; None for a syntax error. Parsing executes nothing."""
    try:
        return _make_environment().parse(template)
    except (jinja2.TemplateError, RecursionError):
        return None


@lru_cache(maxsize=8)
def _compile(template: str) -> jinja2.Template:
    environment = _make_environment()
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _format_now
    return environment.from_string(template)


def render_template(template: str, variables: dict[str, Any]) -> str:
    """The template's text for these variables.

    Errors: `TemplateFailed` with the template's own reason, or with the limit that it hit.
    """
    pieces: list[str] = []
    length = 0
    try:
        # Streamed piece by piece, so that an endless text is stopped while it is still small.
        for piece in _compile(template).generate(**variables):
            pieces.append(piece)
            length += len(piece)
            if length > MAX_RENDERED_CHARACTERS:
                raise TemplateFailed("its output grows without limit", is_limit=True)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateFailed(f"{error.message} (line {error.lineno} of the template)") from None
    except jinja2.TemplateError as error:
        raise TemplateFailed(str(error) or type(error).__name__) from None
    except MemoryError:
        raise TemplateFailed("it exceeds its memory limit", is_limit=True) from None
    except RecursionError:
        raise TemplateFailed("it recurses without end", is_limit=True) from None
    except TemplateFailed:
        raise
    except Exception as error:  # a template is a program: it can raise whatever Python raises
        raise TemplateFailed(f"{type(error).__name__}: {error}"[:500]) from None
    return "".join(pieces)


def main() -> None:
    """Serve one parent: limit this process, then render requests from stdin until it closes.

    A frame is its length in 8 bytes and JSON. The first is [CPU seconds that a rendering may take,
    address space in bytes, {name: template}, variables of every rendering]. Every other is a list
    of conversations: [template name, messages, tools, [[number of messages, open answer], ...]].
    The reply is a frame with a list for each conversation, which holds for each rendering the text,
    or its length where it is a prefix of the first one's, or [reason of the refusal, is a limit].
    """
    seconds, most_bytes, templates, shared = _read_frame() or sys.exit(0)
    _set_limits(most_bytes)
    while (frame := _read_frame()) is not None:
        answers = [
            _render_prefixes(
                templates[name], {**shared, "tools": tools or None}, messages, wanted, seconds
            )
            for name, messages, tools, wanted in frame
        ]
        # Off while idle and while encoding, which is our own work and not the template's.
        signal.setitimer(signal.ITIMER_PROF, 0)
        raw = json.dumps(answers).encode()
        sys.stdout.buffer.write(len(raw).to_bytes(8, "big") + raw)
        sys.stdout.buffer.flush()


def _set_limits(max_bytes: int) -> None:
    # Set before any template is compiled. Hard limits, so that the template cannot raise them.
    limits = (
        (resource.RLIMIT_AS, max_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    )
    for what, limit in limits:
        resource.setrlimit(what, (limit, limit))
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is for the parent, which ends this process
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends this process, whatever it is doing


def _read_frame() -> Any:
    head = sys.stdin.buffer.read(8)
    return (
        json.loads(sys.stdin.buffer.read(int.from_bytes(head, "big"))) if len(head) == 8 else None
    )


def _render_prefixes(
    template: str,
    variables: dict[str, Any],
    messages: list[dict[str, Any]],
    prefixes: list[tuple[int, bool]],
    seconds: float,
) -> list[str | int | tuple[str, bool]]:
    first: str | None = None
    answers: list[str | int | tuple[str, bool]] = []
    for count, is_open in prefixes:
        variables["messages"] = messages if count == len(messages) else messages[:count]
        variables["add_generation_prompt"] = is_open
        # ITIMER_PROF counts this process's CPU time; it is armed again for each rendering.
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            text = render_template(template, variables)
        except TemplateFailed as refusal:
            answers.append((str(refusal), refusal.is_limit))
            continue
        if first is None:
            first = text
            answers.append(text)
        else:
            answers.append(len(text) if first.startswith(text) else text)
    return answers


if __name__ == "__main__":
    main()
