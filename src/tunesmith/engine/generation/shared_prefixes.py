"""Which prompts share how much of their beginning: each group continues one trunk, which is computed once.

Sorted prompts form a tree of common beginnings. A trunk may stand at any of its nodes, below others too: a prompt
continues the longest trunk above it. Those that together save most tokens are found from the leaves up. A trunk is
worth it when it saves more than `PREFIX_COST_TOKENS` tokens: each one costs some small matrix products for every token
that is
made after it.

    saved(node, d) = max(sum of saved(branch, d), sum of saved(branch, D) - D - TRUNK_COST)    saved(prompt, d) = d

D is the node's own depth, d that of the trunk above it (0: none).

Source of the tree from neighbours in sorted order: Abouelhoda, Kurtz and Ohlebusch 2004, "Replacing suffix trees with
enhanced suffix arrays", doi:10.1016/S1570-8667(03)00065-0, section 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

PREFIX_COST_TOKENS = 64


@dataclass(frozen=True, slots=True)
class PromptGroup:
    """Prompts (by number) that share their first `length` tokens; 0: they share nothing worth sharing."""

    length: int
    prompts: list[int]

    @property
    def saved_tokens(self) -> int:
        """Tokens that need not be computed, less what the trunk costs."""
        return max(0, (len(self.prompts) - 1) * self.length - PREFIX_COST_TOKENS)


@dataclass(slots=True)
class _PrefixNode:
    """Prompts that share `depth` tokens: what branches below, and those that end their sharing here."""

    depth: int
    branches: list["_PrefixNode"] = field(default_factory=list)
    prompts: list[int] = field(default_factory=list)
    saved_by_depth: dict[int, int] = field(default_factory=dict)  # by the depth of the trunk above

    def count_saved_below(self, prefix: int) -> int:
        """What is saved by all that hangs here when the nearest trunk has this depth."""
        return prefix * len(self.prompts) + sum(branch.saved_by_depth[prefix] for branch in self.branches)

    def has_own_prefix(self, prefix: int) -> bool:
        """Whether one of its own saves more than the one above."""
        return self.saved_by_depth[prefix] > self.count_saved_below(prefix)


def group_by_prefix(prompts: Sequence[Sequence[int]]) -> list[PromptGroup]:
    """Every prompt in one group, largest groups first. At least one token of each prompt is not in its trunk."""
    if not prompts:
        return []
    root, nodes = _build_tree(prompts)
    above: dict[int, list[int]] = {id(root): []}
    for node in reversed(nodes):  # parents before their branches
        above.update((id(branch), [*above[id(node)], node.depth]) for branch in node.branches)
    for node in nodes:
        own = node.count_saved_below(node.depth) - node.depth - PREFIX_COST_TOKENS
        node.saved_by_depth = {trunk: max(node.count_saved_below(trunk), own) for trunk in {0, *above[id(node)]}}
    return _merge_unshared(_collect_groups(root))


def _collect_groups(root: _PrefixNode) -> list[PromptGroup]:
    groups = [PromptGroup(0, [])]
    waiting = [(root, groups[0])]
    while waiting:
        node, group = waiting.pop()
        if node.has_own_prefix(group.length):
            group = PromptGroup(node.depth, [])
            groups.append(group)
        group.prompts.extend(node.prompts)
        waiting += [(branch, group) for branch in reversed(node.branches)]
    return [group for group in groups if group.prompts]


def _build_tree(prompts: Sequence[Sequence[int]]) -> tuple[_PrefixNode, list[_PrefixNode]]:
    """The root, and all nodes with branches before what they branch from."""
    order = sorted(range(len(prompts)), key=lambda p: list(prompts[p]))
    depths = [count_shareable_prefix(prompts[before], prompts[prompt]) for before, prompt in pairwise(order)]
    path, closed = [_PrefixNode(0)], []
    for prompt, left, right in zip(order, [0, *depths], [*depths, 0], strict=True):
        if max(left, right) > path[-1].depth:
            path.append(_PrefixNode(max(left, right)))
        path[-1].prompts.append(prompt)
        while path[-1].depth > right:
            node = path.pop()
            closed.append(node)
            if path[-1].depth < right:
                path.append(_PrefixNode(right))
            path[-1].branches.append(node)
    return path[0], [*closed, path[0]]


def _merge_unshared(groups: list[PromptGroup]) -> list[PromptGroup]:
    """What shares nothing worth sharing is one group."""
    alone = [prompt for group in groups if not group.saved_tokens for prompt in group.prompts]
    shared = sorted((group for group in groups if group.saved_tokens), key=lambda group: -len(group.prompts))
    return shared + ([PromptGroup(0, alone)] if alone else [])


def count_shareable_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens both begin with, leaving at least one token of each."""
    most = min(len(first), len(second)) - 1
    return next((t for t in range(most) if first[t] != second[t]), most)
