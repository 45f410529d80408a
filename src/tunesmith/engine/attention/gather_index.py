"""The rows of batched products: which (token, head) stands where, for all bundles of a forest behind each other.

Queries, keys and values are gathered once for a whole layer; a bundle's operands are slices of what was gathered, its
results are written into slices, and one gather (queries) or one sum (keys and values, of which some stand several
times) brings everything back into the order of the tokens. So the cost of moving does not grow with the bundles.

Shapes: N tokens, H query heads, G key heads, M = H / G query heads to a key head, e size of a head, h either H or G;
I rows of queries, J rows of keys; of a bundle: B nodes, L tokens of the longest, P on the way from the root, S keys of
a row (P + L, rounded up); X = G * B products at once, Y = M * L rows of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from tunesmith.engine.attention.attention_plan import NodeGroup

SOFTMAX_WIDTH = 32
"""Rows of scores are padded to a multiple of this: others take two to three times as long in bfloat16 (docs/lab)."""


@dataclass(frozen=True, slots=True)
class GroupSlices:
    """One bundle's slices of the rows. `path` is empty where the keys on the way stand with the node's own.

    `mask`: 0 where a query may see a key, minus infinity where not: YS if joined, else YL.
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
        """The bundle's queries, or what belongs to them: XYe, a view."""
        return x_Ie[self.queries].view(self.products, -1, x_Ie.shape[-1])

    def view_keys(self, x_Je: Tensor) -> Tensor:
        """The bundle's keys or values: XSe if joined, else XLe; a view."""
        return x_Je[self.keys].view(self.products, -1, x_Je.shape[-1])

    def view_prefix(self, x_Je: Tensor) -> Tensor:
        """Those on the way from the root, the same for all nodes: GPe, a view."""
        return x_Je[self.prefix].view(self.groups, -1, x_Je.shape[-1])


@dataclass(frozen=True, slots=True)
class GatherIndex:
    """`queries_I` and `keys_J`: which row of x.view(N * h, e) each one is; `padding_Q`: which queries are padding;
    `indices_NH`: where the row of every (token, query head) went."""

    queries_I: Tensor
    padding_Q: Tensor
    indices_NH: Tensor
    keys_J: Tensor
    parts: tuple[GroupSlices, ...]
    heads: int
    groups: int

    def gather_queries(self, x_NHe: Tensor, *, blank_padding: bool = False) -> Tensor:
        """Ie; a padded query is some other one again, or zero."""
        x_Ie = x_NHe.flatten(0, 1).index_select(0, self.queries_I)
        return x_Ie.index_fill_(0, self.padding_Q, 0) if blank_padding else x_Ie

    def gather_keys(self, x_NGe: Tensor) -> Tensor:
        """Je"""
        return x_NGe.flatten(0, 1).index_select(0, self.keys_J)

    def scatter_queries(self, x_Ie: Tensor) -> Tensor:
        """The way back: NHe."""
        return x_Ie.index_select(0, self.indices_NH).unflatten(0, (-1, self.heads))

    def scatter_add_keys(self, x_Je: Tensor) -> Tensor:
        """The way back: what belongs to the same key is added up, in float32 or better: NGe."""
        exact = torch.promote_types(x_Je.dtype, torch.float32)
        tokens = len(self.indices_NH) // self.heads
        sum_NGe = torch.zeros(tokens, self.groups, x_Je.shape[-1], dtype=exact)
        sum_NGe.flatten(0, 1).index_add_(0, self.keys_J, x_Je.to(exact))
        return sum_NGe.to(x_Je.dtype)


def build_gather_index(bundles: Sequence["NodeGroup"], heads: int, groups: int, dtype: torch.dtype) -> GatherIndex:
    """The rows of all bundles, for this many query and key heads; `dtype` is the masks'."""
    parts: list[GroupSlices] = []
    queries: list[np.ndarray] = []
    filled: list[np.ndarray] = []
    keys: list[np.ndarray] = []
    for bundle in bundles:
        nodes, length = bundle.indices_BL.shape
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


def _list_key_rows(bundle: "NodeGroup", groups: int) -> tuple[np.ndarray, np.ndarray, int]:
    """The rows of a bundle's keys, of those on the way that stand apart, and how many of a row's keys are padding."""
    nodes, length = bundle.indices_BL.shape
    own_GBL, path_GP = (_compute_key_rows(places, groups) for places in (bundle.indices_BL, bundle.prefix_P))
    if not bundle.is_concatenated:
        return own_GBL.reshape(-1), path_GP.reshape(-1), 0
    path = path_GP.shape[1]
    padding = -(path + length) % SOFTMAX_WIDTH
    path_GBP = np.broadcast_to(path_GP[:, None], (groups, nodes, path))
    seen_GBS = np.concatenate([path_GBP, own_GBL, np.zeros((groups, nodes, padding), np.int64)], -1)
    return seen_GBS.reshape(-1), np.empty(0, np.int64), padding


def _compute_key_rows(places: np.ndarray, groups: int) -> np.ndarray:
    """The rows of some tokens' keys, with the heads in front."""
    return places * groups + np.arange(groups).reshape(-1, *[1] * places.ndim)


@lru_cache(maxsize=64)  # the links of a long node have the same; of up to 768 x 768 numbers
def _build_causal_mask(many: int, length: int, path: int, padding: int, dtype: torch.dtype) -> Tensor:
    """The mask of `many` heads' queries over the way from the root, their own node, causally, and no padding: YS."""
    mask_LS = torch.zeros(length, path + length + padding, dtype=dtype)
    mask_LS[:, path:].fill_(float("-inf")).triu_(1)
    mask_LS[:, path + length :] = float("-inf")
    return mask_LS.repeat(many, 1)
