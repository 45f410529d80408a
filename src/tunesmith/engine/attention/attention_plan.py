"""The plan that `cpu.py` follows in every layer: node groups and their gather indices."""

from dataclasses import dataclass, field

import torch

from tunesmith.engine.attention.gather_index import GatherIndex, build_gather_index
from tunesmith.engine.attention.node_groups import NodeGroup, group_nodes
from tunesmith.engine.prefix_forest import Forest


@dataclass(frozen=True, slots=True)
class AttentionPlan:
    """All node groups of a forest; caches gather indices by (query heads, key heads, dtype)."""

    node_groups: tuple[NodeGroup, ...]
    _gather_indexes: dict[tuple[int, int, torch.dtype], GatherIndex] = field(default_factory=dict)

    def get_gather_index(self, heads: int, groups: int, dtype: torch.dtype) -> GatherIndex:
        """`build_gather_index` for this many query heads and key heads (`groups`), built once."""
        key = (heads, groups, dtype)
        if key not in self._gather_indexes:
            self._gather_indexes[key] = build_gather_index(self.node_groups, heads, groups, dtype)
        return self._gather_indexes[key]


def plan_attention(forest: Forest) -> AttentionPlan:
    """Group the nodes of a forest; gather indices are built when a layer asks for them."""
    return AttentionPlan(group_nodes(forest))
