"""Which examples form a step, and how a step is split into micro-batches that fit into memory.

An epoch is a seeded permutation of all examples, cut into batches; the last batch may be smaller,
nothing is dropped. The examples of a step depend on the seed alone, never on what they share:
shuffling is the same with and without prefix forests (docs/decisions/060).

Within a step the examples are sorted lexicographically, so those that share the longest prefixes
are in the same micro-batch, and a micro-batch is a prefix forest (`prefix_forest.py`). The
gradients of the micro-batches add up, so the split and the order within a step change nothing but
rounding. For a model that does not support forests a micro-batch is a matrix of padded rows, one
for each sequence; the padding is on the right, where a causal model cannot see it from any trained
position.

A sequence is read up to its last trained token, which is predicted but not read: what comes after
it affects no loss.

Shapes: B rows, T tokens of a row (one row of all tokens for a forest), U predictions, K trained
tokens of all sequences (a prediction that several sequences share is made once), S sequences."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from tunesmith.engine.prefix_forest import Forest, build_forest, count_common_prefix, sort_by_prefix
from tunesmith.records import TokenArrays


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Sequences for one forward pass, as a forest or as padded rows.

    `indices_U`: the positions among all rows whose hidden states predict `targets_U`. Trained token
    k of sequence `sequence_K[k]` is prediction `prediction_K[k]` and has loss weight `weight_K[k]`.
    """

    examples: tuple[int, ...]
    forest: Forest | None
    tokens_BT: Tensor
    indices_U: Tensor
    targets_U: Tensor
    prediction_K: Tensor
    sequence_K: Tensor
    weight_K: Tensor
    sequences: int


def count_steps_per_epoch(examples: int, batch_size: int) -> int:
    """Batches of one pass over the examples."""
    return -(-examples // batch_size)


def iterate_batches(examples: int, batch_size: int, seed: int) -> Iterator[list[int]]:
    """Endless batches of example indices, epoch after epoch, each epoch in its own seeded order."""
    order = np.random.default_rng(seed)
    while True:
        permutation = order.permutation(examples).tolist()
        for begin in range(0, examples, batch_size):
            yield permutation[begin : begin + batch_size]


def split_into_micro_batches(
    arrays: TokenArrays,
    batch: Sequence[int],
    max_examples: int,
    max_tokens: int,
    *,
    as_forest: bool,
) -> list[list[int]]:
    """Split a batch into as few micro-batches as fit, of about equal size.

    A micro-batch has at most `max_examples` examples and `max_length` tokens, those of its forest
    or of its padded rows; an example that exceeds `max_length` gets its own.
    """
    first = [select_needed_tokens(arrays, arrays.get_sequence_range(e)[0]) for e in batch]
    if as_forest:
        order, added = (
            [batch[k] for k in sort_by_prefix(first)],
            partial(_count_added_forest_tokens, arrays),
        )
    else:
        order, added = (
            sorted(batch, key=lambda e: (-_count_longest_tokens(arrays, e), e)),
            partial(_count_added_padded_tokens, arrays),
        )
    pieces, total = _pack_pieces(order, added, max_examples, max_tokens)
    # The greedy split leaves a small last micro-batch. Retry with the limit lowered to the average,
    # loosened until the number of micro-batches is the same again: equal
    # sizes lower the peak.
    for slack in (1.0, 1.05, 1.15, 1.3):
        even, _ = _pack_pieces(
            order, added, max_examples, min(max_tokens, int(slack * total / len(pieces)) + 1)
        )
        if len(even) == len(pieces):
            return even
    return pieces


def _pack_pieces(
    order: Sequence[int], added: Callable[[list[int], int], int], max_examples: int, max_tokens: int
) -> tuple[list[list[int]], int]:
    """Fill one micro-batch after the other; returns them and the tokens of all of them together."""
    pieces: list[list[int]] = []
    size = total = 0
    for e in order:
        more = added(pieces[-1], e) if pieces else 0
        if not pieces or len(pieces[-1]) == max_examples or size + more > max_tokens:
            pieces.append([])
            size, more = 0, added([], e)
        pieces[-1].append(e)
        size, total = size + more, total + more
    return pieces, total


def _count_added_forest_tokens(arrays: TokenArrays, piece: list[int], e: int) -> int:
    """Tokens that an example adds to a forest that ends with its neighbor in sorted order."""
    tokens = [select_needed_tokens(arrays, s) for s in arrays.get_sequence_range(e)]
    # Approximate for more than two answers: what they share beyond the first one is counted twice.
    alone = sum(map(len, tokens)) - sum(
        count_common_prefix(tokens[0], other) for other in tokens[1:]
    )
    if not piece:
        return alone
    return alone - count_common_prefix(
        tokens[0], select_needed_tokens(arrays, arrays.get_sequence_range(piece[-1])[0])
    )


def _count_added_padded_tokens(arrays: TokenArrays, piece: list[int], e: int) -> int:
    """Padded tokens of an example's rows; a micro-batch is as wide as its first, longest
    example.
    """
    return arrays.sequences_per_example * _count_longest_tokens(arrays, piece[0] if piece else e)


def count_computed_tokens(arrays: TokenArrays, piece: Sequence[int], *, as_forest: bool) -> int:
    """Tokens that the model computes for a micro-batch: of its forest, or of its padded rows."""
    added = _count_added_forest_tokens if as_forest else _count_added_padded_tokens
    return sum(added(arrays, list(piece[:k]), e) for k, e in enumerate(piece))


def sort_by_length_desc(arrays: TokenArrays) -> list[int]:
    """Indices of all examples, by the number of tokens that are read, largest first."""
    # Vectorized over the whole dataset, because a loop over `select_needed_tokens` is slow for
    # large ones.
    starts_S, places_N = arrays.starts_S1[:-1], np.arange(len(arrays.tokens_N))
    is_predicted_N = arrays.weights_N > 0
    is_predicted_N[starts_S] = False
    last_S = np.maximum.reduceat(np.where(is_predicted_N, places_N, 0), starts_S)
    read_S = np.maximum(1, last_S - starts_S)
    return np.argsort(
        -read_S.reshape(-1, arrays.sequences_per_example).sum(1), kind="stable"
    ).tolist()


def _count_longest_tokens(arrays: TokenArrays, e: int) -> int:
    return max(len(select_needed_tokens(arrays, s)) for s in arrays.get_sequence_range(e))


def select_needed_tokens(arrays: TokenArrays, s: int) -> np.ndarray:
    """A sequence's tokens up to the one that predicts its last trained token; at least one."""
    tokens_T, weights_T = arrays.get_sequence(s)
    trained = np.flatnonzero(weights_T[1:])
    return tokens_T[: trained[-1] + 1 if len(trained) else 1]


def collate(
    arrays: TokenArrays, examples: Sequence[int], device: torch.device, *, as_forest: bool
) -> MicroBatch:
    """The tensors of one micro-batch on `device`, as a forest or as right-padded rows."""
    numbers = [s for e in examples for s in arrays.get_sequence_range(e)]
    sequences, tokens = (
        [arrays.get_sequence(s) for s in numbers],
        [select_needed_tokens(arrays, s) for s in numbers],
    )
    forest = build_forest(tokens) if as_forest else None
    if forest is None:
        tokens_BT = np.zeros((len(tokens), max(map(len, tokens))), np.int64)
        for row, sequence_T in enumerate(tokens):
            tokens_BT[row, : len(sequence_T)] = sequence_T
        places = [
            row * tokens_BT.shape[1] + np.arange(len(sequence_T))
            for row, sequence_T in enumerate(tokens)
        ]
    else:
        tokens_BT, places = forest.tokens_N[None], list(forest.token_indices)
    trained = [np.flatnonzero(weights_T[1:]) + 1 for _, weights_T in sequences]
    # Token t is predicted at t - 1.
    place_K = np.concatenate([p[t - 1] for p, t in zip(places, trained, strict=True)])
    target_K = np.concatenate(
        [all_T[t] for (all_T, _), t in zip(sequences, trained, strict=True)]
    ).astype(np.int64)
    # Sequences with the same prefix predict the same targets at the same positions: each such pair
    # is computed once.
    pairs_U2, prediction_K = np.unique(
        np.stack([place_K, target_K], 1), axis=0, return_inverse=True
    )
    return MicroBatch(
        examples=tuple(examples),
        forest=forest,
        tokens_BT=torch.from_numpy(tokens_BT).to(device),
        # A copy, because a column of a matrix is strided and would keep the whole matrix alive.
        indices_U=torch.from_numpy(pairs_U2[:, 0].copy()).to(device),
        targets_U=torch.from_numpy(pairs_U2[:, 1].copy()).to(device),
        prediction_K=torch.from_numpy(prediction_K.reshape(-1)).to(device),
        sequence_K=torch.from_numpy(
            np.repeat(np.arange(len(trained)), [len(t) for t in trained])
        ).to(device),
        weight_K=torch.from_numpy(
            np.concatenate(
                [weights_T[t] for (_, weights_T), t in zip(sequences, trained, strict=True)]
            )
        ).to(device),
        sequences=len(sequences),
    )
