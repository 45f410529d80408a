"""Which tokens of a forest attend together: its nodes in groups of similar length.

A node group is a set of nodes with the same prefix (siblings, or roots), padded to the longest of
them. Its queries see every key of the prefix without a mask, and the keys of their own node
causally, in one batched product or in two. So the cost is proportional to the attended pairs. A
long node is first cut into a chain of shorter ones, so that the causal mask wastes at most half of
a short square.

Shapes: B nodes of a group, L tokens of its longest node, P tokens of the prefix.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tunesmith.engine.prefix_forest import Forest

MAX_NODE_TOKENS = 256
MAX_GROUPED_TOKENS = 64
"""Nodes up to this length are padded and computed together, longer ones one by one."""
# A group takes nodes of at least this fraction of its longest, or any nodes up to
# `SHORT_NODE_TOKENS`, whose padding costs less than another round of small products.
MIN_FILL_FRACTION = 0.6
SHORT_NODE_TOKENS = 24
MAX_PREFIX_RATIO = 2
"""The prefix is copied for each node of a group if it is at most this many times as long as the
node.
"""
MAX_SAVED_PREFIX_TOKENS = 256
"""Up to this prefix length the attention weights are saved for backward; recomputing them takes a
sixth of the attention's products."""


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """Nodes with the same prefix.

    `indices_BL`: forest indices of their tokens, the last one repeated as padding. `lengths_B`:
    tokens of each node. `prefix_P`: forest indices of the prefix's tokens.
    """

    indices_BL: np.ndarray
    lengths_B: np.ndarray
    prefix_P: np.ndarray

    @property
    def is_concatenated(self) -> bool:
        """Whether every node copies the prefix's keys (`concatenated_prefix.py`), if short."""
        nodes, length = self.indices_BL.shape
        # A single node copies nothing extra, so a longer prefix is worth it there.
        return len(self.prefix_P) <= max(
            MAX_PREFIX_RATIO * length, MAX_SAVED_PREFIX_TOKENS if nodes == 1 else 0
        )

    @property
    def has_saved_weights(self) -> bool:
        """Whether the attention weights are saved for the backward pass.

        Their number is that of the pairs: with a long prefix they would need more memory than all
        other activations.
        """
        return len(self.prefix_P) <= MAX_SAVED_PREFIX_TOKENS


def group_nodes(forest: Forest) -> tuple[NodeGroup, ...]:
    """Group the nodes of a forest. Every token is in exactly one group."""
    return tuple(
        _build_group(spans, siblings.prefix_P)
        for siblings in _list_siblings(forest)
        for spans in _split_by_length(siblings.spans)
    )


def _build_group(spans: Sequence[tuple[int, int]], path_P: np.ndarray) -> NodeGroup:
    starts_B, stops_B = (np.array(ends) for ends in zip(*spans, strict=True))
    lengths_B = stops_B - starts_B
    # The clamp repeats the last token of a shorter node as padding, so that every index is valid.
    places_BL = starts_B[:, None] + np.arange(lengths_B.max())
    return NodeGroup(np.minimum(places_BL, stops_B[:, None] - 1), lengths_B, path_P)


@dataclass(slots=True)
class _Siblings:
    prefix_P: np.ndarray
    spans: list[tuple[int, int]]


def _list_siblings(forest: Forest) -> Iterator[_Siblings]:
    """The nodes by their prefix; a long node is a chain of pieces without siblings."""
    by_parent: dict[int, _Siblings] = {}
    links: list[_Siblings] = []
    for node in forest.nodes:
        first = min(node.stop, node.start + MAX_NODE_TOKENS)
        by_parent.setdefault(node.parent, _Siblings(node.prefix_P, [])).spans.append(
            (node.start, first)
        )
        for start in range(first, node.stop, MAX_NODE_TOKENS):
            path_P = np.concatenate([node.prefix_P, np.arange(node.start, start)])
            links.append(_Siblings(path_P, [(start, min(node.stop, start + MAX_NODE_TOKENS))]))
    yield from by_parent.values()
    yield from links


def _split_by_length(spans: Sequence[tuple[int, int]]) -> Iterator[Sequence[tuple[int, int]]]:
    """Split sibling spans into groups of similar length, longest first."""
    spans = sorted(spans, key=lambda span: (span[0] - span[1], span[0]))
    begin = 0
    for k in range(1, len(spans) + 1):
        longest = spans[begin][1] - spans[begin][0]
        shortest = spans[k][1] - spans[k][0] if k < len(spans) else 0
        if (
            longest > MAX_GROUPED_TOKENS
            or not shortest
            or (longest > SHORT_NODE_TOKENS and shortest < MIN_FILL_FRACTION * longest)
        ):
            yield spans[begin:k]
            begin = k
