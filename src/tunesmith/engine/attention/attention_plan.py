"""Which tokens of a forest attend together: the plan that `cpu.py` follows in every layer.

A bundle is some nodes with the same way from the root (siblings, or roots), padded to the longest of them. Its queries
see every key on that way, without a mask, and the keys of their own node causally, in one batched product or in two. So
the cost follows the attended pairs. A long node is first cut into a chain of shorter ones, which leaves at most half of
a short square to the mask.

Shapes: B nodes of a bundle, L tokens of its longest, P tokens on the way from the root.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from tunesmith.engine.attention.gather_index import GatherIndex, build_gather_index
from tunesmith.engine.prefix_forest import Forest

MAX_NODE_TOKENS = 256
MAX_GROUPED_TOKENS = 64  # nodes up to this length are padded and computed together, longer ones each for itself
MIN_FILL_FRACTION = 0.6  # a bundle takes nodes at least this share as long as its longest, or any nodes ...
SHORT_NODE_TOKENS = 24  # ... up to this length: their padding costs less than another round of small products
MAX_PREFIX_RATIO = (
    2  # the way from the root is repeated for each node of a bundle if it is at most so many times as long
)
MAX_SAVED_PREFIX_TOKENS = (
    256  # tokens on the way from the root; making weights again takes a sixth of the attention's products
)


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """Some nodes with the same way from the root. `indices_BL`: where their tokens stand in the forest, the last one
    repeated as padding; `lengths_B`: how many are there; `prefix_P`: the places of the tokens on the way."""

    indices_BL: np.ndarray
    lengths_B: np.ndarray
    prefix_P: np.ndarray

    @property
    def is_concatenated(self) -> bool:
        """Whether every node has its own copy of the keys on the way (`joined.py`), which must not be too many."""
        nodes, length = self.indices_BL.shape
        return len(self.prefix_P) <= max(MAX_PREFIX_RATIO * length, MAX_SAVED_PREFIX_TOKENS if nodes == 1 else 0)

    @property
    def has_saved_weights(self) -> bool:
        """Whether the weights of its attention are kept for the backward pass.

        They are as many as pairs: after a long way from the root they would outweigh all else that a token keeps.
        """
        return len(self.prefix_P) <= MAX_SAVED_PREFIX_TOKENS


@dataclass(frozen=True, slots=True)
class AttentionPlan:
    """All bundles of a forest, and their rows for the heads of the layers that asked so far (mostly one kind)."""

    node_groups: tuple[NodeGroup, ...]
    _gather_indexes: dict[tuple[int, int, torch.dtype], GatherIndex] = field(default_factory=dict)

    def get_gather_index(self, heads: int, groups: int, dtype: torch.dtype) -> GatherIndex:
        """`build_gather_index` for so many query and key heads, made once."""
        key = (heads, groups, dtype)
        if key not in self._gather_indexes:
            self._gather_indexes[key] = build_gather_index(self.node_groups, heads, groups, dtype)
        return self._gather_indexes[key]


def plan_attention(forest: Forest) -> AttentionPlan:
    """Bundle the nodes of a forest. Every token is in exactly one bundle."""
    return AttentionPlan(
        tuple(
            _build_group(spans, siblings.prefix_P)
            for siblings in _list_siblings(forest)
            for spans in _split_by_length(siblings.spans)
        )
    )


def _build_group(spans: Sequence[tuple[int, int]], path_P: np.ndarray) -> NodeGroup:
    starts_B, stops_B = (np.array(ends) for ends in zip(*spans, strict=True))
    lengths_B = stops_B - starts_B
    places_BL = starts_B[:, None] + np.arange(lengths_B.max())
    return NodeGroup(np.minimum(places_BL, stops_B[:, None] - 1), lengths_B, path_P)


@dataclass(slots=True)
class _Siblings:
    prefix_P: np.ndarray
    spans: list[tuple[int, int]]


def _list_siblings(forest: Forest) -> Iterator[_Siblings]:
    """The nodes by their way from the root; each long node is a chain of links, and a link has no sibling."""
    by_parent: dict[int, _Siblings] = {}
    links: list[_Siblings] = []
    for node in forest.nodes:
        first = min(node.stop, node.start + MAX_NODE_TOKENS)
        by_parent.setdefault(node.parent, _Siblings(node.prefix_P, [])).spans.append((node.start, first))
        for start in range(first, node.stop, MAX_NODE_TOKENS):
            path_P = np.concatenate([node.prefix_P, np.arange(node.start, start)])
            links.append(_Siblings(path_P, [(start, min(node.stop, start + MAX_NODE_TOKENS))]))
    yield from by_parent.values()
    yield from links


def _split_by_length(spans: Sequence[tuple[int, int]]) -> Iterator[Sequence[tuple[int, int]]]:
    """Cut siblings into bundles of similar length, longest first."""
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
