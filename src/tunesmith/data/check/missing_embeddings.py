"""Examples with tokens that have no embedding: only the tokenizer was extended."""

from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.data.render import Renderer, RenderError
from tunesmith.data.training_sequences import split_answers
from tunesmith.records import Example, Problem, TokenizedText


def check_missing_embeddings(context: CheckContext) -> Iterator[Problem]:
    """An error for such examples; they are encoded only if the tokenizer has such tokens at all."""
    tokenizer = context.tokenizer
    if tokenizer is None or not tokenizer.ids_without_embedding:
        return
    from tunesmith.data.tokenization import (
        describe_missing_embeddings,
    )  # imports numpy: load it only when needed

    renderer = Renderer(tokenizer)
    found: dict[int, None] = {}
    ids: set[int] = set()
    for i, example in enumerate(context.examples):
        for encoded in _encode_answers(context, renderer, example):
            if beyond := tokenizer.ids_without_embedding.intersection(encoded.ids):
                found[i] = None
                ids |= beyond
    if found:
        yield from context.report_problems(
            "no-embedding", "error", list(found), *describe_missing_embeddings(ids)
        )


def _encode_answers(
    context: CheckContext, renderer: Renderer, example: Example
) -> Iterator[TokenizedText]:
    assert context.tokenizer is not None
    for answer in split_answers(example):
        try:
            rendered = renderer.render(answer)
        except RenderError:  # reported by the check of lengths
            continue
        yield from context.tokenizer.encode([rendered.text], [rendered.content])
