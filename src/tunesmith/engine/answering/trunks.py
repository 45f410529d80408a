"""Which prompts share how much of their beginning: each group continues one trunk, which is computed once.

Sorted prompts form a tree of common beginnings. Prompts below a node either continue one trunk together, or its
branches have trunks of their own, whichever saves more tokens. A trunk is worth it when it saves more than `TRUNK_COST`
tokens: each one costs some small matrix products for every token that is made after it.

Source of the tree from neighbours in sorted order: Abouelhoda, Kurtz and Ohlebusch 2004, "Replacing suffix trees with
enhanced suffix arrays", doi:10.1016/S1570-8667(03)00065-0, section 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

TRUNK_COST = 64


@dataclass(frozen=True, slots=True)
class Group:
    """Prompts (by number) that share their first `length` tokens; 0: they share nothing worth sharing."""

    length: int
    prompts: list[int]

    @property
    def saved(self) -> int:
        """Tokens that need not be computed, less what the trunk costs."""
        return max(0, (len(self.prompts) - 1) * self.length - TRUNK_COST)


@dataclass(slots=True)
class _Node:
    """An open node of the tree: prompts that share `depth` tokens, and the best groups of its branches so far."""

    depth: int
    groups: list[Group] = field(default_factory=list)

    def best(self) -> list[Group]:
        prompts = [prompt for group in self.groups for prompt in group.prompts]
        together = Group(self.depth, prompts)
        return [together] if together.saved >= sum(group.saved for group in self.groups) else self.groups


def group_by_beginning(prompts: Sequence[Sequence[int]]) -> list[Group]:
    """Every prompt in one group, largest groups first. At least one token of each prompt is not in its trunk."""
    if not prompts:
        return []
    order = sorted(range(len(prompts)), key=lambda p: list(prompts[p]))
    path: list[_Node] = []
    groups = [Group(0, order[:1])]
    for before, prompt in pairwise(order):
        depth = common(prompts[before], prompts[prompt])
        groups = _close(path, groups, depth)
        if path and path[-1].depth == depth:
            path[-1].groups += groups
        else:
            path.append(_Node(depth, groups))
        groups = [Group(0, [prompt])]
    return _joined(_close(path, groups, -1))


def _close(path: list[_Node], groups: list[Group], depth: int) -> list[Group]:
    """Close the nodes deeper than `depth`; returns the groups below the last one closed."""
    while path and path[-1].depth > depth:
        node = path.pop()
        node.groups += groups
        groups = node.best()
    return groups


def _joined(groups: list[Group]) -> list[Group]:
    """What shares nothing worth sharing is one group."""
    alone = [prompt for group in groups if not group.saved for prompt in group.prompts]
    shared = sorted((group for group in groups if group.saved), key=lambda group: -len(group.prompts))
    return shared + ([Group(0, alone)] if alone else [])


def common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens both begin with, leaving at least one token of each."""
    most = min(len(first), len(second)) - 1
    return next((t for t in range(most) if first[t] != second[t]), most)
