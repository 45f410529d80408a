"""Which tokens of a forest attend together: the plan that `cpu.py` follows in every layer.

A bundle is some nodes with the same way from the root (siblings, or roots), padded to the longest of them. Its queries
see every key on that way, without a mask, and the keys of their own node causally, in one batched product or in two. So
the cost follows the attended pairs. A long node is first cut into a chain of shorter ones, which leaves at most half of
a short square to the mask.

Shapes: B nodes of a bundle, L tokens of its longest, P tokens on the way from the root, R = B * L rows, O of them
filled and Q not, T = B * (P + L).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tunesmith.engine.forest import Forest

LONGEST_NODE = 256
LONGEST_BUNDLED = 64  # nodes up to this length are padded and computed together, longer ones each for itself
FILLED = 0.6  # a bundle takes nodes at least this share as long as its longest, or any nodes ...
REPEATED = 2  # the way from the root is repeated for each node of a bundle if it is at most so many times as long
LONGEST_KEPT = 256  # tokens on the way from the root; making weights again takes a sixth of the attention's products
SHORT = 24  # ... up to this length: their padding costs less than another round of small products


@dataclass(frozen=True, slots=True)
class Rows:
    """The padded rows of several nodes: `places_R` in the forest (padding repeats one), `padding_Q` which are
    padding, `filled_O` which are not, and `places_O` the places of those."""

    places_R: Tensor
    padding_Q: Tensor
    filled_O: Tensor
    places_O: Tensor


@dataclass(frozen=True, slots=True)
class Bundle:
    """`nodes` nodes of up to `length` tokens; a single one is the slice `span` of the forest and needs no `rows`.

    `path_P`: the places of the tokens on the way from the root; `seen_T`: for every node those and its own (padded)
    behind each other, None where that would repeat too many.
    """

    nodes: int
    length: int
    path_P: Tensor
    span: slice
    rows: Rows | None
    seen_T: Tensor | None

    @property
    def is_kept(self) -> bool:
        """Whether the weights of its attention are kept for the backward pass.

        They are as many as pairs: after a long way from the root they would outweigh all else that a token keeps.
        """
        return len(self.path_P) <= LONGEST_KEPT


Plan = tuple[Bundle, ...]


def plan(forest: Forest) -> Plan:
    """Bundle the nodes of a forest. Every token is in exactly one bundle."""
    return tuple(
        _bundle(spans, torch.from_numpy(siblings.path_P))
        for siblings in _siblings(forest)
        for spans in _alike(siblings.spans)
    )


def _bundle(spans: Sequence[tuple[int, int]], path_P: Tensor) -> Bundle:
    length = max(stop - start for start, stop in spans)
    span = slice(*spans[0])
    if len(spans) == 1:
        return Bundle(1, length, path_P, span, None, torch.cat([path_P, torch.arange(*spans[0])]))
    starts_B, stops_B = (np.array(ends) for ends in zip(*spans, strict=True))
    own_BL = starts_B[:, None] + np.arange(length)
    is_filled_BL = own_BL < stops_B[:, None]
    own_BL = np.minimum(own_BL, stops_B[:, None] - 1)
    places_R, filled_O = own_BL.reshape(-1), np.flatnonzero(is_filled_BL)
    arrays = (places_R, np.flatnonzero(~is_filled_BL), filled_O, places_R[filled_O])
    rows = Rows(*(torch.from_numpy(array) for array in arrays))
    if len(path_P) > REPEATED * length:
        return Bundle(len(spans), length, path_P, span, rows, None)
    seen_T = torch.cat([path_P.expand(len(spans), -1), torch.from_numpy(own_BL)], 1).flatten()
    return Bundle(len(spans), length, path_P, span, rows, seen_T)


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
