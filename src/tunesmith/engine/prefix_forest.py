"""A micro-batch as a prefix forest: what several sequences share is stored and computed once.

Tokens are stored in depth-first order, a token's position is its depth, and

    token i may attend to token j  exactly when  j <= i < end[j],  end[j] = one past the last token of j's subtree

so every sequence attends to its own tokens and to nothing else. Packing without sharing is the
forest whose trees have nothing in common, and there is no padding. Loss and gradient equal those of
the sequences computed one by one (`tests/engine/test_engine_forest.py`).

A prefix is shared only where that saves at least `MIN_SAVED_TOKENS` tokens: many small branches
cost more in small matrix products than they save. Every choice is exact.

Shapes: N tokens of the forest, S sequences, T tokens of a sequence, P tokens of a node's prefix.
"""  # noqa: E501

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

MIN_SAVED_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Node:
    """Tokens `start` to `stop` (exclusive) of the forest, which belong to the same sequences.

    `parent`: index of the parent node, -1 for a root. `prefix_P`: forest indices of all tokens
    before it, from the root on.
    """

    start: int
    stop: int
    parent: int
    prefix_P: np.ndarray


@dataclass(frozen=True, slots=True)
class Forest:
    """All tokens of some sequences, shared prefixes once. `token_indices[s]`: forest indices of the
    tokens of sequence s, in its order."""

    tokens_N: np.ndarray
    positions_N: np.ndarray
    end_N: np.ndarray
    nodes: tuple[Node, ...]
    token_indices: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.tokens_N)


def build_forest(sequences: Sequence[np.ndarray], min_saved: int = MIN_SAVED_TOKENS) -> Forest:
    """The forest of non-empty sequences. `min_saved`: tokens that a shared node must save."""
    order = sort_by_prefix(sequences)
    # In sorted order the common prefix of a range is the minimum over its adjacent pairs (the LCP
    # array of suffix arrays), so the tree is built without comparing all pairs.
    shared = [0, *(count_common_prefix(sequences[a], sequences[b]) for a, b in pairwise(order))]
    tokens: list[np.ndarray] = []
    nodes: list[Node] = []
    places: list[np.ndarray] = [np.empty(0, np.int64)] * len(sequences)
    size = 0
    # (first and last + 1 of a range in `order`, depth that is placed already, parent node, forest
    # indices of the prefix)
    waiting = [(0, len(order), 0, -1, np.empty(0, np.int64))]
    while waiting:
        low, high, depth, parent, path_P = waiting.pop()
        longest = len(sequences[order[low]])
        # A range of one sequence has no pairs: all of it is common.
        common = min(shared[low + 1 : high], default=longest)
        # A range of one sequence must become a node however short it is; the threshold is for
        # shared ones only.
        if common > depth and (high - low == 1 or (high - low - 1) * (common - depth) >= min_saved):
            nodes.append(Node(size, size + common - depth, parent, path_P))
            tokens.append(sequences[order[low]][depth:common])
            path_P = np.concatenate([path_P, np.arange(size, size + common - depth)])
            size, depth, parent = size + common - depth, common, len(nodes) - 1
        for s in (s for s in order[low:high] if len(sequences[s]) == depth):
            places[s] = path_P
        runs = _split_runs(
            [s for s in range(low, high) if len(sequences[order[s]]) > depth], shared, common
        )
        # The stack pops from its end, so the reversed order keeps the nodes depth-first.
        waiting += [(a, b, depth, parent, path_P) for a, b in reversed(list(runs))]
    return _assemble_forest(np.concatenate(tokens), nodes, places)


def sort_by_prefix(sequences: Sequence[np.ndarray]) -> list[int]:
    """Indices in lexicographic order: similar prefixes adjacent, a prefix before its
    continuations.
    """
    # Big-endian bytes compare like the token ids, which makes the sort key a cheap bytes object.
    return sorted(range(len(sequences)), key=lambda s: (sequences[s].astype(">u4").tobytes(), s))


def count_common_prefix(one: np.ndarray, other: np.ndarray) -> int:
    """Number of leading tokens that two sequences have in common."""
    most = min(len(one), len(other))
    differs_T = one[:most] != other[:most]
    return int(differs_T.argmax()) if differs_T.any() else most


def _split_runs(rest: list[int], shared: Sequence[int], common: int) -> Iterator[tuple[int, int]]:
    """Split sorted sequences into ranges whose neighbors share more than `common` tokens."""
    begin = 0
    for k in range(1, len(rest) + 1):
        if k == len(rest) or shared[rest[k]] <= common:
            yield rest[begin], rest[k - 1] + 1
            begin = k


def _assemble_forest(tokens_N: np.ndarray, nodes: list[Node], places: list[np.ndarray]) -> Forest:
    positions_N = np.empty(len(tokens_N), np.int64)
    end_N = np.empty(len(tokens_N), np.int64)
    ends = [node.stop for node in nodes]
    # Children come after their parents, so the reversed order visits them first.
    for n in range(len(nodes) - 1, -1, -1):
        node = nodes[n]
        if node.parent >= 0:
            ends[node.parent] = max(ends[node.parent], ends[n])
        end_N[node.start : node.stop] = ends[n]
        positions_N[node.start : node.stop] = np.arange(node.stop - node.start) + len(node.prefix_P)
    return Forest(tokens_N.astype(np.int64), positions_N, end_N, tuple(nodes), tuple(places))
