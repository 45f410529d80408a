"""Examples that the chat template refuses, and examples over the token limit with their lost part.

Both answers of a pair are checked. A token stands for at least one byte of text (control tokens for
several), so a text with fewer bytes than the limit has tokens is not tokenized at all. (A tokenizer
that expands characters first can break this; `prepare_split`, which counts every token, is
decisive.)
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import islice

from tunesmith.data.check.context import CheckContext
from tunesmith.data.render import RenderedExample, Renderer, RenderError
from tunesmith.data.training_sequences import split_answers
from tunesmith.records import ChatTokenizer, Example, Problem

BATCH_SIZE = 1024
HEAD_CHARACTERS = 2**17
CHARACTERS_OF_A_TOKEN = 16
"""Characters encoded for each token of the limit: four times the average in running text."""
TOKENS_AT_A_CUT = 64
"""The last tokens before a cut may differ from those of the whole text."""
MAX_REASONS = 3
"""Different reasons listed in one message."""
REPORTED_ELSEWHERE = ("no-answer", "empty-answer")


def check_lengths(context: CheckContext) -> Iterator[Problem]:
    """Errors for refused and too long examples; a warning for names that are not rendered."""
    if context.tokenizer is None:
        return
    from tunesmith.data.tokenization import (
        RENDER_ERROR_MESSAGES,
    )  # imports numpy: load it only when needed

    renderer = Renderer(context.tokenizer)
    refused: defaultdict[str, list[int]] = defaultdict(list)
    reasons: defaultdict[str, dict[str, None]] = defaultdict(dict)
    shares: dict[int, float] = {}
    nameless: list[int] = []
    limit = context.max_tokens
    for i, example in _render_ahead(_find_unbounded(context, renderer, limit), renderer):
        try:
            rendered: RenderedExample = renderer.render(example)
        except RenderError as error:
            # Both answers of a pair may be refused: count the example once.
            refused[error.slug] += [i] if i not in refused[error.slug][-1:] else []
            if len(reasons[error.slug]) < MAX_REASONS:
                reasons[error.slug][error.got] = None
            continue
        if renderer.drops_name(example):
            nameless.append(i)
        if limit is None or len(rendered.text.encode("utf-8")) <= limit:
            continue
        lost = share_lost(context.tokenizer, rendered, limit)
        if lost is not None:
            shares[i] = max(lost, shares.get(i, 0.0))
    for slug, found in refused.items():
        if slug not in REPORTED_ELSEWHERE:
            what, do = RENDER_ERROR_MESSAGES[slug]
            model = f"{context.model}: " if context.model else ""
            yield from context.report_problems(
                slug, "error", found, f"{what} ({model}{'; '.join(reasons[slug])})", do
            )
    yield from context.report_problems(
        "name-not-written",
        "warning",
        list(dict.fromkeys(nameless)),
        "have a message with a name that the chat template does not render",
        "put the name into the text if the model should see it",
    )
    if shares:
        mean, worst = sum(shares.values()) / len(shares), max(shares.values())
        yield from context.report_problems(
            "too-long",
            "error",
            list(shares),
            f"have more than {limit:,} tokens; truncation there would lose {mean:.0%} of the "
            f"answers (at worst {worst:.0%})",
            "raise max_tokens, or shorten them; nothing is truncated silently",
        )


def share_lost(tokenizer: ChatTokenizer, rendered: RenderedExample, limit: int) -> float | None:
    """The fraction of trained tokens that a cut after `limit` tokens loses; None if it is shorter.

    Only the beginning of a very long text is encoded, far beyond the limit, because encoding takes
    190 bytes and a microsecond per character. What the cut leaves is then known exactly; tokens
    after the beginning are estimated from its tokens per character.
    """
    from tunesmith.data.tokenization import (
        compute_loss_weights,
    )  # imports numpy: load it only when needed

    head = _beginning(rendered, max(HEAD_CHARACTERS, CHARACTERS_OF_A_TOKEN * limit))
    encoded = tokenizer.encode([head.text], [head.content])
    tokens = len(encoded[0].ids)
    # So many characters in so few tokens: the cut may affect the count, so encode everything.
    if head is not rendered and tokens <= limit + TOKENS_AT_A_CUT:
        head, encoded = rendered, tokenizer.encode([rendered.text], [rendered.content])
        tokens = len(encoded[0].ids)
    if tokens <= limit:
        return None
    is_trained = compute_loss_weights([head], encoded) > 0
    end = len(head.text)
    following = sum(
        span.end - max(span.begin, end)
        for span in rendered.spans
        if span.weight > 0 and span.end > end
    )
    trained = float(is_trained.sum()) + following * tokens / end
    return (trained - float(is_trained[:limit].sum())) / max(trained, 1.0)


def _beginning(rendered: RenderedExample, characters: int) -> RenderedExample:
    """The rendered text up to this many characters; the same object where it is not longer."""
    if len(rendered.text) <= characters:
        return rendered
    spans = [
        span._replace(end=min(span.end, characters))
        for span in rendered.spans
        if span.begin < characters
    ]
    content = [
        (begin, min(end, characters)) for begin, end in rendered.content if begin < characters
    ]
    return RenderedExample(rendered.text[:characters], tuple(spans), tuple(content))


IndexedAnswer = tuple[int, Example]
"""The index of an example, and the example with one of its answers."""


def _find_unbounded(
    context: CheckContext, renderer: Renderer, limit: int | None
) -> Iterator[IndexedAnswer]:
    """The answers whose acceptance or length only rendering can decide."""
    unusual = set(context.unusual)
    for begin in range(0, len(context.examples), BATCH_SIZE):
        block = context.examples[begin : begin + BATCH_SIZE]
        if unusual.isdisjoint(range(begin, begin + len(block))):
            most = renderer.bound_most_bytes(block)
            if most is not None and (limit is None or most <= limit):
                continue
        for i, whole in enumerate(block, begin):
            for answer in split_answers(whole):
                bound = renderer.bound_bytes(answer)
                if bound is None or (limit is not None and bound > limit):
                    yield i, answer


def _render_ahead(answers: Iterator[IndexedAnswer], renderer: Renderer) -> Iterator[IndexedAnswer]:
    """The same answers; each batch is rendered in the background while the previous one is used."""
    batch = list(islice(answers, BATCH_SIZE))
    renderer.render_ahead([answer for _, answer in batch])
    while batch:
        following = list(islice(answers, BATCH_SIZE))
        renderer.render_ahead([answer for _, answer in following])
        yield from batch
        batch = following
