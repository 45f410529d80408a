"""Encode rendered examples as token ids, and decide which tokens are trained.

A token is trained when all of its characters are. A token across the border between prompt and
answer cannot be half trained, and would not exist at inference, where the prompt is encoded alone.
Such an example is encoded again in pieces, cut at the borders, as it will be at inference; where
that changes the text, the example is refused.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from tunesmith.data.example_count import format_example_count
from tunesmith.data.render import RenderedExample, Renderer, RenderError
from tunesmith.errors import DataError, truncate_list
from tunesmith.records import ChatTokenizer, Example, Place, TokenizedText, name_places

BATCH_SIZE = 1024
"""Examples rendered and encoded per batch: enough for the tokenizer's threads, small in memory."""

RENDER_ERROR_MESSAGES: dict[str, tuple[str, str]] = {
    "no-answer": ("have no answer to train on", "add the answers; or remove the examples"),
    "empty-answer": (
        "have an empty earlier answer, of which only the end of turn would be trained",
        "give these turns weight 0; or remove them",
    ),
    "template-refused": (
        "are rejected by the chat template",
        "change the conversation; or choose another model",
    ),
    "template-drops": (
        "have content that the chat template does not render, so it would not be trained on",
        "choose a model whose chat template renders it; or remove it from the data",
    ),
    "template-not-prefix-preserving": (
        (
            "are rewritten by the chat template in later turns, so the trained text differs "
            "from the text at inference"
        ),
        (
            "train only the last answer (weight 0 on the earlier ones); or keep one answer "
            "per example; or choose another model"
        ),
    ),
    "end-of-turn-not-trained": (
        "would not teach the model to stop",
        "choose a model whose chat template ends every answer with the end-of-turn token",
    ),
    "control-token-in-text": (
        "contain a control token where it cannot be distinguished from the real one",
        "remove it from the text",
    ),
    "token-across-border": (
        "have a token that spans the border between prompt and answer",
        "begin the answers with a letter or digit, not with spaces",
    ),
}
"""Reasons to refuse an example: (the end of "n of m examples ...", what to do)."""


def describe_missing_embeddings(ids: Iterable[int]) -> tuple[str, str]:
    """(what is wrong, what to do) for examples with these ids, as in `RENDER_ERROR_MESSAGES`."""
    some = truncate_list(sorted(ids))
    what = f"have tokens without an embedding row in the model (ids {some})"
    return (
        what,
        (
            "use the tokenizer that belongs to these weights; or remove the text that produces "
            "these tokens"
        ),
    )


class RejectedExample(NamedTuple):
    """One example that cannot be prepared, with the slug of its reason and the details."""

    slug: str
    place: Place
    got: str


def iterate_tokenized_batches(
    examples: Sequence[Example],
    tokenizer: ChatTokenizer,
    train_on_prompts: bool,
    rejected: list[RejectedExample],
) -> Iterator[tuple[list[Example], list[RenderedExample], list[TokenizedText]]]:
    """The examples that can be rendered, batch by batch; the others are appended to `rejected`."""
    renderer = Renderer(tokenizer, train_on_prompts)
    renderer.render_ahead(examples[:BATCH_SIZE])
    for begin in range(0, len(examples), BATCH_SIZE):
        batch, rendered = [], []
        # The next batch renders in the template's process while this one is encoded here.
        renderer.render_ahead(examples[begin + BATCH_SIZE : begin + 2 * BATCH_SIZE])
        for example in examples[begin : begin + BATCH_SIZE]:
            try:
                rendered.append(renderer.render(example))
                batch.append(example)
            except RenderError as refused:
                rejected.append(RejectedExample(refused.slug, example.place, refused.got))
        if batch:
            yield batch, rendered, _tokenize_batch(batch, rendered, tokenizer, rejected)


def _tokenize_batch(
    batch: list[Example],
    rendered: list[RenderedExample],
    tokenizer: ChatTokenizer,
    rejected: list[RejectedExample],
) -> list[TokenizedText]:
    encoded = tokenizer.encode([r.text for r in rendered], [r.content for r in rendered])
    # Rare, so only the examples concerned are encoded a second time.
    for i in np.unique(_find_tokens_across_borders(rendered, encoded)):
        whole, encoded[i] = encoded[i], _tokenize_in_pieces(rendered[i], tokenizer)
        if tokenizer.decode(whole.ids) != tokenizer.decode(encoded[i].ids):
            rejected.append(
                RejectedExample(
                    "token-across-border", batch[i].place, "tokenizing in parts changes the text"
                )
            )
    return encoded


def _tokenize_in_pieces(rendered: RenderedExample, tokenizer: ChatTokenizer) -> TokenizedText:
    """Encode the segments between the borders of the spans separately."""
    borders = {border for span in rendered.spans for border in span[:2]}
    cuts = list(pairwise(sorted({0, len(rendered.text), *borders})))
    content = [
        [
            (max(b, begin) - begin, min(e, end) - begin)
            for b, e in rendered.content
            if b < end and e > begin
        ]
        for begin, end in cuts
    ]
    pieces = tokenizer.encode([rendered.text[begin:end] for begin, end in cuts], content)
    ids = [id_ for piece in pieces for id_ in piece.ids]
    offsets = [
        (begin + b, begin + e)
        for (begin, _), piece in zip(cuts, pieces, strict=True)
        for b, e in piece.offsets
    ]
    return TokenizedText(ids, offsets)


class _FlatOffsets(NamedTuple):
    """Character ranges of the tokens and spans of a whole batch on one axis: N tokens, S spans."""

    begins_N: np.ndarray
    ends_N: np.ndarray
    spans_S3: np.ndarray
    example_index_N: np.ndarray


def _flatten(rendered: Sequence[RenderedExample], encoded: Sequence[TokenizedText]) -> _FlatOffsets:
    """Put all examples on one axis, so that one sorted search serves the whole batch.

    The characters of example e begin at base_E[e].
    """
    # The + 1 leaves a gap between examples, so that no border belongs to two of them.
    base_E = np.cumsum([0] + [len(r.text) + 1 for r in rendered])[:-1]
    counts_E = [len(e.ids) for e in encoded]
    offsets_N2 = np.array([pair for e in encoded for pair in e.offsets], np.int64).reshape(-1, 2)
    example_of_N = np.repeat(np.arange(len(encoded)), counts_E)
    spans_S3 = np.array(
        [
            (base + b, base + e, w)
            for base, r in zip(base_E, rendered, strict=True)
            for b, e, w in r.spans
        ],
        np.float64,
    ).reshape(-1, 3)
    base_N = base_E[example_of_N]
    return _FlatOffsets(
        offsets_N2[:, 0] + base_N, offsets_N2[:, 1] + base_N, spans_S3, example_of_N
    )


def _find_tokens_across_borders(
    rendered: Sequence[RenderedExample], encoded: Sequence[TokenizedText]
) -> np.ndarray:
    """Indices of the examples with a token that begins before a span's border and ends after it."""
    flat = _flatten(rendered, encoded)
    # A sentinel after the last border, so that every token has a next one.
    borders = np.append(np.sort(flat.spans_S3[:, :2].ravel()), np.inf)
    next_border_N = borders[np.searchsorted(borders, flat.begins_N, side="right")]
    return flat.example_index_N[next_border_N < flat.ends_N]


def compute_loss_weights(
    rendered: Sequence[RenderedExample], encoded: Sequence[TokenizedText]
) -> np.ndarray:
    """The loss weight of each token, shape (N,) float32.

    It is the weight of the span that contains the token, else 0; 0 for the first token of an
    example.
    """
    flat = _flatten(rendered, encoded)
    weights_N = np.zeros(len(flat.begins_N), np.float32)
    if len(flat.spans_S3):
        span_N = np.searchsorted(flat.spans_S3[:, 0], flat.begins_N, side="right") - 1
        _, span_end_N, span_weight_N = flat.spans_S3[np.maximum(span_N, 0)].T
        # Zero-width tokens are excluded: some tokenizers emit them, and they lie in any span.
        is_inside_N = (span_N >= 0) & (flat.ends_N <= span_end_N) & (flat.ends_N > flat.begins_N)
        weights_N[is_inside_N] = span_weight_N[is_inside_N]
    # Nothing predicts the first token of a sequence, so it has no loss.
    is_first_N = np.diff(flat.example_index_N, prepend=-1) > 0
    weights_N[is_first_N] = 0
    return weights_N


def raise_rejected(rejected: Sequence[RejectedExample], total: int, name: str) -> None:
    """Raise the most common kind of refusal as one `DataError`; return if there is none."""
    if not rejected:
        return
    slugs = [refusal.slug for refusal in rejected]
    slug = max(sorted(set(slugs)), key=slugs.count)
    own = [refusal for refusal in rejected if refusal.slug == slug]
    what, do = RENDER_ERROR_MESSAGES[slug]
    others = (
        f"; {len(rejected) - len(own):,} more are rejected for other reasons"
        if len(own) < len(rejected)
        else ""
    )
    raise DataError(
        slug,
        f"{format_example_count(len(own), total, what)}.",
        at=f"{name} {name_places([r.place for r in own])}",
        got=own[0].got + others,
        hint=do,
    )
