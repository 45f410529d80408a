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
    from tunesmith.engine.attention.bundles import Bundle

SOFTMAX_WIDTH = 32
"""Rows of scores are padded to a multiple of this: others take two to three times as long in bfloat16 (docs/lab)."""


@dataclass(frozen=True, slots=True)
class Part:
    """One bundle's slices of the rows. `path` is empty where the keys on the way stand with the node's own.

    `mask`: 0 where a query may see a key, minus infinity where not: YS if joined, else YL.
    """

    queries: slice
    keys: slice
    path: slice
    products: int
    groups: int
    mask: Tensor
    is_joined: bool
    is_kept: bool

    def of_queries(self, x_Ie: Tensor) -> Tensor:
        """The bundle's queries, or what belongs to them: XYe, a view."""
        return x_Ie[self.queries].view(self.products, -1, x_Ie.shape[-1])

    def of_keys(self, x_Je: Tensor) -> Tensor:
        """The bundle's keys or values: XSe if joined, else XLe; a view."""
        return x_Je[self.keys].view(self.products, -1, x_Je.shape[-1])

    def of_path(self, x_Je: Tensor) -> Tensor:
        """Those on the way from the root, the same for all nodes: GPe, a view."""
        return x_Je[self.path].view(self.groups, -1, x_Je.shape[-1])


@dataclass(frozen=True, slots=True)
class Rows:
    """`queries_I` and `keys_J`: which row of x.view(N * h, e) each one is; `padding_Q`: which queries are padding;
    `places_NH`: where the row of every (token, query head) went."""

    queries_I: Tensor
    padding_Q: Tensor
    places_NH: Tensor
    keys_J: Tensor
    parts: tuple[Part, ...]
    heads: int
    groups: int

    def take_queries(self, x_NHe: Tensor, *, blank_padding: bool = False) -> Tensor:
        """Ie; a padded query is some other one again, or zero."""
        x_Ie = x_NHe.flatten(0, 1).index_select(0, self.queries_I)
        return x_Ie.index_fill_(0, self.padding_Q, 0) if blank_padding else x_Ie

    def take_keys(self, x_NGe: Tensor) -> Tensor:
        """Je"""
        return x_NGe.flatten(0, 1).index_select(0, self.keys_J)

    def put_queries(self, x_Ie: Tensor) -> Tensor:
        """The way back: NHe."""
        return x_Ie.index_select(0, self.places_NH).unflatten(0, (-1, self.heads))

    def add_keys(self, x_Je: Tensor) -> Tensor:
        """The way back: what belongs to the same key is added up, in float32 or better: NGe."""
        exact = torch.promote_types(x_Je.dtype, torch.float32)
        tokens = len(self.places_NH) // self.heads
        sum_NGe = torch.zeros(tokens, self.groups, x_Je.shape[-1], dtype=exact)
        sum_NGe.flatten(0, 1).index_add_(0, self.keys_J, x_Je.to(exact))
        return sum_NGe.to(x_Je.dtype)


def rows_of(bundles: Sequence["Bundle"], heads: int, groups: int, dtype: torch.dtype) -> Rows:
    """The rows of all bundles, for this many query and key heads; `dtype` is the masks'."""
    parts: list[Part] = []
    queries: list[np.ndarray] = []
    filled: list[np.ndarray] = []
    keys: list[np.ndarray] = []
    for bundle in bundles:
        nodes, length = bundle.places_BL.shape
        heads_GM = np.arange(heads).reshape(groups, -1)
        rows_GBML = bundle.places_BL[:, None] * heads + heads_GM[:, None, :, None]
        is_filled_B1L = (np.arange(length) < bundle.lengths_B[:, None])[:, None]
        own, on_path, padding = _keys_of(bundle, groups)
        path = len(bundle.path_P) if bundle.is_joined else 0
        begin, begin_keys = sum(map(len, queries)), sum(map(len, keys))
        end_own = begin_keys + len(own)
        queries.append(rows_GBML.reshape(-1))
        filled.append(np.broadcast_to(is_filled_B1L, rows_GBML.shape).reshape(-1))
        keys += [own, on_path]
        parts.append(
            Part(
                queries=slice(begin, begin + rows_GBML.size),
                keys=slice(begin_keys, end_own),
                path=slice(end_own, end_own + len(on_path)),
                products=groups * nodes,
                groups=groups,
                mask=_causal(heads // groups, length, path, padding, dtype),
                is_joined=bundle.is_joined,
                is_kept=bundle.is_kept,
            )
        )
    queries_I, is_filled_I = np.concatenate(queries), np.concatenate(filled)
    filled_I = np.flatnonzero(is_filled_I)
    places_NH = np.empty(len(filled_I), np.int64)
    places_NH[queries_I[filled_I]] = filled_I
    return Rows(
        queries_I=torch.from_numpy(queries_I),
        padding_Q=torch.from_numpy(np.flatnonzero(~is_filled_I)),
        places_NH=torch.from_numpy(places_NH),
        keys_J=torch.from_numpy(np.concatenate(keys)),
        parts=tuple(parts),
        heads=heads,
        groups=groups,
    )


def _keys_of(bundle: "Bundle", groups: int) -> tuple[np.ndarray, np.ndarray, int]:
    """The rows of a bundle's keys, of those on the way that stand apart, and how many of a row's keys are padding."""
    nodes, length = bundle.places_BL.shape
    own_GBL, path_GP = (_key_rows(places, groups) for places in (bundle.places_BL, bundle.path_P))
    if not bundle.is_joined:
        return own_GBL.reshape(-1), path_GP.reshape(-1), 0
    path = path_GP.shape[1]
    padding = -(path + length) % SOFTMAX_WIDTH
    path_GBP = np.broadcast_to(path_GP[:, None], (groups, nodes, path))
    seen_GBS = np.concatenate([path_GBP, own_GBL, np.zeros((groups, nodes, padding), np.int64)], -1)
    return seen_GBS.reshape(-1), np.empty(0, np.int64), padding


def _key_rows(places: np.ndarray, groups: int) -> np.ndarray:
    """The rows of some tokens' keys, with the heads in front."""
    return places * groups + np.arange(groups).reshape(-1, *[1] * places.ndim)


@lru_cache(maxsize=64)  # the links of a long node have the same; of up to 768 x 768 numbers
def _causal(many: int, length: int, path: int, padding: int, dtype: torch.dtype) -> Tensor:
    """The mask of `many` heads' queries over the way from the root, their own node, causally, and no padding: YS."""
    mask_LS = torch.zeros(length, path + length + padding, dtype=dtype)
    mask_LS[:, path:].fill_(float("-inf")).triu_(1)
    mask_LS[:, path + length :] = float("-inf")
    return mask_LS.repeat(many, 1)
