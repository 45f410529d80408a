"""Examples with tokens that the model has no row for: a tokenizer that was enlarged, and weights that were not."""

from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.data.render import Renderer, RenderRefused
from tunesmith.data.sequences import answers_of
from tunesmith.records import Encoded, Example, Problem


def check_vocabulary(context: CheckContext) -> Iterator[Problem]:
    """Only a tokenizer with such tokens costs anything: then every example is encoded."""
    tokenizer = context.tokenizer
    if tokenizer is None or not tokenizer.ids_without_embedding:
        return
    from tunesmith.data.encode import without_embedding  # numpy

    renderer = Renderer(tokenizer)
    found: dict[int, None] = {}
    ids: set[int] = set()
    for i, example in enumerate(context.examples):
        for encoded in _encoded(context, renderer, example):
            if beyond := tokenizer.ids_without_embedding.intersection(encoded.ids):
                found[i] = None
                ids |= beyond
    if found:
        yield from context.problems("no-embedding", "error", list(found), *without_embedding(ids))


def _encoded(context: CheckContext, renderer: Renderer, example: Example) -> Iterator[Encoded]:
    assert context.tokenizer is not None
    for answer in answers_of(example):
        try:
            rendered = renderer.render(answer)
        except RenderRefused:  # reported by the check of lengths
            continue
        yield from context.tokenizer.encode([rendered.text], [rendered.content])
