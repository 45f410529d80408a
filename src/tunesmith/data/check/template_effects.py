"""What a chat template changes without losing words: indentation of answers, and today's date."""

from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.data.render import Renderer, RenderError
from tunesmith.records import Example, Problem

MAX_TRIED_EXAMPLES = 20


def check_template(context: CheckContext) -> Iterator[Problem]:
    """Warnings for templates that print the date and for indentation that the template trims."""
    if context.tokenizer is None:
        return
    if context.tokenizer.uses_current_date and any(
        example.messages for example in context.examples
    ):
        yield from context.report_problems(
            "template-tells-date",
            "warning",
            [i for i, example in enumerate(context.examples) if example.messages],
            "are rendered by a chat template that may insert today's date",
            "train and evaluate on one day, and expect other prompts on the next; a system "
            "message of your own may avoid the date",
        )
    indented = [i for i, example in enumerate(context.examples) if _is_indented(example)]
    renderer = Renderer(context.tokenizer)
    if any(_is_trimmed(renderer, context.examples[i]) for i in indented[:MAX_TRIED_EXAMPLES]):
        yield from context.report_problems(
            "indent-trimmed",
            "warning",
            indented,
            "have an answer that begins with spaces or tabs, which the chat template strips",
            "put the answer into a code block if its indentation matters",
        )


def _is_indented(example: Example) -> bool:
    """Whether the answer's first non-empty line is indented."""
    answer = example.messages[-1].content if example.messages else ""
    line = answer.lstrip("\r\n")
    return line[:1] in (" ", "\t") and bool(line.strip())


def _is_trimmed(renderer: Renderer, example: Example) -> bool:
    try:
        rendered = renderer.render(example)
    except RenderError:  # reported by the check of lengths
        return False
    last = rendered.spans[-1]
    line = example.messages[-1].content.lstrip("\r\n").splitlines()[0].rstrip()
    return line not in rendered.text[last.begin : last.end]
