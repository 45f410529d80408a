"""Which prompts share how much of a prefix: each group continues one shared prefix, which is
computed once.

Sorted prompts form a tree of common prefixes. A shared prefix may end at any node of it, also below
another one: a prompt continues the longest shared prefix above it. The set that saves the most
tokens is found from the leaves up. A shared prefix is worth it when it saves more than
`PREFIX_COST_TOKENS` tokens, because it costs some small matrix products for every token that is
generated after it.

    saved(node, d) = max(sum of saved(branch, d), sum of saved(branch, D) - D - PREFIX_COST_TOKENS)
    saved(prompt, d) = d

D is the node's own depth, d that of the shared prefix above it (0: none).

Source of the tree from neighbors in sorted order: Abouelhoda, Kurtz and Ohlebusch 2004, "Replacing
suffix trees with enhanced suffix arrays", doi:10.1016/S1570-8667(03)00065-0, section 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

PREFIX_COST_TOKENS = 64


@dataclass(frozen=True, slots=True)
class PromptGroup:
    """Prompts (by index) that share their first `length` tokens; 0: they share nothing worth
    sharing.
    """

    length: int
    prompts: list[int]

    @property
    def saved_tokens(self) -> int:
        """Tokens that do not have to be computed, minus the cost of the shared prefix; at least
        0.
        """
        return max(0, (len(self.prompts) - 1) * self.length - PREFIX_COST_TOKENS)


@dataclass(slots=True)
class _PrefixNode:
    """Prompts that share `depth` tokens: deeper branches, and the prompts that share no more than
    this.

    `saved_by_depth`: tokens saved below, by the depth of the shared prefix above.
    """

    depth: int
    branches: list["_PrefixNode"] = field(default_factory=list)
    prompts: list[int] = field(default_factory=list)
    saved_by_depth: dict[int, int] = field(default_factory=dict)

    def count_saved_below(self, prefix: int) -> int:
        """Tokens saved by everything below when the nearest shared prefix has this depth."""
        return prefix * len(self.prompts) + sum(
            branch.saved_by_depth[prefix] for branch in self.branches
        )

    def has_own_prefix(self, prefix: int) -> bool:
        """Whether a shared prefix that ends here saves more than the one above."""
        return self.saved_by_depth[prefix] > self.count_saved_below(prefix)


def group_by_prefix(prompts: Sequence[Sequence[int]]) -> list[PromptGroup]:
    """Every prompt in exactly one group, largest groups first. At least one token of each prompt is
    not shared.
    """
    if not prompts:
        return []
    root, nodes = _build_tree(prompts)
    above: dict[int, list[int]] = {id(root): []}
    for node in reversed(nodes):  # parents before their branches
        above.update((id(branch), [*above[id(node)], node.depth]) for branch in node.branches)
    # Branches come before their parents, so the saved tokens of all branches are known; only depths
    # of ancestors occur.
    for node in nodes:
        own = node.count_saved_below(node.depth) - node.depth - PREFIX_COST_TOKENS
        node.saved_by_depth = {
            trunk: max(node.count_saved_below(trunk), own) for trunk in {0, *above[id(node)]}
        }
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
    """The root, and all nodes, branches before their parents."""
    order = sorted(range(len(prompts)), key=lambda p: list(prompts[p]))
    depths = [
        count_shareable_prefix(prompts[before], prompts[prompt])
        for before, prompt in pairwise(order)
    ]
    path, closed = [_PrefixNode(0)], []
    # A stack of open nodes over the sorted prompts, as in the construction of a suffix tree from an
    # LCP array.
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
    """Merge the groups that save nothing into one without a shared prefix."""
    alone = [prompt for group in groups if not group.saved_tokens for prompt in group.prompts]
    shared = sorted(
        (group for group in groups if group.saved_tokens), key=lambda group: -len(group.prompts)
    )
    return shared + ([PromptGroup(0, alone)] if alone else [])


def count_shareable_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """Number of tokens that both begin with, leaving at least one token of each: its hidden state
    gives the next one.
    """
    most = min(len(first), len(second)) - 1
    return next((t for t in range(most) if first[t] != second[t]), most)
