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

from tunesmith.engine.attention.rows import Rows, rows_of
from tunesmith.engine.forest import Forest

LONGEST_NODE = 256
LONGEST_BUNDLED = 64  # nodes up to this length are padded and computed together, longer ones each for itself
FILLED = 0.6  # a bundle takes nodes at least this share as long as its longest, or any nodes ...
SHORT = 24  # ... up to this length: their padding costs less than another round of small products
REPEATED = 2  # the way from the root is repeated for each node of a bundle if it is at most so many times as long
LONGEST_KEPT = 256  # tokens on the way from the root; making weights again takes a sixth of the attention's products


@dataclass(frozen=True, slots=True)
class Bundle:
    """Some nodes with the same way from the root. `places_BL`: where their tokens stand in the forest, the last one
    repeated as padding; `lengths_B`: how many are there; `path_P`: the places of the tokens on the way."""

    places_BL: np.ndarray
    lengths_B: np.ndarray
    path_P: np.ndarray

    @property
    def is_joined(self) -> bool:
        """Whether every node has its own copy of the keys on the way (`joined.py`), which must not be too many."""
        nodes, length = self.places_BL.shape
        return len(self.path_P) <= max(REPEATED * length, LONGEST_KEPT if nodes == 1 else 0)

    @property
    def is_kept(self) -> bool:
        """Whether the weights of its attention are kept for the backward pass.

        They are as many as pairs: after a long way from the root they would outweigh all else that a token keeps.
        """
        return len(self.path_P) <= LONGEST_KEPT


@dataclass(frozen=True, slots=True)
class Plan:
    """All bundles of a forest, and their rows for the heads of the layers that asked so far (mostly one kind)."""

    bundles: tuple[Bundle, ...]
    _rows: dict[tuple[int, int, torch.dtype], Rows] = field(default_factory=dict)

    def rows(self, heads: int, groups: int, dtype: torch.dtype) -> Rows:
        """`rows_of` for so many query and key heads, made once."""
        key = (heads, groups, dtype)
        if key not in self._rows:
            self._rows[key] = rows_of(self.bundles, heads, groups, dtype)
        return self._rows[key]


def plan(forest: Forest) -> Plan:
    """Bundle the nodes of a forest. Every token is in exactly one bundle."""
    return Plan(
        tuple(_bundle(spans, siblings.path_P) for siblings in _siblings(forest) for spans in _alike(siblings.spans))
    )


def _bundle(spans: Sequence[tuple[int, int]], path_P: np.ndarray) -> Bundle:
    starts_B, stops_B = (np.array(ends) for ends in zip(*spans, strict=True))
    lengths_B = stops_B - starts_B
    places_BL = starts_B[:, None] + np.arange(lengths_B.max())
    return Bundle(np.minimum(places_BL, stops_B[:, None] - 1), lengths_B, path_P)


@dataclass(slots=True)
class _Siblings:
    path_P: np.ndarray
    spans: list[tuple[int, int]]


def _siblings(forest: Forest) -> Iterator[_Siblings]:
    """The nodes by their way from the root; each long node is a chain of links, and a link has no sibling."""
    by_parent: dict[int, _Siblings] = {}
    links: list[_Siblings] = []
    for node in forest.nodes:
        first = min(node.stop, node.start + LONGEST_NODE)
        by_parent.setdefault(node.parent, _Siblings(node.path_P, [])).spans.append((node.start, first))
        for start in range(first, node.stop, LONGEST_NODE):
            path_P = np.concatenate([node.path_P, np.arange(node.start, start)])
            links.append(_Siblings(path_P, [(start, min(node.stop, start + LONGEST_NODE))]))
    yield from by_parent.values()
    yield from links


def _alike(spans: Sequence[tuple[int, int]]) -> Iterator[Sequence[tuple[int, int]]]:
    """Cut siblings into bundles of similar length, longest first."""
    spans = sorted(spans, key=lambda span: (span[0] - span[1], span[0]))
    begin = 0
    for k in range(1, len(spans) + 1):
        longest = spans[begin][1] - spans[begin][0]
        shortest = spans[k][1] - spans[k][0] if k < len(spans) else 0
        if longest > LONGEST_BUNDLED or not shortest or (longest > SHORT and shortest < FILLED * longest):
            yield spans[begin:k]
            begin = k
