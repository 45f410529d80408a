"""Which tokens of a forest attend together: the plan that `cpu.py` follows in every layer.

A bundle is some nodes with the same way from the root (siblings, or roots), padded to the longest of them. Its queries
see every key on that way, without a mask, as one matrix product, and the keys of their own node causally, as one
batched product. So the cost follows the attended pairs. A long node is first cut into a chain of shorter ones, which
leaves at most half of a short square to the mask.

Shapes: N tokens of the forest, B nodes of a bundle, L tokens of its longest, P tokens on the way from the root, R rows
of all bundles together, Q of them padding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tunesmith.engine.forest import Forest

LONGEST_NODE = 256
FILLED = 0.75  # a bundle takes nodes at least this share as long as its longest ...
SHORT = 32  # ... and any nodes up to this length: their padding costs less than another round of small products


@dataclass(frozen=True, slots=True)
class Bundle:
    """Rows `begin` to `begin + nodes * length` of the plan; `path_P` are places in the forest."""

    begin: int
    nodes: int
    length: int
    path_P: Tensor

    @property
    def rows(self) -> slice:
        """Its rows in the plan."""
        return slice(self.begin, self.begin + self.nodes * self.length)


@dataclass(frozen=True, slots=True)
class Plan:
    """`rows_R`: the token in each row (padding repeats one); `padding_Q`: those rows; `row_of_N`: each token's row."""

    rows_R: Tensor
    padding_Q: Tensor
    row_of_N: Tensor
    bundles: tuple[Bundle, ...]


def plan(forest: Forest) -> Plan:
    """Bundle the nodes of a forest."""
    rows: list[np.ndarray] = []
    bundles: list[Bundle] = []
    row_of_N = np.empty(len(forest), np.int64)
    size = 0
    for siblings in _siblings(forest):
        for spans in _alike(siblings):
            length = max(stop - start for start, stop in spans)
            path_P = siblings.path_P
            bundles.append(Bundle(size, len(spans), length, torch.from_numpy(path_P)))
            for start, stop in spans:
                own = np.arange(start, start + length)
                row_of_N[start:stop] = size + own[: stop - start] - start
                rows.append(np.where(own < stop, own, -1))
                size += length
    rows_R = np.concatenate(rows)
    padding_Q = np.flatnonzero(rows_R < 0)
    rows_R[padding_Q] = 0
    return Plan(*(torch.from_numpy(a) for a in (rows_R, padding_Q, row_of_N)), tuple(bundles))


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


def _alike(siblings: _Siblings) -> Iterator[Sequence[tuple[int, int]]]:
    """Cut siblings into bundles of similar length, longest first."""
    spans = sorted(siblings.spans, key=lambda span: (span[0] - span[1], span[0]))
    begin = 0
    for k in range(1, len(spans) + 1):
        longest = spans[begin][1] - spans[begin][0]
        if k == len(spans) or (longest > SHORT and spans[k][1] - spans[k][0] < FILLED * longest):
            yield spans[begin:k]
            begin = k
