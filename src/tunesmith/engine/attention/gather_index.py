"""The row layout of batched products: which (token, head) is in which row, for all node groups.

Queries, keys and values are gathered once per layer; a group's operands are slices of the gathered
tensors, its results are written into slices, and one gather (queries) or one sum (keys and values,
of which some occur several times) brings everything back into token order. So the cost of moving
data does not grow with the number of groups.

Shapes: N tokens, H query heads, G key heads, M = H / G query heads to a key head, e size of a head,
h either H or G; I rows of queries, J rows of keys; of a group: B nodes, L tokens of the longest, P
of the prefix, S keys of a row (P + L, rounded up); X = G * B products at once, Y = M * L rows of
each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from tunesmith.engine.attention.node_groups import NodeGroup

SOFTMAX_WIDTH = 32
"""Rows of scores are padded to a multiple of this: in bfloat16 other lengths take two to three
times as long (docs/lab/2026-11-26-engine-again.md)."""


@dataclass(frozen=True, slots=True)
class GroupSlices:
    """One node group's slices of the rows. `prefix` is empty where the prefix's keys are
    concatenated with the own ones.

    `products`: X. `mask`: 0 where a query may see a key, -inf where not: YS if concatenated, else
    YL.
    """

    queries: slice
    keys: slice
    prefix: slice
    products: int
    groups: int
    mask: Tensor
    is_concatenated: bool
    has_saved_weights: bool

    def view_queries(self, x_Ie: Tensor) -> Tensor:
        """The group's queries, or tensors of the same layout: XYe, a view."""
        return x_Ie[self.queries].view(self.products, -1, x_Ie.shape[-1])

    def view_keys(self, x_Je: Tensor) -> Tensor:
        """The group's keys or values: XSe if concatenated, else XLe; a view."""
        return x_Je[self.keys].view(self.products, -1, x_Je.shape[-1])

    def view_prefix(self, x_Je: Tensor) -> Tensor:
        """The keys or values of the prefix, the same for all nodes: GPe, a view."""
        return x_Je[self.prefix].view(self.groups, -1, x_Je.shape[-1])


@dataclass(frozen=True, slots=True)
class GatherIndex:
    """`queries_I` and `keys_J`: the row of x.view(N * h, e) that each gathered row comes from.
    `padding_Q`: the query rows that are padding. `indices_NH`: the gathered row of every (token,
    query head)."""

    queries_I: Tensor
    padding_Q: Tensor
    indices_NH: Tensor
    keys_J: Tensor
    parts: tuple[GroupSlices, ...]
    heads: int
    groups: int

    def gather_queries(self, x_NHe: Tensor, *, blank_padding: bool = False) -> Tensor:
        """NHe -> Ie; a padded row repeats another one, or is zero with `blank_padding`."""
        x_Ie = x_NHe.flatten(0, 1).index_select(0, self.queries_I)
        return x_Ie.index_fill_(0, self.padding_Q, 0) if blank_padding else x_Ie

    def gather_keys(self, x_NGe: Tensor) -> Tensor:
        """NGe -> Je."""
        return x_NGe.flatten(0, 1).index_select(0, self.keys_J)

    def scatter_queries(self, x_Ie: Tensor) -> Tensor:
        """Ie -> NHe, the inverse of `gather_queries`; padding is dropped."""
        return x_Ie.index_select(0, self.indices_NH).unflatten(0, (-1, self.heads))

    def scatter_add_keys(self, x_Je: Tensor) -> Tensor:
        """Je -> NGe: the rows of the same key are summed, in float32 or better."""
        exact = torch.promote_types(x_Je.dtype, torch.float32)
        tokens = len(self.indices_NH) // self.heads
        sum_NGe = torch.zeros(tokens, self.groups, x_Je.shape[-1], dtype=exact)
        sum_NGe.flatten(0, 1).index_add_(0, self.keys_J, x_Je.to(exact))
        return sum_NGe.to(x_Je.dtype)


def build_gather_index(
    bundles: Sequence[NodeGroup], heads: int, groups: int, dtype: torch.dtype
) -> GatherIndex:
    """The gather index for this many query and key heads (`groups`), with masks of `dtype`."""
    parts: list[GroupSlices] = []
    queries: list[np.ndarray] = []
    filled: list[np.ndarray] = []
    keys: list[np.ndarray] = []
    for bundle in bundles:
        nodes, length = bundle.indices_BL.shape
        # Head-major order within a group: the M query heads of a key head are adjacent rows of one
        # product.
        heads_GM = np.arange(heads).reshape(groups, -1)
        rows_GBML = bundle.indices_BL[:, None] * heads + heads_GM[:, None, :, None]
        is_filled_B1L = (np.arange(length) < bundle.lengths_B[:, None])[:, None]
        own, on_path, padding = _list_key_rows(bundle, groups)
        path = len(bundle.prefix_P) if bundle.is_concatenated else 0
        begin, begin_keys = sum(map(len, queries)), sum(map(len, keys))
        end_own = begin_keys + len(own)
        queries.append(rows_GBML.reshape(-1))
        filled.append(np.broadcast_to(is_filled_B1L, rows_GBML.shape).reshape(-1))
        keys += [own, on_path]
        parts.append(
            GroupSlices(
                queries=slice(begin, begin + rows_GBML.size),
                keys=slice(begin_keys, end_own),
                prefix=slice(end_own, end_own + len(on_path)),
                products=groups * nodes,
                groups=groups,
                mask=_build_causal_mask(heads // groups, length, path, padding, dtype),
                is_concatenated=bundle.is_concatenated,
                has_saved_weights=bundle.has_saved_weights,
            )
        )
    queries_I, is_filled_I = np.concatenate(queries), np.concatenate(filled)
    filled_I = np.flatnonzero(is_filled_I)
    places_NH = np.empty(len(filled_I), np.int64)
    places_NH[queries_I[filled_I]] = filled_I
    return GatherIndex(
        queries_I=torch.from_numpy(queries_I),
        padding_Q=torch.from_numpy(np.flatnonzero(~is_filled_I)),
        indices_NH=torch.from_numpy(places_NH),
        keys_J=torch.from_numpy(np.concatenate(keys)),
        parts=tuple(parts),
        heads=heads,
        groups=groups,
    )


def _list_key_rows(bundle: NodeGroup, groups: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Rows of a group's own keys, rows of the separate prefix's keys, and the padding keys of each
    product row.
    """
    nodes, length = bundle.indices_BL.shape
    own_GBL, path_GP = (
        _compute_key_rows(places, groups) for places in (bundle.indices_BL, bundle.prefix_P)
    )
    if not bundle.is_concatenated:
        return own_GBL.reshape(-1), path_GP.reshape(-1), 0
    path = path_GP.shape[1]
    padding = -(path + length) % SOFTMAX_WIDTH
    path_GBP = np.broadcast_to(path_GP[:, None], (groups, nodes, path))
    # Padding keys point to row 0, any valid row; the mask excludes them.
    seen_GBS = np.concatenate([path_GBP, own_GBL, np.zeros((groups, nodes, padding), np.int64)], -1)
    return seen_GBS.reshape(-1), np.empty(0, np.int64), padding


def _compute_key_rows(places: np.ndarray, groups: int) -> np.ndarray:
    """Rows of these tokens' keys in x.view(N * G, e), with the heads as the first dimension."""
    return places * groups + np.arange(groups).reshape(-1, *[1] * places.ndim)


# The pieces of a long node all have the same masks; each has at most 768 x 768 numbers.
@lru_cache(maxsize=64)
def _build_causal_mask(
    many: int, length: int, path: int, padding: int, dtype: torch.dtype
) -> Tensor:
    """The mask YS of `many` heads: prefix visible, own node causal, padding hidden."""
    mask_LS = torch.zeros(length, path + length + padding, dtype=dtype)
    mask_LS[:, path:].fill_(float("-inf")).triu_(1)
    mask_LS[:, path + length :] = float("-inf")
    return mask_LS.repeat(many, 1)
