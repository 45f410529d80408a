"""Convert examples to token arrays, and verify that the loss weights are where they should be.

Nothing is ever truncated: an example over `max_length` is an error that says how much of its answer
would be lost.

The verification comes before step 1. On the token arrays, for all examples at once: each has a
trained token; each trained span contains the end-of-turn token, so that the model learns to stop
(the mask is by position, so a pad token equal to it loses nothing, and that is checked here); no
two BOS tokens are adjacent (a BOS that a template writes before every turn is right for its model,
two adjacent ones never are). The first examples are shown, cut where trained tokens begin and end.

Shapes: N = tokens of all sequences, concatenated; S = sequences; E = examples of a batch; T =
tokens of one sequence; S1 = S + 1.
"""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from tunesmith.data.example_count import format_example_count
from tunesmith.data.tokenization import (
    RejectedExample,
    compute_loss_weights,
    describe_missing_embeddings,
    iterate_tokenized_batches,
    raise_rejected,
)
from tunesmith.data.training_sequences import TrainingSequences, build_sequences
from tunesmith.errors import DataError
from tunesmith.records import (
    ChatTokenizer,
    Example,
    MaskProof,
    Method,
    Place,
    PreparedSplit,
    TextSpan,
    TokenArrays,
    TokenizedText,
    name_places,
)

MASK_OPEN, MASK_CLOSE = "⟦", "⟧"


def prepare_split(
    name: str,
    examples: Sequence[Example],
    tokenizer: ChatTokenizer,
    max_tokens: int,
    train_on_prompts: bool = False,
    method: Method = "sft",
) -> tuple[PreparedSplit, TokenArrays]:
    """Render, tokenize and weight the examples of one split as the method needs them.

    Errors: `DataError` when there are no examples, the method needs another format, or examples
    cannot be prepared unchanged (all are listed together).
    """
    if not examples:
        raise DataError("empty-split", f"{name} split has no examples", hint="add examples")
    sequences = build_sequences(name, examples, method)
    conversations = sequences.conversations
    ids: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    lengths: list[np.ndarray] = []
    refusals: list[RejectedExample] = []
    too_long: list[tuple[Place, float]] = []
    beyond: list[tuple[Place, frozenset[int]]] = []
    for batch, rendered, encoded in iterate_tokenized_batches(
        conversations, tokenizer, train_on_prompts, refusals
    ):
        batch_weights = compute_loss_weights(rendered, encoded)
        batch_lengths = np.fromiter((len(e.ids) for e in encoded), np.int64, len(encoded))
        too_long += _find_too_long(batch, batch_weights, batch_lengths, max_tokens)
        if tokenizer.ids_without_embedding:
            found = (tokenizer.ids_without_embedding.intersection(one.ids) for one in encoded)
            beyond += [
                (example.place, own) for example, own in zip(batch, found, strict=True) if own
            ]
        ids.append(np.concatenate([np.asarray(e.ids, np.int32) for e in encoded]))
        weights.append(batch_weights)
        lengths.append(batch_lengths)
    # All batches run first, so that one error lists every example that it concerns.
    raise_rejected(refusals, len(conversations), name)
    _check_embeddings(beyond, len(conversations), name)
    _check_lengths(too_long, len(conversations), max_tokens, name)
    starts_S1 = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    arrays = TokenArrays(
        np.concatenate(ids),
        np.concatenate(weights),
        starts_S1,
        sequences.per_example,
        {name: np.array(column) for name, column in sequences.columns.items()},
    )
    return build_split_record(name, arrays, tokenizer, max_tokens), arrays


def compute_content_hash(arrays: TokenArrays) -> str:
    """SHA-256 (hex) of the arrays: equal for the same data prepared again or loaded from a run."""
    content = hashlib.sha256()
    columns = (arrays.columns_E[name] for name in sorted(arrays.columns_E))
    for array in (arrays.tokens_N, arrays.weights_N, arrays.starts_S1, *columns):
        content.update(array.tobytes())
    return content.hexdigest()


def build_split_record(
    name: str, arrays: TokenArrays, tokenizer: ChatTokenizer, max_tokens: int
) -> PreparedSplit:
    """The record of a prepared split: counts, limit and hashes."""
    return PreparedSplit(
        split=name,
        examples=len(arrays),
        tokens_read=len(arrays.tokens_N),
        tokens_trained=int((arrays.weights_N > 0).sum()),
        longest_tokens=int(np.diff(arrays.starts_S1).max()),
        max_tokens=max_tokens,
        tokenizer_sha256=tokenizer.tokenizer_sha256,
        template_sha256=tokenizer.template_sha256,
        content_sha256=compute_content_hash(arrays),
    )


def _find_too_long(
    batch: list[Example], weights_N: np.ndarray, lengths_E: np.ndarray, max_tokens: int
) -> Iterator[tuple[Place, float]]:
    """(place, fraction of the trained tokens beyond the limit) of each example over the limit."""
    starts_E = np.cumsum(lengths_E) - lengths_E
    for e in np.flatnonzero(lengths_E > max_tokens):
        own = weights_N[starts_E[e] : starts_E[e] + lengths_E[e]] > 0
        yield batch[e].place, float(own[max_tokens:].sum() / max(own.sum(), 1))


def _check_lengths(
    too_long: list[tuple[Place, float]], total: int, max_tokens: int, name: str
) -> None:
    if too_long:
        worst = max(share for _, share in too_long)
        raise DataError(
            "too-long",
            f"{len(too_long):,} of {total:,} examples have more than {max_tokens:,} tokens",
            at=f"{name} {name_places([place for place, _ in too_long])}",
            got=f"up to {worst:.0%} of the answer would be truncated",
            hint="raise max_tokens; or shorten the examples",
        )


def _check_embeddings(beyond: list[tuple[Place, frozenset[int]]], total: int, name: str) -> None:
    if beyond:
        what, do = describe_missing_embeddings(frozenset[int]().union(*(ids for _, ids in beyond)))
        places = name_places([place for place, _ in beyond])
        raise DataError(
            "no-embedding",
            format_example_count(len(beyond), total, what),
            at=f"{name} {places}",
            hint=do,
        )


def prove_mask(
    arrays: TokenArrays,
    tokenizer: ChatTokenizer,
    examples: Sequence[Example],
    count: int = 3,
    method: Method = "sft",
) -> MaskProof:
    """Check the mask of all examples and show the first `count`.

    `examples` are those that the arrays were made from, in the same order.
    Errors: `DataError` when a check fails.
    """
    sequences = build_sequences("train", examples, method)
    if len(arrays) != sequences.example_count:
        raise ValueError(f"{len(arrays)} prepared examples, {sequences.example_count} examples")
    is_trained_N = arrays.weights_N > 0
    _check_trained(arrays, is_trained_N, sequences)
    _check_end_of_turn(arrays, is_trained_N, tokenizer, sequences)
    _check_double_bos(arrays, tokenizer, sequences)
    refusals: list[RejectedExample] = []
    shown: list[tuple[TextSpan, ...]] = []
    first = sequences.conversations[: count * sequences.per_example]
    # Tokenized again and compared: the text shown must be the text that is trained.
    for _, rendered, encoded in iterate_tokenized_batches(first, tokenizer, False, refusals):
        for text, one in zip((r.text for r in rendered), encoded, strict=True):
            tokens_T, weights_T = arrays.get_sequence(len(shown))
            if not np.array_equal(tokens_T, one.ids):
                raise DataError(
                    "mask-differs",
                    "prepared tokens do not match the examples",
                    at=first[len(shown)].named_place,
                    hint="prepare the data again",
                )
            shown.append(_cut_spans(text, one, weights_T > 0))
    raise_rejected(refusals, len(first), "train")
    return MaskProof(
        examples=tuple(shown), end_of_turn=tokenizer.end_of_turn, is_end_of_turn_trained=True
    )


def format_mask(proof: MaskProof) -> str:
    """The proof as plain text: spans between ⟦ and ⟧ are trained, the rest is only read."""
    blocks = [
        "".join(
            f"{MASK_OPEN}{piece.text}{MASK_CLOSE}" if piece.is_trained else piece.text
            for piece in example
        )
        for example in proof.examples
    ]
    head = (
        f"Text between {MASK_OPEN} and {MASK_CLOSE} is trained on. Every answer ends with "
        f"{proof.end_of_turn}."
    )
    return "\n\n".join([head, *blocks]) + "\n"


def _cut_spans(text: str, encoded: TokenizedText, is_trained_T: np.ndarray) -> tuple[TextSpan, ...]:
    """Cut the text where the mask changes; characters without a token go to the preceding span."""
    pieces, position = [], 0
    borders = [*(np.flatnonzero(np.diff(is_trained_T)) + 1), len(is_trained_T)]
    for border in borders:
        end = len(text) if border == len(is_trained_T) else encoded.offsets[border][0]
        pieces.append(TextSpan(text=text[position:end], is_trained=bool(is_trained_T[border - 1])))
        position = end
    return tuple(pieces)


def _check_trained(
    arrays: TokenArrays, is_trained_N: np.ndarray, sequences: TrainingSequences
) -> None:
    # reduceat sums between consecutive starts; no sequence is empty, for which it would be wrong.
    trained_S = np.add.reduceat(is_trained_N, arrays.starts_S1[:-1], dtype=np.int64)
    _raise_for_sequences(
        np.flatnonzero(trained_S == 0),
        sequences,
        "no-trained-token",
        "have no trained token",
        "every message has weight 0, or the answer is empty",
        "add an answer; or remove the examples",
    )


def _check_end_of_turn(
    arrays: TokenArrays,
    is_trained_N: np.ndarray,
    tokenizer: ChatTokenizer,
    sequences: TrainingSequences,
) -> None:
    """A span begins where a trained token follows an untrained one: one answer, or a whole text."""
    is_begin_N = is_trained_N & ~np.append(False, is_trained_N[:-1])
    # The first token of a sequence begins a new span, whatever the sequence before it ends with.
    is_begin_N[arrays.starts_S1[:-1]] = is_trained_N[arrays.starts_S1[:-1]]
    stretch_N = np.cumsum(is_begin_N) - 1
    is_end_N = is_trained_N & (arrays.tokens_N == tokenizer.end_of_turn_id)
    has_end = np.bincount(stretch_N[is_end_N], minlength=int(is_begin_N.sum())) > 0
    endless = np.flatnonzero(is_begin_N)[~has_end]
    pad = " (which is also the pad token)" if tokenizer.pad_id == tokenizer.end_of_turn_id else ""
    _raise_for_sequences(
        _find_sequences_at(endless, arrays),
        sequences,
        "end-of-turn-not-trained",
        "would not teach the model to stop",
        f"no trained {tokenizer.end_of_turn}{pad}",
        "choose a model whose chat template ends every answer with the end-of-turn token",
    )


def _check_double_bos(
    arrays: TokenArrays, tokenizer: ChatTokenizer, sequences: TrainingSequences
) -> None:
    if tokenizer.bos_id is None:
        return
    is_bos_N = arrays.tokens_N == tokenizer.bos_id
    is_second_N = is_bos_N & np.append(False, is_bos_N[:-1])
    # A sequence may begin with BOS although the one before it ended with that token.
    is_second_N[arrays.starts_S1[:-1]] = False
    _raise_for_sequences(
        _find_sequences_at(np.flatnonzero(is_second_N), arrays),
        sequences,
        "second-bos",
        "have two consecutive BOS tokens",
        "the chat template and the tokenizer both add one",
        "use the model's own chat template",
    )


def _find_sequences_at(tokens: np.ndarray, arrays: TokenArrays) -> np.ndarray:
    return np.unique(np.searchsorted(arrays.starts_S1, tokens, side="right") - 1)


def _raise_for_sequences(
    wrong_S: np.ndarray, sequences: TrainingSequences, slug: str, what: str, got: str, hint: str
) -> None:
    if len(wrong_S):
        places = sequences.places(wrong_S.tolist())
        raise DataError(
            slug,
            f"{len(places):,} of {sequences.example_count:,} examples {what}",
            at=name_places(places),
            got=got,
            hint=hint,
        )
